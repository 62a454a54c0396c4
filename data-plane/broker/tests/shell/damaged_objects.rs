//! Objects that are damaged or lost: their readers are told so at once, all others go on, and it is known until they are
//! whole again or nobody wants them any more.

use crate::faults::{Fault, Faults};
use crate::node::{Node, World, batch_at, eventually, fetch, fetch_of, first, produce};
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use millstream_access::Principal;
use millstream_broker::interface::{FetchError, Isolation, ListOffset, OffsetError};
use millstream_broker::{Condition, check_store};
use millstream_model::{Offset, PartitionId, Retry, TimestampMs, TopicId};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::sync::Arc;
use std::time::Duration;

/// Three batches, each a block of its own, in one object that was read by nobody; and where that object lies.
async fn stored(world: &World, who: &Principal) -> (Node, TopicId, Path) {
    let topic = world.catalog.create_topic(1, "t", 1, &[("retention.ms", "-1")]);
    let node = world.start(world.settings()).await;
    for number in 0..3_i64 {
        let value = format!("{number}{}", "x".repeat(200_000));
        let sent = batch_at(TimestampMs(1_000 * (number + 1)), &[&value]);
        produce(&node.broker, who, first(topic), sent).await.unwrap();
    }
    node.stop().await;
    let mut settings = world.settings();
    settings.flush.age_ms = 0;
    settings.tail_bytes = 0;
    settings.tier.cache_bytes = 0;
    settings.retention_interval = Duration::from_millis(20);
    let node = world.start(settings).await;
    while look(&node, who, first(topic), ListOffset::LatestTiered).await != Ok(Offset(2)) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let all: Vec<_> = world.store.list(None).try_collect().await.unwrap();
    let mut segments = all
        .into_iter()
        .filter(|found| found.location.as_ref().contains("/segments/"));
    let (Some(one), None) = (segments.next(), segments.next()) else {
        panic!("one object holds them")
    };
    (node, topic, one.location)
}

async fn look(
    node: &Node,
    who: &Principal,
    of: PartitionId,
    what: ListOffset,
) -> Result<Offset, OffsetError> {
    let isolation = Isolation::ReadUncommitted;
    let found = node.broker.list_offset(who, of, None, what, isolation).await;
    found.map(|found| found.offset)
}

