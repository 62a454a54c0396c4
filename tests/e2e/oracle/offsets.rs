//! Offsets: committed by members and by others, and fetched.

use super::ask::Talk;
use super::members::member;
use millstream_kafka_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use millstream_kafka_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use millstream_kafka_wire::messages::{OffsetCommitRequest, OffsetCommitResponse, OffsetFetchRequest};
use uuid::Uuid;

const NOBODY: Uuid = Uuid::from_u128(0xdead);

/// A commit of somebody who is in no group.
fn simple(version: i16, group: &str, topic: (&str, Uuid), offsets: &[(i32, i64)]) -> OffsetCommitRequest {
    let by_id = version >= 10;
    let partitions = offsets.iter().map(
        |(partition_index, committed_offset)| OffsetCommitRequestPartition {
            partition_index: *partition_index,
            committed_offset: *committed_offset,
            committed_leader_epoch: 0,
            committed_metadata: Some("m".to_owned()),
            ..Default::default()
        },
    );
    OffsetCommitRequest {
        group_id: group.to_owned(),
        topics: vec![OffsetCommitRequestTopic {
            name: if by_id { String::new() } else { topic.0.to_owned() },
            topic_id: if by_id { topic.1 } else { Uuid::nil() },
            partitions: partitions.collect(),
        }],
        ..Default::default()
    }
}

/// Commits several partitions' offsets.
pub fn commit_to(talk: &mut Talk, group: &str, topic: &str, offsets: &[(i32, i64)]) {
    let request = simple(9, group, (topic, Uuid::nil()), offsets);
    let answer = talk.quietly(9, &request).expect("an answer");
    assert_eq!(answer.topics[0].partitions[0].error_code, 0, "{answer:?}");
}

/// Commits one offset.
pub fn commit(talk: &mut Talk, group: &str, topic: &str, partition: i32, offset: i64) {
    commit_to(talk, group, topic, &[(partition, offset)]);
}

type Wanted<'a> = Option<&'a [(&'a str, Uuid, &'a [i32])]>;

