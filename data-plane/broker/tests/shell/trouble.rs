//! A damaged journal, a full one, a store that is gone: clear answers, and everything else goes on.

use crate::catalog::partition;
use crate::faults::{Fault, Faults};
use crate::node::{Node, World, batch, eventually, fetch_of, first, produce, read_all};
use millstream_broker::interface::{Isolation, ListOffset, ProduceError};
use millstream_broker::{Condition, StoreFault};
use millstream_model::{Offset, Retry, TopicId, Waits};
use object_store::local::LocalFileSystem;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_serves_what_precedes_the_damage_and_takes_nothing() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let who = world.catalog.tenant(1);
    let node = world.start(world.settings()).await;
    for number in 0..20 {
        produce(
            &node.broker,
            &who,
            first(topic),
            batch(&[&format!("{number}-{}", "x".repeat(9000))]),
        )
        .await
        .unwrap();
    }
    // The last snapshot must not hide what the journal lost.
    let snapshots = world.folder.path().join("snapshots");
    let kept = tempfile::tempdir().unwrap();
    node.stop().await;
    std::fs::rename(&snapshots, kept.path().join("snapshots")).unwrap();
    let damaged = damage(&world.folder.path().join("journal"), b"10-xxxxxxx");
    assert!(damaged, "the record was found on the disk");
    let node = world.start(world.settings()).await;
    assert!(!node.broker.is_healthy());
    let values = read_all(&node.broker, &who, first(topic), 0).await;
    assert_eq!(values.len(), 10, "what precedes the damage");
    let refused = produce(&node.broker, &who, first(topic), batch(&["x"])).await;
    assert_eq!(refused, Err(ProduceError::Damaged));
    assert_eq!(
        ProduceError::Damaged.retry(),
        Retry::Never,
        "nobody waits in vain"
    );
    let isolation = Isolation::ReadUncommitted;
    let latest = node
        .broker
        .list_offset(&who, first(topic), None, ListOffset::Latest, isolation)
        .await
        .unwrap();
    assert_eq!(latest.offset, Offset(10));
    drop(node.broker);
    assert!(node.handle.shutdown().await.is_err(), "nothing more was written");
    // The operator's word: on with what is whole, behind the damage too.
    let mut settings = world.settings();
    settings.recover_groups = true;
    let node = world.start(settings).await;
    let at = produce(&node.broker, &who, first(topic), batch(&["on"]))
        .await
        .unwrap();
    assert_eq!(at.base_offset, Offset(20));
    node.stop().await;
    let node = world.start(world.settings()).await;
    assert_eq!(read_all(&node.broker, &who, first(topic), 0).await.len(), 20);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_hangs_holds_nobody_up() {
    let mut world = World::new();
    let faults = Arc::new(Faults::over(Arc::clone(&world.store)));
    world.store = Arc::clone(&faults) as _;
    let topic = world.catalog.create_topic(1, "t", 2, &[]);
    let who = world.catalog.tenant(1);
    let mut settings = world.settings();
    settings.flush.age_ms = 0;
    settings.snapshot_interval = Duration::from_millis(50);
    let node = world.start(settings).await;
    faults.set(Fault::Hangs);
    let value = "x".repeat(1000);
    let begun = std::time::Instant::now();
    for number in 0..200 {
        produce(&node.broker, &who, partition(topic, number % 2), batch(&[&value]))
            .await
            .unwrap();
    }
    assert_eq!(read_all(&node.broker, &who, first(topic), 0).await.len(), 100);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    eventually("a call hangs", || faults.hanging() > 0).await;
    let begun = std::time::Instant::now();
    node.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    faults.set(Fault::None);
    let node = world.start(world.settings()).await;
    assert_eq!(read_all(&node.broker, &who, first(topic), 0).await.len(), 100);
    node.stop().await;
}

