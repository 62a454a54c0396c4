//! Leaving, dying, describing.

use crate::world::{World, instance, join_again, key, member};
use millstream_coordinator::{Coordinator, GroupError, GroupState, Ledger, Left};

fn left(member_id: &str, result: Result<(), GroupError>) -> Left {
    Left {
        member_id: member_id.to_owned(),
        instance_id: None,
        result,
    }
}

#[test]
fn a_silent_member_is_removed_and_the_others_rebalance() {
    let mut world = World::new();
    let (ids, generation) = world.stable(2);
    world.pass(6_000);
    assert_eq!(world.heartbeat(&ids[0], generation), Ok(()));
    world.pass(5_000);
    assert_eq!(
        world.heartbeat(&ids[0], generation),
        Err(GroupError::RebalanceInProgress)
    );
    assert_eq!(
        world.heartbeat(&ids[1], generation),
        Err(GroupError::UnknownMember)
    );
    let again = world.send(join_again(&ids[0]));
    assert_eq!(world.joined(again).unwrap().members.len(), 1);
}

#[test]
fn the_last_to_leave_empties_the_group() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    assert_eq!(
        world.leave(vec![member(&ids[0])]),
        Ok(vec![left(&ids[0], Ok(()))])
    );
    let described = world.coordinator.describe(&key(1, "g")).unwrap();
    assert_eq!((described.state, described.members.len()), (GroupState::Empty, 0));
    assert_eq!(described.protocol_type, "consumer");
    let stored = world
        .coordinator
        .stored()
        .group(&key(1, "g"))
        .unwrap()
        .metadata
        .clone()
        .unwrap();
    assert_eq!((stored.generation, stored.members.len()), (generation + 1, 0));
    assert_eq!(
        world.heartbeat(&ids[0], generation),
        Err(GroupError::UnknownMember)
    );
    // The generation goes on where it was.
    let (_, again) = world.stable(1);
    assert_eq!(again, generation + 2);
}

#[test]
fn several_leave_at_once_each_with_its_own_answer() {
    let mut world = World::new();
    let (ids, _) = world.stable(3);
    let answer = world.leave(vec![
        member(&ids[1]),
        member("nobody"),
        instance("", "none"),
        member(&ids[2]),
    ]);
    let mut none = left("", Err(GroupError::UnknownMember));
    none.instance_id = Some("none".to_owned());
    let expected = vec![
        left(&ids[1], Ok(())),
        left("nobody", Err(GroupError::UnknownMember)),
        none,
        left(&ids[2], Ok(())),
    ];
    assert_eq!(answer, Ok(expected));
    let mut empty = World::new();
    assert_eq!(empty.leave(vec![member("x")]), Err(GroupError::UnknownMember));
}

#[test]
fn a_parked_join_of_one_who_leaves_is_answered() {
    let mut world = World::new();
    let (ids, _) = world.stable(2);
    let parked = world.send(join_again(&ids[0]));
    assert!(world.is_waiting(parked));
    world.leave(vec![member(&ids[0])]).unwrap();
    assert_eq!(world.joined(parked), Err(GroupError::UnknownMember));
}

#[test]
fn groups_are_described_and_listed() {
    let mut world = World::new();
    let (ids, _) = world.stable(2);
    let described = world.coordinator.describe(&key(1, "g")).unwrap();
    assert_eq!(described.state, GroupState::Stable);
    assert_eq!(
        (described.protocol_type.as_str(), described.protocol.as_str()),
        ("consumer", "range")
    );
    let first = described
        .members
        .iter()
        .find(|one| one.member_id == ids[0])
        .unwrap();
    assert_eq!(
        (first.client_id.as_str(), first.client_host.as_str()),
        ("client", "/127.0.0.1")
    );
    assert_eq!(first.assignment, crate::world::assignment_of(&ids[0]));
    let listed = world.coordinator.list(key(1, "g").tenant);
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (listed[0].state, listed[0].protocol_type.as_str()),
        (GroupState::Stable, "consumer")
    );
    assert!(world.coordinator.list(key(2, "g").tenant).is_empty());
    assert_eq!(world.coordinator.describe(&key(2, "g")), None);
}

#[test]
fn who_does_not_lead_answers_so() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    let parked = world.send(join_again(&ids[0]));
    let parked_again = world.send(crate::world::join_new(90));
    let mut out = Vec::new();
    world.coordinator.resign(&mut out);
    world.carry_out(out);
    assert!(world.joined(parked).is_ok() || world.joined(parked) == Err(GroupError::NotCoordinator));
    assert_eq!(world.joined(parked_again), Err(GroupError::NotCoordinator));
    assert_eq!(
        world.heartbeat(&ids[0], generation),
        Err(GroupError::NotCoordinator)
    );
    assert_eq!(world.coordinator.next_deadline(), None);
    assert!(!Coordinator::new(crate::world::settings()).leads());
}
