//! A new leader knows what was committed, and gives every member a fresh session.

use crate::world::{World, assignment_of, key, partition, settings, sync};
use millstream_coordinator::{Command, Coordinator, GroupError, GroupState, Ledger, StoredGroups};

/// A new process over the same log.
fn restarted(world: &World) -> World {
    let mut coordinator = Coordinator::new(settings());
    for record in &world.log {
        coordinator.apply(&record.key, record.value.as_ref());
    }
    World::of(coordinator)
}

#[test]
fn members_go_on_in_their_generation() {
    let mut world = World::new();
    let (ids, generation) = world.stable(2);
    world.commit(&ids[0], generation, &[(partition(1, 0), 42)]);
    let mut next = restarted(&world);
    assert_eq!(next.coordinator.stored(), world.coordinator.stored());
    assert_eq!(
        next.coordinator.describe(&key(1, "g")).unwrap().state,
        GroupState::Stable
    );
    next.pass(9_000);
    assert_eq!(next.heartbeat(&ids[0], generation), Ok(()));
    let token = next.send(Command::Sync(sync(&ids[0], generation, Vec::new())));
    assert_eq!(next.synced(token).unwrap().assignment, assignment_of(&ids[0]));
    assert_eq!(
        next.coordinator.fetch_offsets(&key(1, "g"), None)[0].1.offset.0,
        42
    );
    // Who does not show up within its session is removed.
    next.pass(2_000);
    assert_eq!(
        next.heartbeat(&ids[1], generation),
        Err(GroupError::UnknownMember)
    );
}

#[test]
fn a_rebalance_that_was_not_complete_is_forgotten() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    world.send(crate::world::join_new(50));
    world.send(crate::world::join_again(&ids[0]));
    let mut next = restarted(&world);
    assert_eq!(
        next.heartbeat(&ids[0], generation),
        Ok(()),
        "the last complete generation counts"
    );
}

#[test]
fn a_snapshot_holds_everything() {
    let mut world = World::new();
    let (ids, generation) = world.stable(2);
    world.commit(&ids[0], generation, &[(partition(1, 0), 1), (partition(2, 5), 2)]);
    let mut ledger = StoredGroups::new();
    for record in world.coordinator.stored().records() {
        ledger.apply(&record.key, record.value.as_ref());
    }
    assert_eq!(&ledger, world.coordinator.stored());
}
