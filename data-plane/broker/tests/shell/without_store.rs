//! A start while the object store and the controller are away: reads from the disk, and the rest once they are back.

use crate::catalog::partition;
use crate::faults::{Fault, Faults};
use crate::node::{Node, World, batch, batch_at, bytes_of, end_of, first, produce, read_all};
use millstream_access::Principal;
use millstream_broker::interface::{Isolation, ListOffset, ProduceError};
use millstream_broker::{Settings, Standing, StartError};
use millstream_model::{Offset, PartitionId, TimestampMs};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn without_controller(world: &World) -> Settings {
    let mut settings = world.settings();
    settings.waits_for_controller = false;
    settings.tier.attempts_max = 1;
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_served_at_once_and_everything_once_the_controller_is_back() {
    let mut world = World::new();
    let faults = Arc::new(Faults::over(Arc::clone(&world.store)));
    world.store = Arc::clone(&faults) as _;
    let topic = world.catalog.create_topic(1, "t", 2, &[]);
    let (who, of, other) = (world.catalog.tenant(1), first(topic), partition(topic, 1));
    let node = world.start(world.settings()).await;
    for number in 0..20 {
        for to in [of, other] {
            produce(&node.broker, &who, to, batch(&[&format!("{number}")]))
                .await
                .unwrap();
        }
    }
    let before = bytes_of(&node.broker, &who, of).await;
    node.stop().await;
    faults.set(Fault::Hangs);
    world.catalog.away.store(true, Ordering::Relaxed);

    for round in 0..2 {
        let node = world.start(without_controller(&world)).await;
        assert_eq!(node.broker.standing(), Standing::Waiting);
        assert_eq!(bytes_of(&node.broker, &who, of).await, before);
        assert_eq!(end_of(&node.broker, &who, other).await, 20);
        let refused = produce(&node.broker, &who, of, batch(&["x"])).await;
        assert_eq!(refused, Err(ProduceError::NotLeader), "round {round}");
        // A stop is clean, and leaves all to the next one.
        node.stop().await;
    }
    let node = world.start(without_controller(&world)).await;
    faults.set(Fault::None);
    world.catalog.away.store(false, Ordering::Relaxed);
    assert!(node.broker.joined().await);
    let mut next = produce(&node.broker, &who, of, batch(&["next"])).await;
    while next == Err(ProduceError::NotLeader) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        next = produce(&node.broker, &who, of, batch(&["next"])).await;
    }
    assert_eq!(next.unwrap().base_offset, Offset(20));
    assert_eq!(read_all(&node.broker, &who, of, 19).await.len(), 2);
    node.stop().await;
    let node = world.start(world.settings()).await;
    assert_eq!(read_all(&node.broker, &who, of, 0).await.len(), 21);
    node.stop().await;
}

