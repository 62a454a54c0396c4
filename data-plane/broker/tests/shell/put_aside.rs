//! A partition whose log has an entry that does not fit it: it is put aside, what it had is read, and readiness knows.

use crate::node::{World, batch, eventually, fetch, first, produce};
use millstream_broker::Condition;
use millstream_broker::interface::FetchError;
use millstream_journal::{Framed, Journal, RealDisk, Record};
use millstream_kafka_wire::batch::{BatchBuilder, NewRecord};
use millstream_model::entry::{Entry, EntryHeader, EntryKind};
use millstream_model::{KeyId, LeaderEpoch, Offset, TenantId, TimestampMs, TopicId};
use std::sync::Arc;

/// Writes a batch behind the end of the partition's group that leaves offsets out.
fn append_with_a_gap(world: &World, topic: TopicId) {
    let group = world.catalog.image().topic_by_id(topic).unwrap().partitions[0].group;
    let disk = RealDisk::open(&world.folder.path().join("journal")).unwrap();
    let (mut journal, _) = Journal::open(Arc::new(disk), world.settings().journal, |_, _| {}).unwrap();
    let (epoch, lsn) = journal.reader().end(group).unwrap();
    let mut builder = BatchBuilder::new().stamp(Offset(7), LeaderEpoch(1));
    builder.push(NewRecord::default()).unwrap();
    let header = EntryHeader {
        kind: EntryKind::Append,
        group,
        epoch,
        previous_epoch: epoch,
        lsn: lsn.next(),
        time: TimestampMs::now(),
        partition: first(topic),
        tenant: TenantId(1),
        key: KeyId::NONE,
    };
    let payload = builder.build().unwrap();
    let entry = Record::Entry(Entry { header, payload });
    journal.commit(&[Framed::checked(entry)]).unwrap();
    journal.close().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_is_put_aside_is_part_of_the_condition() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let who = world.catalog.tenant(1);
    let node = world.start(world.settings()).await;
    produce(&node.broker, &who, first(topic), batch(&["a"]))
        .await
        .unwrap();
    assert_eq!(node.handle.condition(), Condition::default());
    node.stop().await;
    append_with_a_gap(&world, topic);
    let node = world.start(world.settings()).await;
    let aside = Condition {
        quarantined_partitions: 1,
        ..Condition::default()
    };
    eventually("it is put aside", || node.handle.condition() == aside).await;
    let read = fetch(&node.broker, &who, first(topic), 0).await;
    assert_eq!(
        (&read.partitions[0].error, read.partitions[0].records.len()),
        (&None, 1)
    );
    let behind = fetch(&node.broker, &who, first(topic), 1).await;
    let damaged = FetchError::Damaged { offset: Offset(1) };
    assert_eq!(behind.partitions[0].error, Some(damaged));
    node.stop().await;
}
