//! Reading: fetches, and offsets by time.

use super::ask::Talk;
use super::produce::{MADE_MS, batch, send};
use millstream_kafka_wire::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
use millstream_kafka_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use millstream_kafka_wire::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use millstream_kafka_wire::messages::{
    DeleteRecordsRequest, FetchRequest, FetchResponse, ListOffsetsRequest, OffsetForLeaderEpochRequest,
    delete_records_request,
};
use uuid::Uuid;

const NOBODY: Uuid = Uuid::from_u128(0xdead);

fn partition(partition: i32, fetch_offset: i64) -> FetchPartition {
    FetchPartition {
        partition,
        fetch_offset,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    }
}

fn fetch(version: i16, topic: (&str, Uuid), partitions: Vec<FetchPartition>) -> FetchRequest {
    let by_id = version >= 13;
    FetchRequest {
        max_wait_ms: 0,
        min_bytes: 1,
        max_bytes: 1 << 20,
        topics: vec![FetchTopic {
            topic: if by_id { String::new() } else { topic.0.to_owned() },
            topic_id: if by_id { topic.1 } else { Uuid::nil() },
            partitions,
        }],
        ..Default::default()
    }
}

pub fn script(talk: &mut Talk) {
    let id = talk.topic("read", 3, &[]);
    let read = ("read", id);
    for _ in 0..4 {
        send(talk, "read", 0, batch(&["one", "two", "three"]));
    }
    let one = |version: i16, offset: i64| fetch(version, read, vec![partition(0, offset)]);
    talk.each("fetch from the first", |version| one(version, 0));
    talk.each("fetch from within a batch", |version| one(version, 4));
    talk.each("fetch from the last", |version| one(version, 11));
    talk.each("fetch from the end", |version| one(version, 12));
    talk.each("fetch from beyond the end", |version| one(version, 13));
    talk.each("fetch from minus one", |version| one(version, -1));
    talk.each("fetch from an empty partition", |version| {
        fetch(version, read, vec![partition(1, 0)])
    });
    talk.each("fetch what is committed", |version| FetchRequest {
        isolation_level: 1,
        ..one(version, 0)
    });
    talk.each("fetch with an odd isolation", |version| FetchRequest {
        isolation_level: 9,
        ..one(version, 0)
    });
    talk.each("fetch one byte", |version| FetchRequest {
        max_bytes: 1,
        ..one(version, 0)
    });
    talk.each("fetch no byte", |version| FetchRequest {
        max_bytes: 0,
        ..one(version, 0)
    });
    talk.each("fetch one byte of a partition", |version| {
        let little = FetchPartition {
            partition_max_bytes: 1,
            ..partition(0, 3)
        };
        fetch(version, read, vec![little])
    });
    talk.each("fetch two batches of a partition", |version| {
        let little = FetchPartition {
            partition_max_bytes: 93 + 93,
            ..partition(0, 3)
        };
        fetch(version, read, vec![little])
    });
    refused(talk, read);
    sessions(talk, read);
    let trim = DeleteRecordsRequest {
        topics: vec![delete_records_request::DeleteRecordsTopic {
            name: "read".to_owned(),
            partitions: vec![delete_records_request::DeleteRecordsPartition {
                partition_index: 0,
                offset: 4,
            }],
        }],
        timeout_ms: 10_000,
    };
    talk.quietly(2, &trim);
    talk.each("fetch what was deleted", |version| one(version, 0));
    talk.each("fetch the first that is left", |version| one(version, 4));
}

fn refused(talk: &mut Talk, read: (&str, Uuid)) {
    talk.each("fetch from nothing", |version| {
        fetch(version, ("nothing", NOBODY), vec![partition(0, 0)])
    });
    talk.each("fetch from what cannot be", |version| {
        fetch(version, ("no t", NOBODY), vec![partition(0, 0)])
    });
    talk.each("fetch from no partition", |version| {
        fetch(version, read, vec![partition(9, 0)])
    });
    talk.each("fetch from partition minus one", |version| {
        fetch(version, read, vec![partition(-1, 0)])
    });
    // In whatever order they are answered.
    let sorted = |mut answer: FetchResponse| {
        answer.responses[0]
            .partitions
            .sort_by_key(|partition| partition.partition_index);
        answer
    };
    let mixed = |version| {
        fetch(
            version,
            read,
            vec![partition(0, 99), partition(9, 0), partition(1, 0)],
        )
    };
    talk.each_seen("fetch good and bad", 4..=18, mixed, sorted);
    talk.each("fetch nothing at all", |version| FetchRequest {
        topics: Vec::new(),
        ..fetch(version, read, Vec::new())
    });
    talk.each_of("fetch in an epoch to come", 9..=18, |version| {
        let ahead = FetchPartition {
            current_leader_epoch: 1 << 20,
            ..partition(0, 0)
        };
        fetch(version, read, vec![ahead])
    });
    talk.each_of("fetch after an epoch to come", 12..=18, |version| {
        let ahead = FetchPartition {
            last_fetched_epoch: 1 << 20,
            ..partition(0, 0)
        };
        fetch(version, read, vec![ahead])
    });
}