/// Waits until so much of a partition is in the store, and until a snapshot that knows it is kept.
async fn tiered(node: &Node, who: &Principal, of: PartitionId, end: i64) {
    for _ in 0..2000 {
        let (what, isolation) = (ListOffset::LatestTiered, Isolation::ReadUncommitted);
        let found = node.broker.list_offset(who, of, None, what, isolation).await;
        if found.is_ok_and(|found| found.offset == Offset(end - 1)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{of} is not flushed up to {end}")
}

/// Records that went to the store are in the journal, too, until its file is used again.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_journal_still_has_is_read_without_the_store() {
    for fault in [Fault::Errs, Fault::Hangs] {
        let mut world = World::new();
        let faults = Arc::new(Faults::over(Arc::clone(&world.store)));
        world.store = Arc::clone(&faults) as _;
        let topic = world.catalog.create_topic(1, "t", 2, &[]);
        let (who, of, other) = (world.catalog.tenant(1), first(topic), partition(topic, 1));
        let mut settings = world.settings();
        settings.flush.age_ms = 0;
        settings.tier.attempts_max = 1;
        settings.tier.call_timeout = Duration::from_millis(200);
        let node = world.start(settings.clone()).await;
        for number in 0..20 {
            for to in [of, other] {
                let at = TimestampMs(1_700_000_000_000 + number);
                let sent = batch_at(at, &[&format!("{number}")]);
                produce(&node.broker, &who, to, sent).await.unwrap();
            }
        }
        tiered(&node, &who, of, 20).await;
        tiered(&node, &who, other, 20).await;
        node.stop().await;

        // Down at the start.
        faults.set(fault);
        world.catalog.away.store(true, Ordering::Relaxed);
        let mut without = settings.clone();
        without.waits_for_controller = false;
        let node = world.start(without).await;
        for from in [of, other] {
            assert_eq!(read_all(&node.broker, &who, from, 0).await.len(), 20);
        }
        let at = ListOffset::AtOrAfter(TimestampMs(1_700_000_000_007));
        let found = node
            .broker
            .list_offset(&who, of, None, at, Isolation::ReadUncommitted)
            .await;
        assert_eq!(found.unwrap().offset, Offset(7));
        assert!(node.metric("fetched_from_journal_bytes_total") > 0.0);
        node.stop().await;

        // Down while it runs.
        faults.set(Fault::None);
        world.catalog.away.store(false, Ordering::Relaxed);
        let node = world.start(settings).await;
        end_of(&node.broker, &who, of).await;
        assert_eq!(read_all(&node.broker, &who, of, 0).await.len(), 20);
        assert_eq!(
            node.metric("fetched_from_journal_bytes_total"),
            0.0,
            "from the store, while it answers"
        );
        faults.set(fault);
        for from in [other, of] {
            assert_eq!(read_all(&node.broker, &who, from, 0).await.len(), 20);
        }
        assert!(node.metric("fetched_from_journal_bytes_total") > 0.0);
        node.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_snapshot_that_is_too_old_waits_for_the_stores() {
    let mut world = World::new();
    let faults = Arc::new(Faults::over(Arc::clone(&world.store)));
    world.store = Arc::clone(&faults) as _;
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let (who, of) = (world.catalog.tenant(1), first(topic));
    let mut settings = world.settings();
    settings.flush.bytes = 200_000;
    settings.journal.size_bytes = 8 * 1024 * 1024;
    settings.journal.file_bytes = 1024 * 1024;
    settings.journal.commit_bytes_max = 512 * 1024;
    let node = world.start(settings.clone()).await;
    produce(&node.broker, &who, of, batch(&["first"])).await.unwrap();
    node.stop().await;
    let old = tempfile::tempdir().unwrap();
    let local = world.folder.path().join("snapshots");
    for file in std::fs::read_dir(&local).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), old.path().join(file.file_name())).unwrap();
    }
    // The journal is used more than once: what the old snapshot would need is gone.
    let node = world.start(settings.clone()).await;
    let value = "x".repeat(100_000);
    let mut written = 1;
    while written < 200 {
        match produce(&node.broker, &who, of, batch(&[&value])).await {
            Ok(_) => written += 1,
            Err(ProduceError::Full) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error}"),
        }
    }
    node.stop().await;
    for file in std::fs::read_dir(old.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), local.join(file.file_name())).unwrap();
    }
    faults.set(Fault::Errs);
    world.catalog.away.store(true, Ordering::Relaxed);
    settings.waits_for_controller = false;
    settings.tier.attempts_max = 1;
    let node = world.start(settings).await;
    let refused = produce(&node.broker, &who, of, batch(&["x"])).await;
    assert_eq!(refused, Err(ProduceError::NotLeader));
    world.catalog.away.store(false, Ordering::Relaxed);
    faults.set(Fault::None);
    let mut next = Err(ProduceError::NotLeader);
    while next == Err(ProduceError::NotLeader) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        next = produce(&node.broker, &who, of, batch(&["next"])).await;
    }
    assert_eq!(next.unwrap().base_offset, Offset(written));
    assert_eq!(read_all(&node.broker, &who, of, 0).await.len(), 201);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_never_registered_does_not_start_without() {
    let world = World::new();
    world.catalog.away.store(true, Ordering::Relaxed);
    let refused = world.try_start(without_controller(&world)).await;
    assert!(matches!(refused.err(), Some(StartError::NeverRegistered)));
}
