//! The soak at the Kafka door: a producer, and a consumer group whose member commits, leaves and comes back.

use super::Part;
use crate::harness::Key;
use crate::hostile::bystander::{fetch, produce};
use crate::wire::Wire;
use bytes::Bytes;
use millstream_kafka_wire::batch::{BatchBuilder, NewRecord, batches};
use millstream_kafka_wire::messages::{
    HeartbeatRequest, JoinGroupRequest, LeaveGroupRequest, OffsetCommitRequest, OffsetFetchRequest,
    SyncGroupRequest, join_group_request, offset_commit_request, offset_fetch_request, sync_group_request,
};
use millstream_model::TimestampMs;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TOPIC: &str = "by-kafka";
const GROUP: &str = "soakers";
const RECORDS: i64 = 20;

/// After so many rounds the member leaves, and another one goes on from what was committed.
const STAY: usize = 40;

/// The only member of the group.
struct Member {
    wire: Wire,
    id: String,
    generation: i32,
}

impl Member {
    fn join(address: &str, key: &Key) -> Member {
        let mut wire = Wire::authenticated(address, key);
        let join = JoinGroupRequest {
            group_id: GROUP.into(),
            session_timeout_ms: 30_000,
            rebalance_timeout_ms: 30_000,
            protocol_type: "consumer".into(),
            protocols: vec![join_group_request::JoinGroupRequestProtocol {
                name: "range".into(),
                metadata: Bytes::from_static(b"\0\0"),
            }],
            ..JoinGroupRequest::default()
        };
        let joined = wire.call(3, &join);
        assert_eq!(joined.error_code, 0);
        assert_eq!(joined.leader, joined.member_id, "it is alone");
        let (id, generation) = (joined.member_id, joined.generation_id);
        let sync = SyncGroupRequest {
            group_id: GROUP.into(),
            generation_id: generation,
            member_id: id.clone(),
            assignments: vec![sync_group_request::SyncGroupRequestAssignment {
                member_id: id.clone(),
                assignment: Bytes::from_static(b"all of it"),
            }],
            ..SyncGroupRequest::default()
        };
        let synced = wire.call(2, &sync);
        assert_eq!(
            (synced.error_code, &synced.assignment[..]),
            (0, &b"all of it"[..])
        );
        Member { wire, id, generation }
    }

    /// Where the group goes on.
    fn committed(&mut self) -> i64 {
        let asked = OffsetFetchRequest {
            group_id: GROUP.into(),
            topics: Some(vec![offset_fetch_request::OffsetFetchRequestTopic {
                name: TOPIC.into(),
                partition_indexes: vec![0],
            }]),
            ..OffsetFetchRequest::default()
        };
        let told = self.wire.call(5, &asked);
        let partition = &told.topics[0].partitions[0];
        assert_eq!((told.error_code, partition.error_code), (0, 0));
        partition.committed_offset.max(0)
    }

    fn commit(&mut self, offset: i64) {
        let commit = OffsetCommitRequest {
            group_id: GROUP.into(),
            generation_id_or_member_epoch: self.generation,
            member_id: self.id.clone(),
            topics: vec![offset_commit_request::OffsetCommitRequestTopic {
                name: TOPIC.into(),
                partitions: vec![offset_commit_request::OffsetCommitRequestPartition {
                    committed_offset: offset,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..OffsetCommitRequest::default()
        };
        let told = self.wire.call(7, &commit);
        assert_eq!(told.topics[0].partitions[0].error_code, 0);
    }

    fn beat(&mut self) {
        let beat = HeartbeatRequest {
            group_id: GROUP.into(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            ..HeartbeatRequest::default()
        };
        assert_eq!(self.wire.call(3, &beat).error_code, 0);
    }

    /// Reads so many records from an offset on; each says its own offset.
    fn read(&mut self, from: i64, count: i64) {
        let mut next = from;
        while next < from + count {
            let mut request = fetch(TOPIC, next);
            (request.max_wait_ms, request.min_bytes) = (500, 1);
            let mut told = self.wire.call(11, &request);
            let partition = &mut told.responses[0].partitions[0];
            assert_eq!(partition.error_code, 0);
            let records = partition.records.take().unwrap_or_default().into_bytes();
            for batch in batches(records) {
                for record in batch.unwrap().records().unwrap().iter() {
                    let record = record.unwrap();
                    if record.offset.0 < next {
                        continue;
                    }
                    let expected = format!("{next} ");
                    let value = record.value.unwrap_or_default();
                    assert!(
                        record.offset.0 == next && value.starts_with(expected.as_bytes()),
                        "{record:?} at {next}"
                    );
                    next += 1;
                }
            }
        }
        assert_eq!(next, from + count, "no more than was written");
    }

    fn leave(mut self) {
        let leave = LeaveGroupRequest {
            group_id: GROUP.into(),
            member_id: self.id.clone(),
            ..LeaveGroupRequest::default()
        };
        assert_eq!(self.wire.call(2, &leave).error_code, 0);
    }
}

fn batch(first: i64) -> Bytes {
    let mut batch = BatchBuilder::new();
    for number in first..first + RECORDS {
        let value = format!("{number} {}", "x".repeat(1_000));
        let record = NewRecord {
            timestamp: TimestampMs::now(),
            key: Some(b"k"),
            value: Some(value.as_bytes()),
            ..NewRecord::default()
        };
        batch.push(record).unwrap();
    }
    batch.build().unwrap()
}

/// Records in, the same records out through the group, in order and once, over every change of its member.
pub fn group(address: &str, key: &Key, part: &Arc<Part>, until: Instant) {
    let mut producer = Wire::authenticated(address, key);
    let mut next = 0;
    while Instant::now() < until {
        let mut member = Member::join(address, key);
        assert_eq!(member.committed(), next, "the group goes on where it was");
        for _ in 0..STAY {
            let begun = Instant::now();
            let told = producer.call(9, &produce(TOPIC, batch(next)));
            let result = &told.responses[0].partition_responses[0];
            assert_eq!((result.error_code, result.base_offset), (0, next));
            member.read(next, RECORDS);
            next += RECORDS;
            member.commit(next);
            member.beat();
            part.answered(begun);
            if Instant::now() >= until {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        member.leave();
    }
}
