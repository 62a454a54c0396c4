//! Consumer groups over the real log: joining, committing, timing out, across a restart.

use crate::node::{Node, World, first};
use bytes::Bytes;
use millstream_broker::interface::groups::{
    Client, CommitOffsets, GroupError, Heartbeat, Join, Joined, MemberRef, OffsetToCommit, Protocol, Sync,
};
use millstream_model::{ConsumerGroupName, Offset};
use std::time::Duration;

fn group() -> ConsumerGroupName {
    "g".parse().unwrap()
}

fn join_of(member_id: &str, session_timeout_ms: i32) -> Join {
    Join {
        member: MemberRef {
            member_id: member_id.to_owned(),
            instance_id: None,
        },
        client: Client {
            id: "client".to_owned(),
            host: "/127.0.0.1".to_owned(),
        },
        session_timeout_ms,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![Protocol {
            name: "range".to_owned(),
            metadata: Bytes::from_static(b"topics"),
        }],
        member_id_required: false,
        skip_assignment_supported: false,
        nonce: 0,
    }
}

async fn join(
    world: &World,
    node: &Node,
    member_id: &str,
    session_timeout_ms: i32,
) -> Result<Joined, GroupError> {
    let who = world.catalog.tenant(1);
    node.broker
        .groups()
        .join(&who, group(), join_of(member_id, session_timeout_ms))
        .await
}

async fn sync(world: &World, node: &Node, joined: &Joined) -> Bytes {
    let who = world.catalog.tenant(1);
    let assignments = joined
        .members
        .iter()
        .map(|member| {
            (
                member.member_id.clone(),
                Bytes::from(format!("for {}", member.member_id)),
            )
        })
        .collect();
    let member = MemberRef {
        member_id: joined.member_id.clone(),
        instance_id: None,
    };
    let sync = Sync {
        member,
        generation: joined.generation,
        protocol_type: None,
        protocol: None,
        assignments,
    };
    node.broker
        .groups()
        .sync(&who, group(), sync)
        .await
        .unwrap()
        .assignment
}

fn commit_of(topic: millstream_model::TopicId, joined: &Joined, offset: i64) -> CommitOffsets {
    CommitOffsets {
        member: MemberRef {
            member_id: joined.member_id.clone(),
            instance_id: None,
        },
        generation: joined.generation,
        retention_ms: None,
        offsets: vec![OffsetToCommit {
            partition: first(topic),
            offset: Offset(offset),
            leader_epoch: -1,
            metadata: "m".to_owned(),
        }],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_forms_commits_and_survives_a_restart() {
    let world = World::new();
    world.catalog.create_groups();
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let node = world.start(world.settings()).await;
    let (who, other) = (world.catalog.tenant(1), world.catalog.tenant(2));
    let joined = join(&world, &node, "", 30_000).await.unwrap();
    assert_eq!(joined.leader, joined.member_id);
    let assignment = sync(&world, &node, &joined).await;
    assert_eq!(assignment, Bytes::from(format!("for {}", joined.member_id)));
    let commit = commit_of(topic, &joined, 42);
    let committed = node
        .broker
        .groups()
        .commit_offsets(&who, group(), commit)
        .await
        .unwrap();
    assert_eq!(committed, vec![(first(topic), Ok(()))]);
    let offset_of = |node: &Node| {
        let offsets = node.broker.groups().fetch_offsets(&who, &group(), None).unwrap();
        offsets
            .first()
            .map(|(partition, committed)| (*partition, committed.offset))
    };
    assert_eq!(offset_of(&node), Some((first(topic), Offset(42))));
    assert_eq!(
        node.broker
            .groups()
            .fetch_offsets(&other, &group(), None)
            .unwrap(),
        vec![]
    );
    assert_eq!(node.broker.groups().list(&other).unwrap(), vec![]);
    node.stop().await;
    let node = world.start(world.settings()).await;
    assert_eq!(offset_of(&node), Some((first(topic), Offset(42))));
    let member = MemberRef {
        member_id: joined.member_id.clone(),
        instance_id: None,
    };
    let heartbeat = Heartbeat {
        member,
        generation: joined.generation,
    };
    node.broker
        .groups()
        .heartbeat(&who, group(), heartbeat)
        .await
        .unwrap();
    assert_eq!(node.broker.groups().list(&who).unwrap().len(), 1);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_member_is_left_out_by_the_clock() {
    let world = World::new();
    world.catalog.create_groups();
    let node = world.start(world.settings()).await;
    let one = join(&world, &node, "", 300).await.unwrap();
    sync(&world, &node, &one).await;
    // Another joins: the rebalance waits for the first, which never comes and whose session ends.
    let waited = tokio::time::timeout(Duration::from_secs(20), join(&world, &node, "", 30_000));
    let two = waited.await.unwrap().unwrap();
    assert_eq!(two.leader, two.member_id);
    assert_eq!(two.members.len(), 1);
    assert!(two.generation > one.generation);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_members_share() {
    let world = World::new();
    world.catalog.create_groups();
    let node = world.start(world.settings()).await;
    let (one, two) = tokio::join!(join(&world, &node, "", 30_000), join(&world, &node, "", 30_000));
    let (mut one, mut two) = (one.unwrap(), two.unwrap());
    if one.generation != two.generation {
        // The second came after the first had its generation: both join again.
        let (a, b) = (one.member_id.clone(), two.member_id.clone());
        let (again, other) = tokio::join!(join(&world, &node, &a, 30_000), join(&world, &node, &b, 30_000));
        (one, two) = (again.unwrap(), other.unwrap());
    }
    assert_eq!((one.generation, &one.leader), (two.generation, &two.leader));
    let (first, second) = tokio::join!(sync(&world, &node, &one), sync(&world, &node, &two));
    assert_eq!(first, Bytes::from(format!("for {}", one.member_id)));
    assert_eq!(second, Bytes::from(format!("for {}", two.member_id)));
    node.stop().await;
}

/// A member that waits for the others gets an error after which it looks for the coordinator anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_member_is_answered_when_it_drains() {
    let world = World::new();
    world.catalog.create_groups();
    let node = world.start(world.settings()).await;
    let leader = join(&world, &node, "", 10_000).await.unwrap();
    sync(&world, &node, &leader).await;
    let waiting = {
        let (groups, who) = (node.broker.groups().clone(), world.catalog.tenant(1));
        tokio::spawn(async move { groups.join(&who, group(), join_of("", 10_000)).await })
    };
    // The first member is told to join again, which it never does: the second is in and waits.
    let who = world.catalog.tenant(1);
    let beat = || Heartbeat {
        member: MemberRef {
            member_id: leader.member_id.clone(),
            instance_id: None,
        },
        generation: leader.generation,
    };
    while node
        .broker
        .groups()
        .heartbeat(&who, group(), beat())
        .await
        .is_ok()
    {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    node.handle.drain();
    let answer = tokio::time::timeout(Duration::from_secs(5), waiting).await;
    assert_eq!(answer.unwrap().unwrap().err(), Some(GroupError::NotCoordinator));
    node.stop().await;
}
