//! Joining, syncing, rebalancing.

use crate::world::{World, assignment_of, join, join_again, join_new, member, sync};
use bytes::Bytes;
use millstream_coordinator::{Command, GroupError, GroupState, MemberRef, Protocol};
use millstream_model::limits::{GROUP_MEMBER_BYTES_MAX, GROUP_MEMBERS_MAX};

fn state(world: &World) -> GroupState {
    world
        .coordinator
        .describe(&crate::world::key(1, "g"))
        .unwrap()
        .state
}

#[test]
fn the_first_member_waits_for_others_then_leads() {
    let mut world = World::new();
    let token = world.send(join_new(1));
    world.pass(2_999);
    assert!(world.is_waiting(token));
    assert_eq!(state(&world), GroupState::PreparingRebalance);
    world.pass(1);
    let joined = world.joined(token).unwrap();
    assert_eq!(joined.member_id, "client-00000000-0000-0000-0000-000000000001");
    assert_eq!((joined.generation, &joined.leader), (1, &joined.member_id));
    assert_eq!(joined.protocol.as_deref(), Some("range"));
    assert_eq!(joined.protocol_type.as_deref(), Some("consumer"));
    assert_eq!(joined.members.len(), 1);
    assert_eq!(joined.members[0].metadata, Bytes::from_static(b"range data"));
    assert_eq!(state(&world), GroupState::CompletingRebalance);
    let synced = world.send(Command::Sync(sync(
        &joined.member_id,
        1,
        vec![(joined.member_id.clone(), Bytes::from("all"))],
    )));
    assert_eq!(world.synced(synced).unwrap().assignment, Bytes::from("all"));
    assert_eq!(state(&world), GroupState::Stable);
}

#[test]
fn newcomers_prolong_the_first_wait_up_to_the_rebalance_timeout() {
    let mut world = World::new();
    let first = world.send(join_new(1));
    world.pass(2_000);
    let second = world.send(join_new(2));
    world.pass(3_900);
    assert!(world.is_waiting(first), "prolonged by the second member");
    world.pass(200);
    let (first, second) = (world.joined(first).unwrap(), world.joined(second).unwrap());
    assert_eq!((first.generation, second.generation), (1, 1));
    assert_eq!(first.members.len(), 2);
    assert!(second.members.is_empty(), "only the leader sees the others");
    assert_eq!(second.leader, first.member_id);
}

#[test]
fn a_member_without_an_id_comes_back_with_one() {
    let mut world = World::new();
    let required = |world: &mut World, nonce| {
        let mut wanted = join(MemberRef::default(), nonce);
        wanted.member_id_required = true;
        let token = world.send(Command::Join(wanted));
        match world.joined(token) {
            Err(GroupError::MemberIdRequired { member_id }) => member_id,
            other => panic!("{other:?}"),
        }
    };
    let id = required(&mut world, 7);
    let token = world.send(join_again(&id));
    world.pass(3_000);
    assert_eq!(world.joined(token).unwrap().member_id, id);
    // Who does not come back is forgotten, and with it the group that has nothing else.
    let mut world = World::new();
    let id = required(&mut world, 8);
    world.pass(10_000);
    let late = world.send(join_again(&id));
    assert_eq!(world.joined(late), Err(GroupError::UnknownMember));
    assert_eq!(world.coordinator.describe(&crate::world::key(1, "g")), None);
}

#[test]
fn joins_that_cannot_be_are_refused() {
    let mut world = World::new();
    world.stable(1);
    let bad = |change: &dyn Fn(&mut millstream_coordinator::Join)| {
        let mut wanted = join(MemberRef::default(), 50);
        change(&mut wanted);
        Command::Join(wanted)
    };
    let limits = GroupError::InvalidSessionTimeout {
        min: 6_000,
        max: 1_800_000,
    };
    for (command, error) in [
        (bad(&|join| join.session_timeout_ms = 5_999), limits.clone()),
        (bad(&|join| join.session_timeout_ms = 1_800_001), limits),
        (
            bad(&|join| join.protocol_type = "connect".to_owned()),
            GroupError::InconsistentProtocol,
        ),
        (
            bad(&|join| join.protocols.clear()),
            GroupError::InconsistentProtocol,
        ),
        (
            bad(&|join| {
                join.protocols = vec![Protocol {
                    name: "x".to_owned(),
                    metadata: Bytes::new(),
                }]
            }),
            GroupError::InconsistentProtocol,
        ),
        (
            bad(&|join| join.member = member("nobody")),
            GroupError::UnknownMember,
        ),
        (
            bad(&|join| join.client.id = "c".repeat(2_000)),
            GroupError::MemberTooLarge,
        ),
        (
            bad(&|join| join.protocols[0].metadata = Bytes::from(vec![0; GROUP_MEMBER_BYTES_MAX + 1])),
            GroupError::MemberTooLarge,
        ),
    ] {
        let token = world.send(command);
        assert_eq!(world.joined(token), Err(error));
    }
    assert_eq!(
        state(&world),
        GroupState::Stable,
        "nothing of that disturbed the group"
    );
}

