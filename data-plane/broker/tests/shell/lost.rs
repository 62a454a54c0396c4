//! Disks that are gone: what the store had is read, what it had not is passed over, and the service goes on.

use crate::catalog::{TENANTS, partition};
use crate::node::{Node, World, batch, end_of, eventually, first, produce, read_all};
use millstream_access::Principal;
use millstream_broker::Settings;
use millstream_broker::interface::{Isolation, ListOffset};
use millstream_model::{Lsn, Offset, PartitionId};
use std::time::Duration;

async fn offset_of(node: &Node, who: &Principal, of: PartitionId, what: ListOffset) -> i64 {
    let found = node
        .broker
        .list_offset(who, of, None, what, Isolation::ReadUncommitted)
        .await
        .unwrap();
    found.offset.0
}

async fn fill(node: &Node, who: &Principal, to: PartitionId, from: i64, end: i64) {
    for number in from..end {
        let value = format!("{number}");
        produce(&node.broker, who, to, batch(&[&value])).await.unwrap();
    }
}

async fn tiered(node: &Node, who: &Principal, of: PartitionId, end: i64) {
    for _ in 0..2000 {
        if offset_of(node, who, of, ListOffset::LatestTiered).await == end - 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{of} is not flushed up to {end}")
}

fn reported(world: &World) -> Lsn {
    let row = world.catalog.image().group(TENANTS).cloned();
    row.and_then(|row| row.snapshot)
        .map(|it| it.lsn)
        .unwrap_or_default()
}

fn flushing(world: &World) -> Settings {
    let mut settings = world.settings();
    settings.flush.age_ms = 0;
    settings
}

fn recovering(world: &World) -> Settings {
    Settings {
        recover_groups: true,
        ..flushing(world)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_lost_journal_had_is_passed_over_and_the_flush_goes_on() {
    let mut world = World::new();
    let topic = world.catalog.create_topic(1, "t", 2, &[]);
    let (who, of, other) = (world.catalog.tenant(1), first(topic), partition(topic, 1));
    let node = world.start(flushing(&world)).await;
    fill(&node, &who, of, 0, 10).await;
    tiered(&node, &who, of, 10).await;
    node.stop().await;
    // Nothing is flushed any more, and snapshots know it as hot.
    let mut settings = world.settings();
    settings.snapshot_interval = Duration::from_millis(20);
    let node = world.start(settings).await;
    fill(&node, &who, of, 10, 20).await;
    fill(&node, &who, other, 0, 5).await;
    let (mut next, mut last, mut newer) = (20, reported(&world), 0);
    while newer < 2 {
        fill(&node, &who, of, next, next + 1).await;
        next += 1;
        tokio::time::sleep(Duration::from_millis(5)).await;
        if reported(&world) != last {
            (last, newer) = (reported(&world), newer + 1);
        }
    }
    node.stop().await;
    world.erase_disk();

    let node = world.start(recovering(&world)).await;
    let end = end_of(&node.broker, &who, of).await;
    assert!((20..=next).contains(&end), "{end}");
    let kept: Vec<_> = (0..10).map(|number| (number, number.to_string())).collect();
    assert_eq!(
        read_all(&node.broker, &who, of, 0).await,
        kept,
        "and the end is reached"
    );
    assert_eq!(read_all(&node.broker, &who, of, 15).await, []);
    assert_eq!(read_all(&node.broker, &who, other, 0).await, []);
    assert_eq!(node.metric("lost_offsets_total"), (end - 10 + 5) as f64);
    // Offsets go on, and so does the flush.
    let at = produce(&node.broker, &who, of, batch(&["next"])).await.unwrap();
    assert_eq!(at.base_offset, Offset(end));
    tiered(&node, &who, of, end + 1).await;
    tiered(&node, &who, other, 5).await;
    let mut all = kept;
    all.push((end, "next".to_owned()));
    assert_eq!(read_all(&node.broker, &who, of, 0).await, all);
    assert_eq!(node.metric("flush_failures_total"), 0.0);
    node.stop().await;
    // A second start says nothing again.
    let node = world.start(flushing(&world)).await;
    assert_eq!(read_all(&node.broker, &who, of, 0).await, all);
    assert_eq!(node.metric("lost_offsets_total"), 0.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_was_trimmed_in_its_middle_reaches_the_store_whole() {
    let mut world = World::new();
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let (who, of) = (world.catalog.tenant(1), first(topic));
    let node = world.start(world.settings()).await;
    for round in 0..3 {
        let values: Vec<_> = (0..10).map(|number| (round * 10 + number).to_string()).collect();
        let values: Vec<_> = values.iter().map(String::as_str).collect();
        produce(&node.broker, &who, of, batch(&values)).await.unwrap();
    }
    assert_eq!(
        node.broker.delete_records(&who, of, Some(Offset(15))).await,
        Ok(Offset(15))
    );
    let before = read_all(&node.broker, &who, of, 15).await;
    assert_eq!(before.len(), 15);
    node.stop().await;
    // Here a snapshot comes behind a flush only, and the first flush takes everything.
    let known = reported(&world);
    let node = world.start(flushing(&world)).await;
    tiered(&node, &who, of, 30).await;
    eventually("a snapshot that knows it is reported", || {
        reported(&world) > known
    })
    .await;
    node.stop().await;
    world.erase_disk();
    let node = world.start(recovering(&world)).await;
    end_of(&node.broker, &who, of).await;
    assert_eq!(offset_of(&node, &who, of, ListOffset::Earliest).await, 15);
    assert_eq!(read_all(&node.broker, &who, of, 15).await, before);
    assert!(node.metric("fetched_from_store_bytes_total") > 0.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_store_survives_the_disk_without_waiting_for_the_next_snapshot_by_time() {
    let mut world = World::new();
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let (who, of) = (world.catalog.tenant(1), first(topic));
    // Snapshots by time or size would come in an hour.
    let node = world.start(flushing(&world)).await;
    fill(&node, &who, of, 0, 10).await;
    tiered(&node, &who, of, 10).await;
    let known = reported(&world);
    fill(&node, &who, of, 10, 11).await;
    tiered(&node, &who, of, 11).await;
    eventually("a snapshot follows the flush", || reported(&world) > known).await;
    node.stop().await;
    world.erase_disk();
    let node = world.start(recovering(&world)).await;
    end_of(&node.broker, &who, of).await;
    let values = read_all(&node.broker, &who, of, 0).await;
    assert!(values.len() >= 10, "{values:?}");
    node.stop().await;
}
