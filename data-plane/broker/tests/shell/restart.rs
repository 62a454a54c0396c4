//! Restarts: from the disk, from the store alone, after a kill; and what they cost.

use crate::catalog::{INTERNAL, TENANTS, partition};
use crate::faults::{Fault, Faults};
use crate::node::{
    Node, World, batch, bytes_of, end_of, eventually, first, first_bytes_of, produce, read_all,
};
use futures::TryStreamExt;
use millstream_broker::StartError;
use millstream_broker::interface::{Isolation, ListOffset, ProduceError};
use millstream_metadata::Refusal;
use millstream_model::{Epoch, Offset, PartitionId, Registration};
use millstream_tier::Tier;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// An end for every wait on a busy machine; nothing is measured with it.
const PATIENCE: Duration = Duration::from_secs(120);

async fn fill(world: &World, node: &Node, topic: millstream_model::TopicId, from: i64, to: i64) {
    let who = world.catalog.tenant(1);
    for number in from..to {
        let value = format!("{number}-{}", "x".repeat(1000));
        for index in 0..2 {
            produce(&node.broker, &who, partition(topic, index), batch(&[&value]))
                .await
                .unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_acknowledged_is_there_after_a_stop_and_after_a_kill() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 2, &[]);
    let who = world.catalog.tenant(1);
    let node = world.start(world.settings()).await;
    fill(&world, &node, topic, 0, 20).await;
    let before = bytes_of(&node.broker, &who, first(topic)).await;
    node.stop().await;
    let node = world.start(world.settings()).await;
    assert_eq!(bytes_of(&node.broker, &who, first(topic)).await, before);
    fill(&world, &node, topic, 20, 30).await;
    // A kill: the folder as it is, under a broker that was never stopped.
    let copy = tempfile::tempdir().unwrap();
    copy_folder(world.folder.path(), copy.path());
    let mut killed = World {
        folder: copy,
        ..World::new()
    };
    killed.catalog = std::sync::Arc::clone(&world.catalog);
    killed.store = std::sync::Arc::clone(&world.store);
    let again = killed.start(killed.settings()).await;
    assert_eq!(read_all(&again.broker, &who, first(topic), 0).await.len(), 30);
    assert_eq!(
        read_all(&again.broker, &who, partition(topic, 1), 25).await.len(),
        5
    );
    fill(&killed, &again, topic, 30, 31).await;
    assert_eq!(read_all(&again.broker, &who, first(topic), 30).await.len(), 1);
    again.stop().await;
    drop(node);
}

pub fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else if let Err(error) = std::fs::copy(entry.path(), target) {
            // A file on its way to another name: whoever is killed now has not made it.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_disk_is_replaced_by_the_store() {
    let mut world = World::new();
    let topic = world.catalog.create_topic(1, "t", 2, &[]);
    let who = world.catalog.tenant(1);
    let mut settings = world.settings();
    settings.flush.age_ms = 0;
    settings.snapshot_interval = Duration::from_millis(50);
    let node = world.start(settings).await;
    fill(&world, &node, topic, 0, 50).await;
    let before = [
        bytes_of(&node.broker, &who, first(topic)).await,
        bytes_of(&node.broker, &who, partition(topic, 1)).await,
    ];
    tiered_up_to(&node, &who, partition(topic, 1), 50).await;
    // The group's next snapshot but one was certainly begun after everything was in the store.
    let reported = || {
        world
            .catalog
            .image()
            .group(TENANTS)
            .unwrap()
            .snapshot
            .map(|it| it.lsn)
    };
    let (mut next, mut newer, mut last) = (50, 0, reported());
    while newer < 2 {
        fill(&world, &node, topic, next, next + 1).await;
        next += 1;
        if reported() != last {
            (newer, last) = (newer + 1, reported());
        }
    }
    let covered = world.catalog.image().group(TENANTS).unwrap().snapshot.unwrap();
    assert!(covered.lsn.0 > 100);
    node.stop().await;
    world.erase_disk();
    // Without the operator's word the empty disk is a new replica, and nobody pretends to have the partitions.
    let node = world.start(world.settings()).await;
    let refused = produce(&node.broker, &who, first(topic), batch(&["x"])).await;
    assert_eq!(refused, Err(ProduceError::NotLeader));
    assert!(node.handle.recovered().is_empty());
    node.stop().await;
    let mut settings = world.settings();
    settings.recover_groups = true;
    let node = world.start(settings).await;
    let told: Vec<_> = node.handle.recovered().iter().map(|group| group.group).collect();
    assert_eq!(told, [INTERNAL, TENANTS]);
    let lsn = node.handle.recovered()[1].snapshot.map(|snapshot| snapshot.lsn);
    assert!(lsn >= Some(covered.lsn));
    let end = end_of(&node.broker, &who, first(topic)).await;
    assert!(end >= 50, "offsets go on where the snapshot ended");
    // What the snapshot knew but the store did not have yet was in the lost journal: only what precedes it is asked for.
    let after = [
        first_bytes_of(&node.broker, &who, first(topic), before[0].len()).await,
        first_bytes_of(&node.broker, &who, partition(topic, 1), before[1].len()).await,
    ];
    assert!(
        after[0].starts_with(&before[0]) && after[1].starts_with(&before[1]),
        "identical bytes"
    );
    let at = produce(&node.broker, &who, first(topic), batch(&["next"]))
        .await
        .unwrap();
    assert_eq!(at.base_offset, Offset(end));
    node.stop().await;
    // From here on it is a journal like any other.
    let node = world.start(world.settings()).await;
    let values = read_all(&node.broker, &who, first(topic), end).await;
    assert_eq!(values.last(), Some(&(end, "next".to_owned())));
    assert!(
        first_bytes_of(&node.broker, &who, first(topic), before[0].len())
            .await
            .starts_with(&before[0])
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_never_begun_anew_while_its_snapshot_cannot_be_had() {
    let mut world = World::new();
    let faults = Arc::new(Faults::over(Arc::clone(&world.store)));
    world.store = Arc::clone(&faults) as _;
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let who = world.catalog.tenant(1);
    let mut settings = world.settings();
    settings.flush.age_ms = 0;
    settings.snapshot_interval = Duration::from_millis(50);
    let node = world.start(settings).await;
    produce(&node.broker, &who, first(topic), batch(&["kept"]))
        .await
        .unwrap();
    eventually("the catalog knows a snapshot with the record", || {
        let row = world.catalog.image().group(TENANTS).unwrap().snapshot;
        row.is_some_and(|snapshot| snapshot.lsn.0 >= 3)
    })
    .await;
    node.stop().await;
    world.erase_disk();
    faults.set(Fault::Errs);
    let mut settings = world.settings();
    settings.recover_groups = true;
    settings.tier.attempts_max = 1;
    let node = world.start(settings).await;
    let refused = produce(&node.broker, &who, first(topic), batch(&["x"])).await;
    assert_eq!(refused, Err(ProduceError::NotLeader));
    faults.set(Fault::None);
    let again = taken_at_last(&node, &who, first(topic), "next").await;
    assert_eq!(again, Offset(1));
    let values = read_all(&node.broker, &who, first(topic), 0).await;
    assert_eq!(values, [(0, "kept".to_owned()), (1, "next".to_owned())]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_snapshot_that_the_catalog_names_is_begun_with() {
    let mut world = World::new();
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let who = world.catalog.tenant(1);
    let mut settings = world.settings();
    settings.flush.age_ms = 0;
    let node = world.start(settings).await;
    let row = || world.catalog.image().group(TENANTS).unwrap().clone();
    for _ in 0..2 {
        let before = row().snapshot;
        produce(&node.broker, &who, first(topic), batch(&["kept"]))
            .await
            .unwrap();
        eventually("a snapshot is reported", || row().snapshot != before).await;
    }
    node.stop().await;
    // An older one lies where the newest should: whole, and of this group.
    let tier = Tier::new(
        Arc::clone(&world.store),
        object_store::path::Path::default(),
        Default::default(),
    );
    let (newest, older) = (
        row().snapshot.unwrap().object,
        row().snapshot_previous.unwrap().object,
    );
    let (right, wrong) = (
        tier.get_snapshot(&newest).await.unwrap(),
        tier.get_snapshot(&older).await.unwrap(),
    );
    tier.put_snapshot(&newest, &[wrong]).await.unwrap();
    world.erase_disk();
    let mut settings = world.settings();
    settings.recover_groups = true;
    let node = world.start(settings).await;
    let refused = produce(&node.broker, &who, first(topic), batch(&["x"])).await;
    assert_eq!(refused, Err(ProduceError::NotLeader));
    tier.put_snapshot(&newest, &[right]).await.unwrap();
    assert!(end_of(&node.broker, &who, first(topic)).await >= 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_costs_the_same_however_long_the_history() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 2, &[]);
    let mut settings = world.settings();
    settings.flush.bytes = 100_000;
    settings.snapshot_bytes = 100_000;
    let mut costs = Vec::new();
    let mut written = 0;
    for to in [200, 2_000] {
        let node = world.start(settings.clone()).await;
        fill(&world, &node, topic, written, to).await;
        written = to;
        // All but what is too little for a flush: how fast this disk is says nothing about a restart.
        let who = world.catalog.tenant(1);
        tiered_up_to(&node, &who, first(topic), to - 200).await;
        node.stop().await;
        let node = world.start(settings.clone()).await;
        costs.push((
            node.metric("restart_read_bytes"),
            node.metric("restart_records_read"),
        ));
        node.stop().await;
    }
    assert!(costs[1].0 < 3.0 * costs[0].0.max(4e6), "bytes: {costs:?}");
    assert!(costs[1].1 < 3.0 * costs[0].1.max(1000.0), "records: {costs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_is_used_again_and_again() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 2, &[]);
    let mut settings = world.settings();
    settings.journal.size_bytes = 8 * 1024 * 1024;
    settings.journal.file_bytes = 1024 * 1024;
    settings.journal.commit_bytes_max = 512 * 1024;
    settings.flush.bytes = 1024 * 1024;
    settings.snapshot_bytes = 1024 * 1024;
    settings.tail_bytes = 1024 * 1024;
    let node = world.start(settings).await;
    let who = world.catalog.tenant(1);
    // Four times what the journal holds.
    let value = "x".repeat(200_000);
    let mut taken = 0;
    while taken < 160 {
        match produce(&node.broker, &who, partition(topic, taken % 2), batch(&[&value])).await {
            Ok(_) => taken += 1,
            Err(ProduceError::Full) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(read_all(&node.broker, &who, first(topic), 0).await.len(), 80);
    assert!(node.metric("fetched_from_store_bytes_total") > 0.0);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_is_away_stops_nothing() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 2, &[]);
    let mut settings = world.settings();
    settings.flush.bytes = 10_000;
    settings.snapshot_bytes = 10_000;
    let node = world.start(settings).await;
    world.catalog.away.store(true, Ordering::Relaxed);
    fill(&world, &node, topic, 0, 50).await;
    let who = world.catalog.tenant(1);
    assert_eq!(read_all(&node.broker, &who, first(topic), 0).await.len(), 50);
    eventually("snapshots fail", || node.metric("snapshot_failures_total") > 0.0).await;
    world.catalog.away.store(false, Ordering::Relaxed);
    eventually("a snapshot is reported", || {
        world
            .catalog
            .image()
            .group(TENANTS)
            .is_some_and(|row| row.snapshot.is_some())
    })
    .await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_topic_is_let_go() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 2, &[]);
    let node = world.start(world.settings()).await;
    fill(&world, &node, topic, 0, 5).await;
    world.catalog.delete_topic(topic);
    let who = world.catalog.tenant(1);
    let refused = produce(&node.broker, &who, first(topic), batch(&["x"])).await;
    assert_eq!(refused, Err(ProduceError::UnknownPartition));
    eventually("its deletion is reported", || {
        world
            .catalog
            .image()
            .topic_by_id(topic)
            .unwrap()
            .partitions
            .iter()
            .all(|row| row.deleted)
    })
    .await;
    node.stop().await;
}

/// log.md 34: nothing is deleted because something is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_the_catalog_does_not_know_is_kept_and_told() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 2, &[]);
    let who = world.catalog.tenant(1);
    let mut settings = world.settings();
    settings.flush.age_ms = 0;
    settings.retention_interval = Duration::from_millis(10);
    let node = world.start(settings.clone()).await;
    fill(&world, &node, topic, 0, 5).await;
    let row = world.catalog.lose_topic(topic);
    eventually("it is told", || node.metric("unknown_partitions") == 2.0).await;
    let refused = produce(&node.broker, &who, first(topic), batch(&["x"])).await;
    assert_eq!(refused, Err(ProduceError::UnknownPartition));
    node.stop().await;
    let node = world.start(settings).await;
    eventually("it is told again", || node.metric("unknown_partitions") == 2.0).await;
    world.catalog.find_topic(row);
    eventually("it is known again", || node.metric("unknown_partitions") == 0.0).await;
    assert_eq!(end_of(&node.broker, &who, first(topic)).await, 5);
    assert_eq!(
        read_all(&node.broker, &who, partition(topic, 1), 0).await.len(),
        5
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_that_a_deletion_overtakes_leaves_nothing_behind_and_the_name_begins_anew() {
    let mut world = World::new();
    let faults = Arc::new(Faults::over(Arc::clone(&world.store)));
    world.store = Arc::clone(&faults) as _;
    let who = world.catalog.tenant(1);
    let old = world.catalog.create_topic(1, "t", 1, &[]);
    let mut settings = world.settings();
    settings.flush.age_ms = 0;
    let node = world.start(settings).await;
    faults.set(Fault::Holds);
    produce(&node.broker, &who, first(old), batch(&["old"]))
        .await
        .unwrap();
    eventually("an object is on its way", || faults.hanging() > 0).await;
    world.catalog.delete_topic(old);
    eventually("the deletion is reported", || {
        world.catalog.image().topic_by_id(old).unwrap().partitions[0].deleted
    })
    .await;
    let new = world.catalog.create_topic(1, "t", 1, &[]);
    eventually("the topic is there again", || {
        world.catalog.image().topic_by_id(new).is_some()
    })
    .await;
    assert_eq!(taken_at_last(&node, &who, first(new), "new").await, Offset(0));
    faults.set(Fault::None);
    // The entry of the overtaken flush lies in front of this one's.
    tiered_up_to(&node, &who, first(new), 1).await;
    assert_eq!(node.metric("quarantined_partitions"), 0.0);
    assert_eq!(
        read_all(&node.broker, &who, first(new), 0).await,
        [(0, "new".to_owned())]
    );
    node.stop().await;
    let node = world.start(world.settings()).await;
    assert_eq!(end_of(&node.broker, &who, first(new)).await, 1);
    assert_eq!(node.metric("quarantined_partitions"), 0.0);
    node.stop().await;
}

async fn tiered_up_to(node: &Node, who: &millstream_access::Principal, of: PartitionId, end: i64) {
    let what = ListOffset::LatestTiered;
    let tiered = async || {
        let found = node
            .broker
            .list_offset(who, of, None, what, Isolation::ReadUncommitted);
        found.await.map(|found| found.offset)
    };
    let is_tiered = async {
        while !tiered().await.is_ok_and(|offset| offset >= Offset(end - 1)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, is_tiered).await;
    found.unwrap_or_else(|_| panic!("{of} is not in the store up to {end}"));
}

/// Sends a record until it is taken; its offset.
async fn taken_at_last(
    node: &Node,
    who: &millstream_access::Principal,
    of: PartitionId,
    value: &str,
) -> Offset {
    let taken = async {
        loop {
            match produce(&node.broker, who, of, batch(&[value])).await {
                Ok(produced) => return produced.base_offset,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let taken = tokio::time::timeout(PATIENCE, taken).await;
    taken.unwrap_or_else(|_| panic!("{of} takes nothing"))
}

/// Work that an election overtakes names its object with the epoch before: no number of that epoch may come again.
#[tokio::test(flavor = "multi_thread")]
async fn objects_are_numbered_through_all_epochs_of_a_process() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let who = world.catalog.tenant(1);
    let mut settings = world.settings();
    settings.flush.age_ms = 0;
    let node = world.start(settings).await;
    for _ in 0..3 {
        taken_at_last(&node, &who, first(topic), "x").await;
        // One that an election left undecided may be there twice.
        let end = end_of(&node.broker, &who, first(topic)).await;
        tiered_up_to(&node, &who, first(topic), end).await;
        world.catalog.elect_again();
    }
    node.stop().await;
    let listed: Vec<_> = world.store.list(None).try_collect().await.unwrap();
    let prefix = object_store::path::Path::default();
    let mut named: Vec<(u64, Epoch)> = listed
        .iter()
        .filter_map(|object| millstream_tier::name::parse(&prefix, &object.location))
        .filter(|(_, object)| object.group == TENANTS)
        .map(|(_, object)| (object.number, object.epoch))
        .collect();
    named.sort_unstable();
    let epochs: BTreeSet<Epoch> = named.iter().map(|(_, epoch)| *epoch).collect();
    assert!(epochs.len() >= 3, "{named:?}");
    let numbers: BTreeSet<u64> = named.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers.len(), named.len(), "{named:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_was_rolled_back_is_refused() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 2, &[]);
    let node = world.start(world.settings()).await;
    let confirmed = || {
        let image = world.catalog.image();
        image
            .nodes()
            .map(|node| (node.registration, node.registration_confirmed))
            .next()
    };
    assert_eq!(confirmed(), Some((Registration(1), Registration(1))));
    node.stop().await;
    let old = tempfile::tempdir().unwrap();
    copy_folder(world.folder.path(), old.path());
    let node = world.start(world.settings()).await;
    fill(&world, &node, topic, 0, 3).await;
    node.stop().await;
    assert_eq!(confirmed(), Some((Registration(2), Registration(2))));
    // Yesterday's backup.
    let mut rolled_back = world.settings();
    rolled_back.data_dir = old.path().to_owned();
    let refused = world.try_start(rolled_back).await;
    assert!(
        matches!(refused, Err(StartError::Refused(Refusal::Fenced { .. }))),
        "{:?}",
        refused.err()
    );
    let node = world.start(world.settings()).await;
    let who = world.catalog.tenant(1);
    assert_eq!(read_all(&node.broker, &who, first(topic), 0).await.len(), 3);
    node.stop().await;
}