#[test]
fn a_group_is_full_at_some_size() {
    let mut world = World::new();
    for nonce in 0..GROUP_MEMBERS_MAX as u128 {
        let token = world.send(join_new(nonce));
        assert!(world.is_waiting(token));
    }
    let token = world.send(join_new(1 << 64));
    assert_eq!(world.joined(token), Err(GroupError::GroupFull));
}

#[test]
fn a_newcomer_makes_everybody_join_again() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    let newcomer = world.send(join_new(70));
    assert_eq!(
        world.heartbeat(&ids[0], generation),
        Err(GroupError::RebalanceInProgress)
    );
    assert!(world.is_waiting(newcomer));
    let again = world.send(join_again(&ids[0]));
    let (newcomer, again) = (world.joined(newcomer).unwrap(), world.joined(again).unwrap());
    assert_eq!(
        (newcomer.generation, again.generation),
        (generation + 1, generation + 1)
    );
    assert_eq!(again.leader, ids[0], "the leader stays");
    assert_eq!(again.members.len(), 2);
    assert_eq!(
        world.heartbeat(&ids[0], generation),
        Err(GroupError::IllegalGeneration)
    );
}

#[test]
fn who_does_not_rejoin_is_removed_after_the_rebalance_timeout() {
    let mut world = World::new();
    let (ids, generation) = world.stable(2);
    let newcomer = world.send(join_new(70));
    let again = world.send(join_again(&ids[0]));
    for _ in 0..7 {
        let _ = world.heartbeat(&ids[1], generation);
        world.pass(8_000);
    }
    assert!(
        world.is_waiting(newcomer),
        "the second member is alive but does not join"
    );
    let _ = world.heartbeat(&ids[1], generation);
    world.pass(8_000);
    let joined = world.joined(again).unwrap();
    assert_eq!(joined.members.len(), 2);
    assert!(!joined.members.iter().any(|member| member.member_id == ids[1]));
    assert_eq!(
        world.heartbeat(&ids[1], generation),
        Err(GroupError::UnknownMember)
    );
}

#[test]
fn followers_that_ask_again_get_the_present_answer() {
    let mut world = World::new();
    let (ids, generation) = world.stable(2);
    let again = world.send(join_again(&ids[1]));
    let joined = world.joined(again).unwrap();
    assert_eq!((joined.generation, joined.members.len()), (generation, 0));
    assert_eq!(state(&world), GroupState::Stable);
    // The leader that asks again wants a rebalance.
    let again = world.send(join_again(&ids[0]));
    assert!(world.is_waiting(again));
    assert_eq!(state(&world), GroupState::PreparingRebalance);
}

#[test]
fn a_changed_subscription_starts_a_rebalance() {
    let mut world = World::new();
    let (ids, _) = world.stable(2);
    let mut changed = join(member(&ids[1]), 0);
    changed.protocols[0].metadata = Bytes::from_static(b"other topics");
    let token = world.send(Command::Join(changed));
    assert!(world.is_waiting(token));
    let leader = world.send(join_again(&ids[0]));
    let members = world.joined(leader).unwrap().members;
    assert!(
        members
            .iter()
            .any(|member| member.metadata == Bytes::from_static(b"other topics"))
    );
}

#[test]
fn syncs_are_checked() {
    let mut world = World::new();
    let (ids, generation) = world.stable(2);
    let wrong = |change: &dyn Fn(&mut millstream_coordinator::Sync)| {
        let mut wanted = sync(&ids[1], generation, Vec::new());
        change(&mut wanted);
        Command::Sync(wanted)
    };
    for (command, error) in [
        (wrong(&|sync| sync.generation += 1), GroupError::IllegalGeneration),
        (
            wrong(&|sync| sync.member = member("nobody")),
            GroupError::UnknownMember,
        ),
        (
            wrong(&|sync| sync.protocol = Some("roundrobin".to_owned())),
            GroupError::InconsistentProtocol,
        ),
        (
            wrong(&|sync| sync.protocol_type = Some("connect".to_owned())),
            GroupError::InconsistentProtocol,
        ),
    ] {
        let token = world.send(command);
        assert_eq!(world.synced(token), Err(error));
    }
    let token = world.send(Command::Sync(sync(&ids[1], generation, Vec::new())));
    assert_eq!(world.synced(token).unwrap().assignment, assignment_of(&ids[1]));
    world.send(join_new(70));
    let token = world.send(Command::Sync(sync(&ids[1], generation, Vec::new())));
    assert_eq!(world.synced(token), Err(GroupError::RebalanceInProgress));
}