fn sessions(talk: &mut Talk, read: (&str, Uuid)) {
    let session = |version: i16, session_id: i32, session_epoch: i32| FetchRequest {
        session_id,
        session_epoch,
        ..fetch(version, read, vec![partition(0, 12)])
    };
    talk.each_of("fetch in a session that nobody has", 7..=18, |version| {
        session(version, 4711, 1)
    });
    talk.each_of("fetch in no session, epoch one", 7..=18, |version| {
        session(version, 0, 1)
    });
    // Whether a session is given out is the broker's choice.
    let any = |mut answer: FetchResponse| {
        answer.session_id = 0;
        answer
    };
    let anew = |version| session(version, 4711, 0);
    talk.each_seen("fetch anew in a session that nobody has", 7..=18, anew, any);
    talk.each_of("fetch to end a session that nobody has", 7..=18, |version| {
        session(version, 4711, -1)
    });
    talk.each_of("fetch and forget", 7..=18, |version| FetchRequest {
        forgotten_topics_data: vec![ForgottenTopic {
            topic: if version < 13 {
                "read".to_owned()
            } else {
                String::new()
            },
            topic_id: if version < 13 { Uuid::nil() } else { read.1 },
            partitions: vec![1],
        }],
        ..session(version, 0, -1)
    });
}

pub fn offsets_script(talk: &mut Talk) {
    talk.topic("timed", 2, &[]);
    for _ in 0..2 {
        send(talk, "timed", 0, batch(&["one", "two", "three"]));
    }
    let ask = |name: &str, partition_index: i32, timestamp: i64| ListOffsetsRequest {
        replica_id: -1,
        topics: vec![ListOffsetsTopic {
            name: name.to_owned(),
            partitions: vec![ListOffsetsPartition {
                partition_index,
                timestamp,
                ..Default::default()
            }],
        }],
        timeout_ms: 1000,
        ..Default::default()
    };
    let times = [
        ("the latest", -1),
        ("the earliest", -2),
        ("the one of the greatest time", -3),
        ("the earliest local one", -4),
        ("the latest tiered one", -5),
        ("the earliest to upload", -6),
        ("minus seven", -7),
        ("the first since ever", 0),
        ("the first of a time", MADE_MS),
        ("the one of a time", MADE_MS + 1),
        ("the one after the last", MADE_MS + 3),
    ];
    for (step, timestamp) in times {
        talk.each(&format!("find {step}"), |_| ask("timed", 0, timestamp));
        talk.each(&format!("find {step} where there is none"), |_| {
            ask("timed", 1, timestamp)
        });
    }
    talk.each("find the latest that is committed", |_| ListOffsetsRequest {
        isolation_level: 1,
        ..ask("timed", 0, -1)
    });
    talk.each("find in nothing", |_| ask("nothing", 0, -1));
    talk.each("find in what cannot be", |_| ask("no t", 0, -1));
    talk.each("find in no partition", |_| ask("timed", 9, -1));
    talk.each("find in partition minus one", |_| ask("timed", -1, -1));
    talk.each("find twice", |_| {
        let mut twice = ask("timed", 0, -1);
        let again = twice.topics[0].partitions[0].clone();
        twice.topics[0].partitions.push(again);
        twice
    });
    talk.each_of("find in an epoch to come", 4..=11, |_| {
        let mut ahead = ask("timed", 0, -1);
        ahead.topics[0].partitions[0].current_leader_epoch = 1 << 20;
        ahead
    });
    ends(talk);
}

/// Where epochs end.
fn ends(talk: &mut Talk) {
    let ask = |topic: &str, partition: i32, current_leader_epoch: i32, leader_epoch: i32| {
        OffsetForLeaderEpochRequest {
            replica_id: -1,
            topics: vec![OffsetForLeaderTopic {
                topic: topic.to_owned(),
                partitions: vec![OffsetForLeaderPartition {
                    partition,
                    current_leader_epoch,
                    leader_epoch,
                }],
            }],
        }
    };
    talk.each("where an epoch to come ends", |_| ask("timed", 0, -1, 1 << 20));
    talk.each("where epoch minus one ends", |_| ask("timed", 0, -1, -1));
    talk.each("where an epoch ends for who is ahead", |_| {
        ask("timed", 0, 1 << 20, 0)
    });
    talk.each("where an epoch of nothing ends", |_| ask("nothing", 0, -1, 0));
    talk.each("where an epoch of no partition ends", |_| ask("timed", 9, -1, 0));
}
