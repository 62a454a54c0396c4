//! Committing, fetching, deleting and forgetting offsets.

use crate::world::{World, commit, join_new, key, partition, sync};
use bytes::{BufMut, Bytes, BytesMut};
use millstream_coordinator::{
    Answer, Command, DeleteGroup, DeleteOffsets, GroupError, GroupState, Ledger, Output, PerPartition, Reply,
};
use millstream_model::limits::{GROUP_APPEND_BYTES_MAX, OFFSET_METADATA_BYTES_MAX, SLOT_TENANT_GROUPS_MAX};
use millstream_model::{PartitionId, TimestampMs, TopicId};
use std::collections::BTreeSet;

fn results(world: &World, token: u64) -> Result<PerPartition, GroupError> {
    match &world.answers[&token] {
        Ok(Reply::CommitOffsets(results) | Reply::DeleteOffsets(results)) => Ok(results.clone()),
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => Err(refusal.clone()),
    }
}

fn offsets(world: &World) -> Vec<(PartitionId, i64)> {
    let found = world.coordinator.fetch_offsets(&key(1, "g"), None);
    found
        .into_iter()
        .map(|(partition, offset)| (partition, offset.offset.0))
        .collect()
}

#[test]
fn a_client_without_a_group_commits_once_it_is_durable() {
    let mut world = World::new();
    world.hold = true;
    let token = world.commit("", -1, &[(partition(1, 0), 10), (partition(1, 1), 20)]);
    assert!(world.is_waiting(token));
    assert!(
        offsets(&world).is_empty(),
        "nothing is seen before it is committed"
    );
    world.commit_one();
    assert_eq!(
        results(&world, token),
        Ok(vec![(partition(1, 0), Ok(())), (partition(1, 1), Ok(()))])
    );
    assert_eq!(offsets(&world), [(partition(1, 0), 10), (partition(1, 1), 20)]);
    let some = world
        .coordinator
        .fetch_offsets(&key(1, "g"), Some(&[partition(1, 1), partition(9, 9)]));
    assert_eq!(some.len(), 1);
    let token = world.commit("", -1, &[(partition(1, 0), 11)]);
    world.fail_one();
    assert_eq!(results(&world, token), Err(GroupError::NotAvailable));
    assert_eq!(offsets(&world)[0].1, 10);
}

#[test]
fn only_members_of_the_present_generation_commit() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    let one = [(partition(1, 0), 5)];
    for (member, generation, error) in [
        ("", -1, GroupError::UnknownMember),
        ("nobody", generation, GroupError::UnknownMember),
        (ids[0].as_str(), generation - 1, GroupError::IllegalGeneration),
        (ids[0].as_str(), -1, GroupError::IllegalGeneration),
    ] {
        let token = world.commit(member, generation, &one);
        assert_eq!(results(&world, token), Err(error), "{member} {generation}");
    }
    let token = world.commit(&ids[0], generation, &one);
    assert!(results(&world, token).is_ok());
    // While members join again their last offsets are welcome; while the assignment is awaited they are not.
    let newcomer = world.send(join_new(60));
    let token = world.commit(&ids[0], generation, &one);
    assert!(results(&world, token).is_ok());
    world.send(crate::world::join_again(&ids[0]));
    let id = world.joined(newcomer).unwrap().member_id;
    let token = world.commit(&id, generation + 1, &one);
    assert_eq!(results(&world, token), Err(GroupError::RebalanceInProgress));
    let mut none = World::new();
    let token = none.commit("x", 3, &one);
    assert_eq!(
        results(&none, token),
        Err(GroupError::GroupNotFound),
        "the group does not exist"
    );
}

#[test]
fn a_commit_keeps_its_member_alive() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    for _ in 0..5 {
        world.pass(6_000);
        world.commit(&ids[0], generation, &[(partition(1, 0), 1)]);
    }
    assert_eq!(world.heartbeat(&ids[0], generation), Ok(()));
}

#[test]
fn long_metadata_is_refused_for_its_partition_only() {
    let mut world = World::new();
    let mut wanted = commit("", -1, &[(partition(1, 0), 1), (partition(1, 1), 2)]);
    wanted.offsets[0].metadata = "m".repeat(OFFSET_METADATA_BYTES_MAX + 1);
    let token = world.send(Command::CommitOffsets(wanted));
    let too_large = GroupError::MetadataTooLarge {
        max: OFFSET_METADATA_BYTES_MAX,
    };
    assert_eq!(
        results(&world, token),
        Ok(vec![(partition(1, 0), Err(too_large)), (partition(1, 1), Ok(()))])
    );
    assert_eq!(offsets(&world), [(partition(1, 1), 2)]);
}