/// Changes the byte before this text in the first file that has it.
fn damage(folder: &std::path::Path, text: &[u8]) -> bool {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let Some(at) = bytes.windows(text.len()).position(|window| window == text) else {
            continue;
        };
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all_at(b"!", at as u64).unwrap();
        return true;
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_gone_the_journal_fills_and_then_empties() {
    let mut world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("store");
    std::fs::create_dir(&place).unwrap();
    world.store = Arc::new(LocalFileSystem::new_with_prefix(&place).unwrap());
    let topic = world.catalog.create_topic(1, "t", 2, &[]);
    let who = world.catalog.tenant(1);
    let mut settings = world.settings();
    settings.journal.size_bytes = 16 * 1024 * 1024;
    settings.journal.file_bytes = 512 * 1024;
    settings.journal.commit_bytes_max = 256 * 1024;
    settings.flush.bytes = 1024 * 1024;
    settings.tier.attempts_max = 1;
    let node = world.start(settings).await;
    // A file where the folder was: nothing can be written, whoever asks.
    std::fs::remove_dir_all(&place).unwrap();
    std::fs::write(&place, b"").unwrap();
    let value = "x".repeat(100_000);
    let mut taken = 0;
    let full = loop {
        match produce(&node.broker, &who, partition(topic, taken % 2), batch(&[&value])).await {
            Ok(_) => taken += 1,
            Err(error) => break error,
        }
        assert!(taken < 200, "it never fills");
    };
    assert_eq!(full, ProduceError::Full);
    assert!(taken > 60, "{taken}");
    assert!(node.metric("flush_failures_total") > 0.0);
    let read = read_all(&node.broker, &who, first(topic), 0).await.len() as u32;
    assert_eq!(read, taken.div_ceil(2), "reading goes on");
    std::fs::remove_file(&place).unwrap();
    std::fs::create_dir(&place).unwrap();
    let mut again = Err(full);
    for _ in 0..2000 {
        again = produce(&node.broker, &who, first(topic), batch(&[&value])).await;
        if again.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(again.is_ok(), "{again:?}");
    eventually("objects are written", || {
        node.metric("flushed_objects_total") > 0.0
    })
    .await;
    node.stop().await;
}

/// A node whose journal is full, for its store fails; what rests after a failure rests for an hour.
async fn filled() -> (World, Node, Arc<Faults>, TopicId) {
    let mut world = World::new();
    let faults = Arc::new(Faults::over(Arc::clone(&world.store)));
    world.store = Arc::clone(&faults) as _;
    let topic = world.catalog.create_topic(1, "t", 2, &[]);
    let who = world.catalog.tenant(1);
    let mut settings = world.settings();
    settings.journal.file_bytes = 512 * 1024;
    settings.journal.commit_bytes_max = 256 * 1024;
    settings.flush.bytes = 1024 * 1024;
    settings.tier.attempts_max = 1;
    settings.backoff = Waits::new(Duration::from_secs(3600), Duration::from_secs(3600));
    let node = world.start(settings).await;
    eventually("somebody leads", || {
        node.handle.condition().unserved_partitions == 0
    })
    .await;
    assert_eq!(node.handle.condition(), Condition::default());
    faults.set(Fault::Errs);
    let value = "x".repeat(100_000);
    let mut taken = 0;
    while produce(&node.broker, &who, partition(topic, taken % 2), batch(&[&value]))
        .await
        .is_ok()
    {
        taken += 1;
        assert!(taken < 200, "it never fills");
    }
    eventually("a flush has failed", || node.handle.condition().store.is_some()).await;
    let condition = node.handle.condition();
    assert!(condition.is_journal_full, "{condition:?}");
    assert!(
        condition
            .store
            .as_ref()
            .is_some_and(|it| it.fault == StoreFault::Failing && it.groups > 0),
        "{condition:?}"
    );
    assert!(node.metric("produce_refused_total") > 0.0);
    (world, node, faults, topic)
}

/// Failed background work rests for an hour here: only those who are refused, or who look, can have it tried before.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_refused_triggers_the_try_and_the_condition_tells_why() {
    let (world, node, faults, topic) = filled().await;
    let who = world.catalog.tenant(1);
    let value = "x".repeat(100_000);
    faults.set(Fault::None);
    let mut again = Err(ProduceError::Full);
    for _ in 0..2000 {
        again = produce(&node.broker, &who, first(topic), batch(&[&value])).await;
        if again.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(again.is_ok(), "{again:?}");
    eventually("nothing is wrong any more", || {
        node.handle.condition() == Condition::default()
    })
    .await;
    node.stop().await;
}

/// Nobody writes any more: a balancer has taken the node out.
#[tokio::test(flavor = "multi_thread")]
async fn who_looks_while_the_journal_is_full_has_room_tried_for() {
    let (_world, node, faults, _) = filled().await;
    faults.set(Fault::None);
    eventually("nothing is wrong any more", || {
        node.handle.condition() == Condition::default()
    })
    .await;
    node.stop().await;
}

/// A reader that waits for records gets an answer when the service drains.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_parked_is_answered_when_it_drains() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let who = world.catalog.tenant(1);
    let node = world.start(world.settings()).await;
    produce(&node.broker, &who, first(topic), batch(&["one"]))
        .await
        .unwrap();
    let fetch = {
        let (broker, who) = (node.broker.clone(), who.clone());
        let request = fetch_of(first(topic), 1, Duration::from_secs(60));
        tokio::spawn(async move { broker.fetch(&who, request).await })
    };
    eventually("the fetch is parked", || node.metric("fetches_parked") == 1.0).await;
    node.handle.drain();
    let fetched = tokio::time::timeout(Duration::from_secs(30), fetch).await;
    let fetched = fetched.unwrap().unwrap();
    assert_eq!(fetched.partitions.len(), 1);
    assert!(fetched.partitions[0].error.is_none() && fetched.partitions[0].bytes() == 0);
    // Whoever comes now does not wait either.
    let late = fetch_of(first(topic), 1, Duration::from_secs(60));
    let late = tokio::time::timeout(Duration::from_secs(30), node.broker.fetch(&who, late)).await;
    assert_eq!(late.unwrap().partitions.len(), 1);
    // What needs no waiting goes on.
    produce(&node.broker, &who, first(topic), batch(&["two"]))
        .await
        .unwrap();
    node.stop().await;
}

/// A partition whose group has no leader is neither written nor read, and is counted.
#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_nobody_leads_are_counted() {
    let world = World::new();
    world.catalog.create_topic(1, "t", 3, &[]);
    let node = world.start(world.settings()).await;
    eventually("somebody leads", || {
        node.handle.condition().unserved_partitions == 0
    })
    .await;
    world.catalog.depose();
    eventually("nobody leads", || {
        node.handle.condition().unserved_partitions == 3
    })
    .await;
    assert_eq!(node.metric("unserved_partitions"), 3.0);
    world.catalog.elect_again();
    eventually("somebody leads again", || {
        node.handle.condition().unserved_partitions == 0
    })
    .await;
    // A node that has a session because the controller has just begun, and was never heard, serves nobody.
    world.catalog.has_just_begun.store(true, Ordering::Relaxed);
    assert_eq!(node.handle.condition().unserved_partitions, 0, "this node leads");
    world.catalog.elect_a_stranger();
    eventually("nobody was heard", || {
        node.handle.condition().unserved_partitions == 3
    })
    .await;
    world.catalog.has_just_begun.store(false, Ordering::Relaxed);
    assert_eq!(node.handle.condition().unserved_partitions, 0);
    node.stop().await;
}