/// The object with a bit flipped in the second batch's value.
async fn flipped(store: &dyn ObjectStore, name: &Path) -> (Bytes, Bytes) {
    let good = store.get(name).await.unwrap().bytes().await.unwrap();
    let at = good.windows(5).position(|window| window == b"1xxxx").unwrap();
    let mut bad = BytesMut::from(&good[..]);
    bad[at + 1_000] ^= 4;
    (good, bad.freeze())
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_of_a_damaged_block_are_told_at_once_and_only_they() {
    let world = World::new();
    let who = world.catalog.tenant(1);
    let (node, topic, name) = stored(&world, &who).await;
    let (good, bad) = flipped(world.store.as_ref(), &name).await;
    assert_eq!(node.handle.damaged_objects(), 0);
    world.store.put(&name, bad.into()).await.unwrap();
    // Nobody waits for what never comes.
    let damaged = FetchError::Damaged { offset: Offset(1) };
    let patient = fetch_of(first(topic), 1, Duration::from_secs(50));
    let fetched = tokio::time::timeout(Duration::from_secs(30), node.broker.fetch(&who, patient));
    let fetched = fetched.await.unwrap();
    assert_eq!(fetched.partitions[0].error, Some(damaged.clone()));
    assert_eq!(damaged.retry(), Retry::Never);
    assert_eq!(node.metric("damaged_objects"), 1.0);
    assert_eq!(node.metric("damaged_reads_total"), 1.0);
    assert_eq!(node.handle.damaged_objects(), 1);
    let condition = Condition {
        damaged_objects: 1,
        ..Condition::default()
    };
    assert_eq!(node.handle.condition(), condition, "what readiness is made of");
    // What lies around it is read, before it also by one who wants more.
    for (offset, next) in [(0, 1), (2, 3)] {
        let fetched = fetch(&node.broker, &who, first(topic), offset).await;
        assert_eq!(fetched.partitions[0].error, None);
        let whole: Vec<Bytes> = fetched.partitions[0].records.clone();
        let last = millstream_kafka_wire::batch::batches(whole.concat().into()).last();
        assert_eq!(last.unwrap().unwrap().header().next_offset(), Offset(next));
    }
    let found = look(
        &node,
        &who,
        first(topic),
        ListOffset::AtOrAfter(TimestampMs(1_500)),
    )
    .await;
    assert_eq!(found, Err(OffsetError::Damaged { offset: Offset(1) }));
    let behind = look(
        &node,
        &who,
        first(topic),
        ListOffset::AtOrAfter(TimestampMs(2_500)),
    )
    .await;
    assert_eq!(
        behind,
        Ok(Offset(2)),
        "the footer says that it lies behind the damage"
    );
    let latest = look(&node, &who, first(topic), ListOffset::Latest).await;
    assert_eq!(latest, Ok(Offset(3)));
    assert_eq!(node.handle.damaged_objects(), 1, "one object, however often");
    // Whoever repairs it tells nobody.
    world.store.put(&name, good.into()).await.unwrap();
    eventually("it is known to be whole", || {
        node.metric("damaged_objects") == 0.0
    })
    .await;
    let fetched = fetch(&node.broker, &who, first(topic), 1).await;
    assert_eq!(fetched.partitions[0].error, None);
    assert_eq!(node.handle.damaged_objects(), 0);
    assert_eq!(node.handle.condition(), Condition::default());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_object_is_told_and_forgotten_with_its_records() {
    let world = World::new();
    let who = world.catalog.tenant(1);
    let (node, topic, name) = stored(&world, &who).await;
    world.store.delete(&name).await.unwrap();
    let patient = fetch_of(first(topic), 0, Duration::from_secs(50));
    let fetched = tokio::time::timeout(Duration::from_secs(30), node.broker.fetch(&who, patient));
    let fetched = fetched.await.unwrap();
    let damaged = FetchError::Damaged { offset: Offset(0) };
    assert_eq!(fetched.partitions[0].error, Some(damaged));
    assert_eq!(node.metric("damaged_objects"), 1.0);
    node.broker
        .delete_records(&who, first(topic), None)
        .await
        .unwrap();
    eventually("it is nobody's matter any more", || {
        node.metric("damaged_objects") == 0.0
    })
    .await;
    assert!(node.metric("damaged_reads_total") >= 1.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_check_reads_what_the_snapshots_name() {
    let world = World::new();
    let who = world.catalog.tenant(1);
    let (node, topic, name) = stored(&world, &who).await;
    // A snapshot on the disk, which knows of the object.
    node.stop().await;
    let faults = Arc::new(Faults::over(Arc::clone(&world.store)));
    let look = async || {
        let mut findings = Vec::new();
        let image = world.catalog.image();
        let at = (Arc::clone(&faults) as _, Path::default());
        let checked = check_store(world.folder.path(), &image, at, |found| findings.push(found)).await;
        (checked.unwrap(), findings)
    };
    let (checked, findings) = look().await;
    assert_eq!(findings, []);
    assert_eq!((checked.partitions, checked.damaged, checked.unread), (1, 0, 0));
    assert!(checked.bytes > 600_000, "{checked:?}");
    let (good, bad) = flipped(world.store.as_ref(), &name).await;
    world.store.put(&name, bad.into()).await.unwrap();
    let (checked, findings) = look().await;
    assert_eq!((checked.damaged, checked.unread), (1, 0));
    let [finding] = &findings[..] else {
        panic!("{findings:?}")
    };
    let records = finding.records.unwrap();
    assert_eq!((records.tenant, records.partition), (who.tenant, first(topic)));
    assert_eq!((records.base_offset, records.end_offset), (Offset(1), Offset(2)));
    assert_eq!(finding.object, name.as_ref());
    // A store that is down says nothing of its objects.
    world.store.put(&name, good.into()).await.unwrap();
    faults.set(Fault::Errs);
    let (checked, findings) = look().await;
    assert_eq!(checked.damaged, 0);
    assert!(
        checked.unread >= 1 && findings.iter().all(|found| !found.is_damage),
        "{findings:?}"
    );
    faults.set(Fault::None);
    // A snapshot that is damaged itself.
    let snapshots = world.folder.path().join("snapshots");
    for file in std::fs::read_dir(&snapshots).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[30] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    }
    let (checked, findings) = look().await;
    assert!(checked.damaged >= 1);
    assert!(
        findings
            .iter()
            .all(|found| found.is_damage && found.records.is_none())
    );
}
