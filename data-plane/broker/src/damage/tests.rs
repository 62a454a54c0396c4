//! What is remembered of damaged objects, and for how long.

use super::{Damage, DamagedObjects};
use crate::reading::FailedRead;
use millstream_model::limits::DAMAGED_OBJECTS_MAX;
use millstream_model::segment::{ObjectOwner, ObjectRef, SegmentRef};
use millstream_model::{Epoch, GroupId, Offset, PartitionId, PartitionIndex, TimestampMs, TopicId};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

fn damage(number: u64, position: u64, offset: i64) -> Damage {
    let group = GroupId(1);
    Damage {
        group,
        partition: PartitionId {
            topic: TopicId::from_bytes([3; 16]),
            index: PartitionIndex(0),
        },
        segment: SegmentRef {
            object: ObjectRef {
                owner: ObjectOwner::Shared(group),
                group,
                epoch: Epoch(1),
                number,
            },
            position,
            length: 1,
            checksum: 0,
            base_offset: Offset(0),
            end_offset: Offset(100),
            timestamp_max: TimestampMs(0),
        },
        offset: Offset(offset),
    }
}

#[test]
fn only_a_read_of_what_is_damaged_heals() {
    let (gauge, reads) = (Gauge::default(), Counter::default());
    let objects = DamagedObjects::new(gauge.clone(), reads.clone());
    let one = damage(1, 0, 50);
    objects.met(one, &FailedRead::Lost);
    objects.met(damage(1, 0, 50), &FailedRead::Lost);
    objects.met(damage(2, 0, 7), &FailedRead::Lost);
    assert_eq!((objects.count(), gauge.get(), reads.get()), (2, 2, 3));
    let read = |segment: &SegmentRef, from, end| {
        objects.read(segment, Offset(from), Offset(end));
        objects.count()
    };
    assert_eq!(read(&one.segment, 0, 50), 2, "what precedes it");
    assert_eq!(read(&one.segment, 51, 100), 2, "what follows it");
    assert_eq!(
        read(&damage(1, 9, 0).segment, 0, 100),
        2,
        "another run of the object"
    );
    assert_eq!(read(&damage(3, 0, 0).segment, 0, 100), 2, "another object");
    assert_eq!(read(&one.segment, 40, 60), 1);
    assert_eq!(gauge.get(), 1);
    objects.forget(&damage(2, 0, 7).segment.object);
    assert_eq!((objects.count(), gauge.get(), reads.get()), (0, 0, 3));
}

#[test]
fn no_more_are_remembered_than_may_be() {
    let objects = DamagedObjects::new(Gauge::default(), Counter::default());
    for number in 0..DAMAGED_OBJECTS_MAX as u64 + 10 {
        objects.met(damage(number, 0, 0), &FailedRead::Lost);
    }
    assert_eq!(objects.count(), DAMAGED_OBJECTS_MAX);
}
