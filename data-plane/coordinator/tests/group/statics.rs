//! Static members (KIP-345).

use crate::world::{World, instance, join, key, sync};
use bytes::Bytes;
use millstream_coordinator::{Command, GroupError, GroupState, Heartbeat, Joined, Reply};

fn join_static(world: &mut World, instance_id: &str, nonce: u128) -> u64 {
    world.send(Command::Join(join(instance("", instance_id), nonce)))
}

/// A stable group of static members `i0` … ; the leader first.
fn stable(world: &mut World, members: usize) -> Vec<Joined> {
    let tokens: Vec<u64> = (0..members)
        .map(|count| join_static(world, &format!("i{count}"), count as u128))
        .collect();
    world.pass(10_000);
    let mut joined: Vec<Joined> = tokens.iter().map(|token| world.joined(*token).unwrap()).collect();
    joined.sort_by_key(|joined| joined.member_id != joined.leader);
    let all: Vec<(String, Bytes)> = joined
        .iter()
        .map(|one| (one.member_id.clone(), Bytes::from(one.member_id.clone())))
        .collect();
    for one in joined.iter().rev() {
        let assignments = if one.member_id == one.leader {
            all.clone()
        } else {
            Vec::new()
        };
        world.send(Command::Sync(sync(&one.member_id, 1, assignments)));
    }
    joined
}

#[test]
fn one_that_comes_back_without_its_id_keeps_its_assignment_and_nobody_rebalances() {
    let mut world = World::new();
    let members = stable(&mut world, 2);
    let old = members[1].member_id.clone();
    let instance_id = old.split('-').next().unwrap().to_owned();
    world.hold = true;
    let token = join_static(&mut world, &instance_id, 77);
    assert!(world.is_waiting(token), "the new id must be durable first");
    world.commit_one();
    world.hold = false;
    let back = world.joined(token).unwrap();
    assert_ne!(back.member_id, old);
    assert_eq!((back.generation, back.skip_assignment), (1, false));
    let token = world.send(Command::Sync(sync(&back.member_id, 1, Vec::new())));
    assert_eq!(world.synced(token).unwrap().assignment, Bytes::from(old.clone()));
    assert_eq!(
        world.coordinator.describe(&key(1, "g")).unwrap().state,
        GroupState::Stable
    );
    // Whoever still uses the old id is fenced.
    let heartbeat = Heartbeat {
        member: instance(&old, &instance_id),
        generation: 1,
    };
    let token = world.send(Command::Heartbeat(heartbeat));
    assert_eq!(world.answers[&token], Err(GroupError::FencedInstance));
    let stored = world
        .coordinator
        .stored()
        .group(&key(1, "g"))
        .unwrap()
        .metadata
        .clone()
        .unwrap();
    assert!(
        stored
            .members
            .iter()
            .any(|member| member.member_id == back.member_id)
    );
    assert!(!stored.members.iter().any(|member| member.member_id == old));
}

#[test]
fn a_leader_that_comes_back_leads_but_does_not_assign() {
    let mut world = World::new();
    let members = stable(&mut world, 2);
    let old = members[0].member_id.clone();
    let instance_id = old.split('-').next().unwrap().to_owned();
    let token = join_static(&mut world, &instance_id, 78);
    let back = world.joined(token).unwrap();
    assert_eq!(
        (&back.leader, back.skip_assignment, back.members.len()),
        (&back.member_id, true, 2)
    );
    // Clients that do not know of that are told that somebody else leads.
    let mut old_client = join(instance("", &instance_id), 79);
    old_client.skip_assignment_supported = false;
    let token = world.send(Command::Join(old_client));
    let again = world.joined(token).unwrap();
    assert_eq!((&again.leader, again.members.len()), (&back.member_id, 0));
    assert_ne!(again.member_id, again.leader);
}

#[test]
fn a_take_over_that_is_not_committed_is_undone() {
    let mut world = World::new();
    let members = stable(&mut world, 1);
    let old = members[0].member_id.clone();
    world.hold = true;
    let token = join_static(&mut world, "i0", 77);
    world.fail_one();
    assert_eq!(world.joined(token), Err(GroupError::NotAvailable));
    let heartbeat = Heartbeat {
        member: instance(&old, "i0"),
        generation: 1,
    };
    let token = world.send(Command::Heartbeat(heartbeat));
    assert_eq!(world.answers[&token], Ok(Reply::Heartbeat(())));
}

#[test]
fn one_that_comes_back_with_another_subscription_starts_a_rebalance() {
    let mut world = World::new();
    stable(&mut world, 1);
    let mut changed = join(instance("", "i0"), 80);
    changed.protocols.reverse();
    changed.protocols.truncate(1);
    let token = world.send(Command::Join(changed));
    let back = world.joined(token).unwrap();
    assert_eq!(
        (back.generation, back.protocol.as_deref()),
        (2, Some("roundrobin"))
    );
}

#[test]
fn an_administrator_removes_one_by_its_instance_id() {
    let mut world = World::new();
    stable(&mut world, 1);
    let left = world.leave(vec![instance("", "i0")]).unwrap();
    assert_eq!(left[0].result, Ok(()));
    assert_eq!(
        world.coordinator.describe(&key(1, "g")).unwrap().state,
        GroupState::Empty
    );
    let mut other = World::new();
    stable(&mut other, 1);
    let left = other.leave(vec![instance("wrong", "i0")]).unwrap();
    assert_eq!(left[0].result, Err(GroupError::FencedInstance));
}

#[test]
fn a_rebalance_waits_for_static_members_until_their_sessions_end() {
    let mut world = World::new();
    let members = stable(&mut world, 2);
    let first = &members[0];
    let mut changed = join(
        instance(&first.member_id, first.member_id.split('-').next().unwrap()),
        0,
    );
    changed.protocols[0].metadata = Bytes::from_static(b"more");
    let token = world.send(Command::Join(changed));
    assert!(world.is_waiting(token));
    world.pass(10_000);
    let joined = world.joined(token).unwrap();
    assert_eq!(joined.members.len(), 1, "the other one's session ended");
}
