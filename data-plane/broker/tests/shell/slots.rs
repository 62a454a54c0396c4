//! Slots of internal topics over the real log: where groups lie, restarts, and what a newer release has left.

use crate::catalog::INTERNAL;
use crate::node::{Node, World, batch, eventually, first, produce};
use crate::restart::copy_folder;
use bytes::Bytes;
use millstream_access::Principal;
use millstream_broker::interface::groups::{
    Command, CommitOffsets, DeleteGroup, GroupError, GroupKey, MemberRef, OffsetToCommit,
};
use millstream_broker::interface::ledger::{Coordinator, Reply};
use millstream_broker::interface::slot_of;
use millstream_model::{ConsumerGroupName, Offset, PartitionId, SlotKind, TopicId};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn name(number: i64) -> ConsumerGroupName {
    format!("group-{number:02}").parse().unwrap()
}

/// Commits as a client does that is in no group.
async fn commit(node: &Node, who: &Principal, group: i64, to: PartitionId, offset: i64) {
    let commit = CommitOffsets {
        member: MemberRef::default(),
        generation: -1,
        retention_ms: None,
        offsets: vec![OffsetToCommit {
            partition: to,
            offset: Offset(offset),
            leader_epoch: -1,
            metadata: String::new(),
        }],
    };
    let committed = node
        .broker
        .groups()
        .commit_offsets(who, name(group), commit)
        .await;
    assert_eq!(committed, Ok(vec![(to, Ok(()))]));
}

fn committed(node: &Node, who: &Principal, group: i64) -> Option<i64> {
    let offsets = node
        .broker
        .groups()
        .fetch_offsets(who, &name(group), None)
        .unwrap();
    offsets.first().map(|(_, committed)| committed.offset.0)
}

async fn leads(node: &Node, who: &Principal) {
    eventually("the slots are led", || node.broker.groups().list(who).is_ok()).await;
}

fn listed(node: &Node, who: &Principal) -> Vec<ConsumerGroupName> {
    let listed = node.broker.groups().list(who).unwrap();
    listed.into_iter().map(|listed| listed.group).collect()
}

