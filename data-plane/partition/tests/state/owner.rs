//! Partitions with an owner: who may append, and from when on.

use crate::log::{Leader, opened, partition, plain};
use millstream_model::entry::EntryKind;
use millstream_model::{Epoch, Offset, OwnerEpoch};
use millstream_partition::{AppendError, Change, Effect, GroupState};

fn owned(epoch: u64) -> Change {
    Change::Owned {
        epoch: OwnerEpoch(epoch),
    }
}

#[test]
fn from_a_take_over_on_only_the_new_owner_appends() {
    let mut leader = Leader::with_partition();
    leader.append(0, plain(1, 1)).unwrap();
    let next = leader.overlay.next_owner(&leader.state, &partition(0), Epoch(1));
    assert_eq!(next, OwnerEpoch(11 << 32), "base epoch 10, epoch 1");
    assert_eq!(leader.commit(0, &owned(1)).effect, Effect::Owned);
    let not_owner = |current| {
        Err(AppendError::NotOwner {
            current: OwnerEpoch(current),
        })
    };
    assert_eq!(leader.append(0, plain(1, 1)).map(drop), not_owner(1));
    leader.owner = OwnerEpoch(1);
    leader.append(0, plain(1, 1)).unwrap();
    assert_eq!(leader.commit(0, &owned(2)).effect, Effect::Owned);
    assert_eq!(leader.append(0, plain(1, 1)).map(drop), not_owner(2));
    // A take-over that comes late, or twice, gives nothing back.
    assert_eq!(leader.commit(0, &owned(1)).effect, Effect::None);
    assert_eq!(leader.append(0, plain(1, 1)).map(drop), not_owner(2));
    leader.owner = OwnerEpoch(2);
    leader.append(0, plain(1, 1)).unwrap();
    let state = leader.state.partition(&partition(0)).unwrap();
    assert_eq!(
        (state.next_offset(), state.owner_epoch()),
        (Offset(3), OwnerEpoch(2))
    );
}

/// What the old owner sends between the order of the take-over and its commit must not get in behind it.
#[test]
fn a_take_over_counts_as_soon_as_it_is_ordered() {
    let mut leader = Leader::with_partition();
    let first = 11 << 32;
    let (kind, payload) = owned(first).payload().unwrap();
    assert_eq!(kind, EntryKind::Owned);
    assert_eq!(Change::read(kind, &payload), Ok(owned(first)));
    let header = millstream_model::entry::EntryHeader {
        kind,
        lsn: leader.state.applied().next(),
        ..leader.log[0].header
    };
    leader.overlay.ordered(&leader.state, &header, &owned(first));
    let refused = leader.order(0, plain(1, 1)).map(drop);
    let current = OwnerEpoch(first);
    assert_eq!(refused, Err(AppendError::NotOwner { current }));
    let next = |epoch| {
        leader
            .overlay
            .next_owner(&leader.state, &partition(0), Epoch(epoch))
    };
    assert_eq!(
        next(1),
        OwnerEpoch(first + 1),
        "two take-overs at once get two epochs"
    );
    assert_eq!(next(2), OwnerEpoch(12 << 32), "so do two under two leaders");
}

/// A damaged journal has lost that others took over: what they were given is not given again, for the next leader's epoch
/// comes from the catalog.
#[test]
fn an_epoch_that_was_given_and_lost_is_not_given_again() {
    let mut leader = Leader::with_partition();
    leader.commit(0, &owned(11 << 32));
    let before = leader.state.clone();
    let lost = leader.overlay.next_owner(&leader.state, &partition(0), Epoch(1));
    leader.commit(0, &Change::Owned { epoch: lost });
    let mended = before;
    let next = leader.overlay.next_owner(&mended, &partition(0), Epoch(2));
    assert!(next > lost, "{next:?} after {lost:?}");
}

#[test]
fn nobody_owns_what_was_never_taken_over() {
    let mut leader = Leader::with_partition();
    leader.owner = OwnerEpoch(1);
    let current = OwnerEpoch(0);
    assert_eq!(
        leader.append(0, plain(1, 1)).map(drop),
        Err(AppendError::NotOwner { current })
    );
}

#[test]
fn the_owner_is_in_the_snapshot() {
    let mut leader = Leader::with_partition();
    leader.commit(0, &owned(7));
    let read = GroupState::decode_snapshot(&leader.state.encode_snapshot()).unwrap();
    assert_eq!(
        read.partition(&partition(0)).unwrap().owner_epoch(),
        OwnerEpoch(7)
    );
    assert_eq!(read, leader.state);
    // Opened again elsewhere, it begins without one.
    let mut fresh = Leader::new();
    fresh.commit(0, &opened());
    let state = fresh.state.partition(&partition(0)).unwrap();
    assert_eq!(state.owner_epoch(), OwnerEpoch(0));
}