fn fetch(version: i16, group: &str, wanted: Wanted<'_>) -> OffsetFetchRequest {
    let by_id = version >= 10;
    let old = |topics: &[(&str, Uuid, &[i32])]| {
        let topics = topics
            .iter()
            .map(|(name, _, partitions)| OffsetFetchRequestTopic {
                name: (*name).to_owned(),
                partition_indexes: partitions.to_vec(),
            });
        topics.collect()
    };
    let new = |topics: &[(&str, Uuid, &[i32])]| {
        let topics = topics
            .iter()
            .map(|(name, id, partitions)| OffsetFetchRequestTopics {
                name: if by_id { String::new() } else { (*name).to_owned() },
                topic_id: if by_id { *id } else { Uuid::nil() },
                partition_indexes: partitions.to_vec(),
            });
        topics.collect()
    };
    OffsetFetchRequest {
        group_id: group.to_owned(),
        topics: wanted.map(old),
        groups: vec![OffsetFetchRequestGroup {
            group_id: group.to_owned(),
            topics: wanted.map(new),
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub fn script(talk: &mut Talk) {
    talk.groups_ready();
    let id = talk.topic("committed", 12, &[]);
    committing(talk, ("committed", id));
    committing_as_member(talk, ("committed", id));
    fetching(talk, id);
}

fn committing(talk: &mut Talk, read: (&str, Uuid)) {
    talk.each("commit", |version| {
        simple(version, "simple", read, &[(i32::from(version), 5)])
    });
    talk.each("commit an older offset", |version| {
        simple(version, "simple", read, &[(i32::from(version), 1)])
    });
    talk.each("commit minus one", |version| {
        simple(version, "odd", read, &[(1, -1)])
    });
    talk.each("commit minus nine", |version| {
        simple(version, "odd", read, &[(1, -9)])
    });
    talk.each("commit beyond the end", |version| {
        simple(version, "odd", read, &[(0, 1 << 50)])
    });
    talk.each("commit for nothing", |version| {
        simple(version, "simple", ("nothing", NOBODY), &[(0, 5)])
    });
    talk.each("commit for what cannot be", |version| {
        simple(version, "simple", ("no t", NOBODY), &[(0, 5)])
    });
    // In whatever order they are answered.
    let sorted = |mut answer: OffsetCommitResponse| {
        answer.topics[0]
            .partitions
            .sort_by_key(|partition| partition.partition_index);
        answer
    };
    let many = |version| simple(version, "simple", read, &[(99, 5), (0, 5), (-1, 5)]);
    talk.each_seen("commit for no partition", 2..=10, many, sorted);
    talk.each("commit to a group without a name", |version| {
        simple(version, "", read, &[(0, 5)])
    });
    talk.each("commit nothing", |version| OffsetCommitRequest {
        topics: Vec::new(),
        ..simple(version, "simple", read, &[])
    });
    talk.each("commit the same twice", |version| {
        simple(version, "simple", read, &[(0, 5), (0, 6)])
    });
    talk.each("commit long metadata", |version| {
        let mut long = simple(version, "simple", read, &[(0, 5)]);
        long.topics[0].partitions[0].committed_metadata = Some("x".repeat(4097));
        long
    });
    talk.each("commit no metadata", |version| {
        let mut none = simple(version, "simple", read, &[(11, 5)]);
        none.topics[0].partitions[0].committed_metadata = None;
        none
    });
    talk.each("commit of a generation to no group", |version| {
        OffsetCommitRequest {
            generation_id_or_member_epoch: 3,
            member_id: "nobody".to_owned(),
            ..simple(version, "none", read, &[(0, 5)])
        }
    });
    talk.each("commit of a generation to a group of offsets", |version| {
        OffsetCommitRequest {
            generation_id_or_member_epoch: 3,
            member_id: "nobody".to_owned(),
            ..simple(version, "simple", read, &[(0, 5)])
        }
    });
    talk.each("commit of a member of no generation", |version| {
        OffsetCommitRequest {
            member_id: "nobody".to_owned(),
            ..simple(version, "simple", read, &[(0, 5)])
        }
    });
}

fn committing_as_member(talk: &mut Talk, read: (&str, Uuid)) {
    let me = member(talk, "live", "me");
    let mut each = |step: &str, generation: i32, member: &str, instance: Option<&str>| {
        let from = if instance.is_some() { 7 } else { 2 };
        talk.each_of(step, from..=10, |version| OffsetCommitRequest {
            generation_id_or_member_epoch: generation,
            member_id: member.to_owned(),
            group_instance_id: instance.map(str::to_owned),
            ..simple(version, "live", read, &[(0, 5)])
        });
    };
    each("commit of a member", 1, &me, None);
    each("commit of a generation to come", 2, &me, None);
    each("commit of a generation past", 0, &me, None);
    each("commit of no generation", -1, &me, None);
    each("commit of nobody", 1, "nobody", None);
    each("commit of somebody to a live group", -1, "", None);
    each("commit of an instance that nobody knows", 1, &me, Some("i"));
}

fn fetching(talk: &mut Talk, id: Uuid) {
    commit_to(talk, "fetched", "committed", &[(0, 10), (1, 11)]);
    let some: &[(&str, Uuid, &[i32])] = &[("committed", id, &[0, 1, 2, 99])];
    talk.each("fetch offsets", |version| fetch(version, "fetched", Some(some)));
    talk.each_of("fetch all offsets", 2..=10, |version| {
        fetch(version, "fetched", None)
    });
    talk.each("fetch no offsets", |version| fetch(version, "fetched", Some(&[])));
    talk.each("fetch offsets of nothing", |version| {
        fetch(version, "fetched", Some(&[("nothing", NOBODY, &[0])]))
    });
    talk.each("fetch offsets of no group", |version| {
        fetch(version, "none", Some(some))
    });
    talk.each_of("fetch all offsets of no group", 2..=10, |version| {
        fetch(version, "none", None)
    });
    talk.each("fetch offsets of a group without a name", |version| {
        fetch(version, "", Some(some))
    });
    talk.each_of("fetch stable offsets", 7..=10, |version| OffsetFetchRequest {
        require_stable: true,
        ..fetch(version, "fetched", Some(some))
    });
    talk.each_of("fetch offsets of two groups", 8..=10, |version| {
        let mut two = fetch(version, "fetched", Some(some));
        two.groups.push(OffsetFetchRequestGroup {
            group_id: "none".to_owned(),
            ..two.groups[0].clone()
        });
        two
    });
    talk.each_of("fetch offsets of no groups", 8..=10, |_| {
        OffsetFetchRequest::default()
    });
    talk.each_of("fetch offsets as nobody", 9..=10, |version| {
        let mut request = fetch(version, "fetched", Some(some));
        request.groups[0].member_id = Some("nobody".to_owned());
        request.groups[0].member_epoch = 3;
        request
    });
}