/// A world like this one whose process was killed just now.
fn killed(world: &World) -> World {
    let folder = tempfile::tempdir().unwrap();
    copy_folder(world.folder.path(), folder.path());
    World {
        catalog: Arc::clone(&world.catalog),
        store: Arc::clone(&world.store),
        folder,
        roots: Arc::clone(&world.roots),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_of_one_tenant_lie_in_different_slots_and_are_there_after_a_stop_and_a_kill() {
    let world = World::new();
    world.catalog.create_groups();
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let (who, other) = (world.catalog.tenant(1), world.catalog.tenant(2));
    let node = world.start(world.settings()).await;
    leads(&node, &who).await;
    for group in 0..24 {
        commit(&node, &who, group, first(topic), 100 + group).await;
    }
    commit(&node, &other, 3, first(topic), 7).await;
    let slots: BTreeSet<PartitionId> = (0..24)
        .map(|group| slot_of(SlotKind::Groups, who.tenant, name(group).as_str().as_bytes()))
        .collect();
    assert!(slots.len() > 10, "{slots:?}");
    node.broker.groups().delete(&who, name(5)).await.unwrap();
    let kept: Vec<i64> = (0..24).filter(|group| *group != 5).collect();
    let all: Vec<ConsumerGroupName> = kept.iter().map(|group| name(*group)).collect();
    assert_eq!(listed(&node, &who), all, "of all slots, in order");
    // From the snapshots of a stop, and then from the journal behind them.
    node.stop().await;
    let node = world.start(world.settings()).await;
    leads(&node, &who).await;
    assert_eq!(listed(&node, &who), all);
    commit(&node, &who, 7, first(topic), 500).await;
    let killed = killed(&world);
    let again = killed.start(killed.settings()).await;
    leads(&again, &who).await;
    assert_eq!(listed(&again, &who), all);
    for group in kept {
        let offset = if group == 7 { 500 } else { 100 + group };
        assert_eq!(committed(&again, &who, group), Some(offset));
    }
    assert_eq!(committed(&again, &who, 5), None);
    assert_eq!(committed(&again, &other, 3), Some(7));
    let key = GroupKey {
        tenant: who.tenant,
        group: name(1),
    };
    let asked = again
        .broker
        .ask::<Coordinator>(&key, Command::DeleteGroup(DeleteGroup));
    assert_eq!(
        asked.await,
        Some(Ok(Reply::DeleteGroup(()))),
        "as a ledger without a handle is asked"
    );
    assert_eq!(committed(&again, &who, 1), None);
    again.stop().await;
    drop(node);
}

/// Who leads anew knows what was committed; what one leadership was asked it does not answer in the next.
#[tokio::test(flavor = "multi_thread")]
async fn slots_resign_and_lead_again() {
    let world = World::new();
    world.catalog.create_groups();
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let who = world.catalog.tenant(1);
    let node = world.start(world.settings()).await;
    leads(&node, &who).await;
    for group in 0..8 {
        commit(&node, &who, group, first(topic), group).await;
    }
    for round in 1..4 {
        world.catalog.depose();
        eventually("nobody leads the slots", || {
            node.broker.groups().list(&who) == Err(GroupError::NotCoordinator)
        })
        .await;
        world.catalog.elect_again();
        leads(&node, &who).await;
        for group in 0..8 {
            assert_eq!(committed(&node, &who, group), Some(group + 100 * (round - 1)));
            commit(&node, &who, group, first(topic), group + 100 * round).await;
        }
    }
    node.stop().await;
}

/// What is kept about a topic goes with it, in every slot.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_deleted_is_forgotten_in_all_slots() {
    let world = World::new();
    world.catalog.create_groups();
    let gone = world.catalog.create_topic(1, "gone", 1, &[]);
    let who = world.catalog.tenant(1);
    let node = world.start(world.settings()).await;
    leads(&node, &who).await;
    for group in 0..8 {
        commit(&node, &who, group, first(gone), group).await;
    }
    world.catalog.delete_topic(gone);
    eventually("all slots have forgotten the topic", || {
        (0..8).all(|group| committed(&node, &who, group).is_none())
    })
    .await;
    node.stop().await;
}

fn snapshot_file(world: &World) -> PathBuf {
    let folder = world.folder.path().join("snapshots");
    folder.join(format!("group-{:010}", INTERNAL.0))
}

/// The snapshot, with a section that no release knows.
fn with_unknown_section(file: &Path) -> Vec<u8> {
    let mut bytes = std::fs::read(file).unwrap();
    bytes.truncate(bytes.len() - 4);
    let sections = u16::from_le_bytes([bytes[6], bytes[7]]) + 1;
    bytes[6..8].copy_from_slice(&sections.to_le_bytes());
    let kept = b"kept by a newer release";
    bytes.extend_from_slice(&60_000u32.to_le_bytes());
    bytes.extend_from_slice(&(kept.len() as u32).to_le_bytes());
    bytes.extend_from_slice(kept);
    let checksum = crc_fast::crc32_iscsi(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_with_an_unknown_tag_is_kept_byte_for_byte_and_its_replica_does_not_lead() {
    let world = World::new();
    world.catalog.create_groups();
    let topic: TopicId = world.catalog.create_topic(1, "t", 1, &[]);
    let who = world.catalog.tenant(1);
    let node = world.start(world.settings()).await;
    leads(&node, &who).await;
    commit(&node, &who, 1, first(topic), 11).await;
    node.stop().await;
    let (file, old) = (
        snapshot_file(&world),
        with_unknown_section(&snapshot_file(&world)),
    );
    let whole = std::fs::read(&file).unwrap();
    let node = world.start(world.settings()).await;
    leads(&node, &who).await;
    commit(&node, &who, 2, first(topic), 22).await;
    node.stop().await;
    // The snapshot of before, as a newer release would have written it: there is something behind it in the journal.
    std::fs::write(&file, &old).unwrap();
    let mut eager = world.settings();
    eager.snapshot_interval = std::time::Duration::ZERO;
    let node = world.start(eager).await;
    eventually("the tenants' group is led", || node.metric("led_groups") == 1.0).await;
    produce(&node.broker, &who, first(topic), batch(&["served"]))
        .await
        .unwrap();
    eventually("its snapshot is taken", || node.metric("snapshots_total") >= 1.0).await;
    assert_eq!(node.metric("newer_groups"), 1.0);
    assert_eq!(node.broker.groups().list(&who), Err(GroupError::NotCoordinator));
    let refused = node.broker.groups().delete(&who, name(1)).await;
    assert_eq!(refused, Err(GroupError::NotCoordinator));
    node.stop().await;
    assert_eq!(Bytes::from(std::fs::read(&file).unwrap()), Bytes::from(old));
    // Whoever can read it has lost nothing.
    std::fs::write(&file, whole).unwrap();
    let node = world.start(world.settings()).await;
    leads(&node, &who).await;
    assert_eq!(
        (committed(&node, &who, 1), committed(&node, &who, 2)),
        (Some(11), Some(22))
    );
    assert_eq!(node.metric("newer_groups"), 0.0);
    node.stop().await;
}