#[test]
fn a_large_commit_goes_in_pieces_and_fails_as_a_whole() {
    let wanted = || {
        let many: Vec<(PartitionId, i64)> = (0..600).map(|index| (partition(1, index), 1)).collect();
        let mut wanted = commit("", -1, &many);
        wanted
            .offsets
            .iter_mut()
            .for_each(|offset| offset.metadata = "m".repeat(4_000));
        Command::CommitOffsets(wanted)
    };
    let mut world = World::new();
    world.hold = true;
    let token = world.send(wanted());
    assert_eq!(world.appends.len(), 3);
    for (_, records) in &world.appends {
        let bytes: usize = records.iter().map(millstream_coordinator::Record::length).sum();
        assert!(bytes < GROUP_APPEND_BYTES_MAX + 8_192);
    }
    world.fail_one();
    world.commit_one();
    assert!(world.is_waiting(token));
    world.commit_one();
    assert_eq!(results(&world, token), Err(GroupError::NotAvailable));
}

#[test]
fn groups_are_deleted_with_their_offsets_when_nobody_is_in_them() {
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    world.commit(&ids[0], generation, &[(partition(1, 0), 5)]);
    let token = world.send(Command::DeleteGroup(DeleteGroup));
    assert_eq!(world.answers[&token], Err(GroupError::NonEmptyGroup));
    world.leave(vec![crate::world::member(&ids[0])]).unwrap();
    world.hold = true;
    // A commit that is not decided yet goes with the group as well.
    world.commit("", -1, &[(partition(1, 1), 6)]);
    let token = world.send(Command::DeleteGroup(DeleteGroup));
    assert!(world.is_waiting(token));
    while !world.appends.is_empty() {
        world.commit_one();
    }
    assert_eq!(world.answers[&token], Ok(Reply::DeleteGroup(())));
    assert_eq!(world.coordinator.stored().group(&key(1, "g")), None);
    assert!(world.coordinator.list(key(1, "g").tenant).is_empty());
    let token = world.send(Command::DeleteGroup(DeleteGroup));
    assert_eq!(world.answers[&token], Err(GroupError::GroupNotFound));
}

#[test]
fn offsets_of_subscribed_topics_are_not_deleted() {
    let mut world = World::new();
    let mut subscription = BytesMut::new();
    subscription.put_i16(0);
    subscription.put_i32(1);
    subscription.put_i16(4);
    subscription.put_slice(b"read");
    let mut wanted = crate::world::join(Default::default(), 1);
    wanted
        .protocols
        .iter_mut()
        .for_each(|protocol| protocol.metadata = subscription.clone().freeze());
    let token = world.send(Command::Join(wanted));
    world.pass(3_000);
    let id = world.joined(token).unwrap().member_id;
    world.send(Command::Sync(sync(&id, 1, vec![(id.clone(), Bytes::new())])));
    world.commit(&id, 1, &[(partition(1, 0), 5), (partition(2, 0), 6)]);
    let topics = vec![
        ("read".parse().unwrap(), partition(1, 0)),
        ("other".parse().unwrap(), partition(2, 0)),
        ("third".parse().unwrap(), partition(3, 0)),
    ];
    let token = world.send(Command::DeleteOffsets(DeleteOffsets { offsets: topics }));
    let expected = vec![
        (partition(1, 0), Err(GroupError::SubscribedToTopic)),
        (partition(2, 0), Ok(())),
        (partition(3, 0), Ok(())),
    ];
    assert_eq!(results(&world, token), Ok(expected));
    assert_eq!(offsets(&world), [(partition(1, 0), 5)]);
}