#[test]
fn assignments_are_handed_out_once_they_are_committed() {
    let mut world = World::new();
    let (first, second) = (world.send(join_new(1)), world.send(join_new(2)));
    world.pass(10_000);
    let (leader, follower) = (world.joined(first).unwrap(), world.joined(second).unwrap());
    world.hold = true;
    let waiting = world.send(Command::Sync(sync(&follower.member_id, 1, Vec::new())));
    assert!(world.appends.is_empty());
    let assignments = vec![
        (follower.member_id.clone(), Bytes::from("b")),
        ("stranger".to_owned(), Bytes::from("c")),
    ];
    let leading = world.send(Command::Sync(sync(&leader.member_id, 1, assignments)));
    assert_eq!(world.appends.len(), 1);
    assert!(world.is_waiting(waiting) && world.is_waiting(leading));
    world.commit_one();
    assert_eq!(world.synced(waiting).unwrap().assignment, Bytes::from("b"));
    assert_eq!(
        world.synced(leading).unwrap().assignment,
        Bytes::new(),
        "the leader gave itself nothing"
    );
}

#[test]
fn an_assignment_that_is_not_committed_starts_over() {
    let mut world = World::new();
    let first = world.send(join_new(1));
    world.pass(3_000);
    let id = world.joined(first).unwrap().member_id;
    world.hold = true;
    let token = world.send(Command::Sync(sync(
        &id,
        1,
        vec![(id.clone(), Bytes::from("all"))],
    )));
    world.fail_one();
    assert_eq!(world.synced(token), Err(GroupError::NotAvailable));
    assert_eq!(state(&world), GroupState::PreparingRebalance);
    assert_eq!(world.heartbeat(&id, 1), Err(GroupError::RebalanceInProgress));
    let again = world.send(join_again(&id));
    assert_eq!(world.joined(again).unwrap().generation, 2);
}

#[test]
fn an_assignment_committed_too_late_is_not_handed_out() {
    let mut world = World::new();
    let first = world.send(join_new(1));
    world.pass(3_000);
    let id = world.joined(first).unwrap().member_id;
    world.hold = true;
    let token = world.send(Command::Sync(sync(
        &id,
        1,
        vec![(id.clone(), Bytes::from("all"))],
    )));
    world.send(join_new(2));
    assert_eq!(world.synced(token), Err(GroupError::RebalanceInProgress));
    world.commit_one();
    assert_eq!(state(&world), GroupState::PreparingRebalance);
}

#[test]
fn who_does_not_sync_in_time_is_removed() {
    let mut world = World::new();
    let (first, second) = (world.send(join_new(1)), world.send(join_new(2)));
    world.pass(6_000);
    let (leader, silent) = (
        world.joined(first).unwrap().member_id,
        world.joined(second).unwrap().member_id,
    );
    let token = world.send(Command::Sync(sync(&leader, 1, vec![])));
    assert!(world.synced(token).is_ok());
    for _ in 0..12 {
        let _ = world.heartbeat(&leader, 1);
        let _ = world.heartbeat(&silent, 1);
        world.pass(5_000);
    }
    assert_eq!(world.heartbeat(&leader, 1), Err(GroupError::RebalanceInProgress));
    assert_eq!(world.heartbeat(&silent, 1), Err(GroupError::UnknownMember));
}

#[test]
fn the_strategy_that_most_prefer_and_all_support_wins() {
    let mut world = World::new();
    let with = |names: &[&str], nonce| {
        let mut wanted = join(MemberRef::default(), nonce);
        let protocol = |name: &&str| Protocol {
            name: (*name).to_owned(),
            metadata: Bytes::new(),
        };
        wanted.protocols = names.iter().map(protocol).collect();
        Command::Join(wanted)
    };
    let tokens = [
        world.send(with(&["a", "b", "c"], 1)),
        world.send(with(&["c", "b", "a"], 2)),
        world.send(with(&["x", "c", "b"], 3)),
    ];
    world.pass(60_000);
    for token in tokens {
        // Votes: b (a is not known to all), c, c.
        assert_eq!(world.joined(token).unwrap().protocol.as_deref(), Some("c"));
    }
}