#[test]
fn offsets_of_topics_that_are_gone_are_forgotten() {
    let mut world = World::new();
    world.commit("", -1, &[(partition(1, 0), 1), (partition(2, 0), 2)]);
    let mut out: Vec<Output<Answer>> = Vec::new();
    world.coordinator.topics_deleted(
        &BTreeSet::from([TopicId::from_bytes([1; 16])]),
        TimestampMs(7),
        &mut out,
    );
    world.carry_out(out);
    assert_eq!(offsets(&world), [(partition(2, 0), 2)]);
    let mut out: Vec<Output<Answer>> = Vec::new();
    world.coordinator.topics_deleted(
        &BTreeSet::from([TopicId::from_bytes([2; 16])]),
        TimestampMs(7),
        &mut out,
    );
    world.carry_out(out);
    assert!(offsets(&world).is_empty());
    assert_eq!(
        listed(&world),
        [GroupState::Empty],
        "a group outlives its offsets"
    );
    world.pass(1_300_000);
    assert!(listed(&world).is_empty(), "until retention looks at it");
}

/// The states of all groups of the first tenant.
fn listed(world: &World) -> Vec<GroupState> {
    let groups = world.coordinator.list(key(1, "g").tenant);
    groups.into_iter().map(|group| group.state).collect()
}

/// Kafka's OffsetDelete leaves an empty group behind, which DeleteGroups then deletes.
#[test]
fn a_group_outlives_its_last_deleted_offset() {
    let mut world = World::new();
    world.commit("", -1, &[(partition(1, 0), 5), (partition(1, 1), 6)]);
    let delete = |index| {
        Command::DeleteOffsets(DeleteOffsets {
            offsets: vec![("any".parse().unwrap(), partition(1, index)); 2],
        })
    };
    world.send(delete(0));
    assert_eq!(offsets(&world), [(partition(1, 1), 6)]);
    world.send(delete(1));
    assert!(offsets(&world).is_empty());
    assert_eq!(listed(&world), [GroupState::Empty]);
    let token = world.send(Command::DeleteGroup(DeleteGroup));
    assert_eq!(world.answers[&token], Ok(Reply::DeleteGroup(())));
    assert!(listed(&world).is_empty());
}

#[test]
fn empty_groups_keep_their_offsets_for_a_week() {
    const DAY: u64 = 24 * 3_600_000;
    let mut world = World::new();
    let (ids, generation) = world.stable(1);
    world.commit(&ids[0], generation, &[(partition(1, 0), 1)]);
    for _ in 0..(10 * DAY / 6_000) / 100 {
        // Alive for ten days, looked at now and then: a group with members keeps everything.
        world.ms += 600_000;
        let _ = world.heartbeat(&ids[0], generation);
        world.expire();
    }
    world.pass(2 * DAY);
    assert_eq!(offsets(&world).len(), 1, "the member died; the week begins then");
    world.pass(6 * DAY);
    assert!(offsets(&world).is_empty());
    assert_eq!(world.coordinator.stored().group(&key(1, "g")), None);
    // What a client wants to be kept shorter or longer is.
    let mut wanted = commit("", -1, &[(partition(1, 0), 1)]);
    wanted.retention_ms = Some(60_000);
    world.send(Command::CommitOffsets(wanted));
    world.pass(1_300_000);
    assert!(offsets(&world).is_empty());
}

#[test]
fn a_tenant_has_so_many_groups_at_most() {
    let mut world = World::new();
    for count in 0..SLOT_TENANT_GROUPS_MAX {
        world.log.clear();
        let record = commit("", -1, &[(partition(1, 0), 1)]);
        if count < 3 {
            world.send_to(&key(1, &format!("g{count}")), Command::CommitOffsets(record));
        }
    }
    // The rest come from the log, as after a restart.
    let template = world.coordinator.stored().records().next().unwrap();
    for count in 3..SLOT_TENANT_GROUPS_MAX {
        let mut name = BytesMut::new();
        name.put_slice(&template.key[..10]);
        let group = format!("h{count}");
        name.put_u16(group.len() as u16);
        name.put_slice(group.as_bytes());
        name.put_slice(&template.key[template.key.len() - 20..]);
        world.coordinator.apply(&name, template.value.as_ref());
    }
    let one_more = commit("", -1, &[(partition(1, 0), 1)]);
    let token = world.send_to(&key(1, "more"), Command::CommitOffsets(one_more.clone()));
    assert_eq!(results(&world, token), Err(GroupError::TooManyGroups));
    let token = world.send_to(&key(2, "more"), Command::CommitOffsets(one_more));
    assert!(results(&world, token).is_ok(), "the other tenant does not notice");
}
