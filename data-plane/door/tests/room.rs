//! The room's rules as tables, and as properties over any behaviour of those who send.

#![allow(clippy::unwrap_used)]

use millstream_door::room::{ConnectionId, Event, FrameId, Overstay, Owner, Room, RoomSettings, Taken};
use millstream_model::TenantId;
use proptest::prelude::*;
use std::collections::BTreeMap;

const MIB: usize = 1024 * 1024;
const PATIENCE_MS: u64 = 10_000;
const PROGRESS: usize = 64 * 1024;

fn room(bytes_max: usize) -> Room {
    Room::new(RoomSettings {
        bytes_max,
        patience_ms: PATIENCE_MS,
        progress_bytes: PROGRESS,
    })
}

fn tenant(number: u64) -> Owner {
    Owner::Tenant(TenantId(number))
}

#[test]
fn who_only_announces_holds_nothing() {
    let mut room = room(512 * MIB);
    for number in 0..6 {
        room.begin(0, tenant(1), ConnectionId(number));
    }
    assert_eq!(room.used(), 0);
    let quiet = room.begin(1, tenant(2), ConnectionId(9));
    assert_eq!(room.take(1, quiet, MIB), Taken::Granted);
    room.expire(PATIENCE_MS * 100);
    assert_eq!(room.events(), [], "alone, a frame may take its time");
}

#[test]
fn a_tenant_alone_leaves_a_share_free_but_for_the_frame_that_has_the_turn() {
    let mut room = room(512 * MIB);
    let frames: Vec<FrameId> = (0..6)
        .map(|number| room.begin(0, tenant(1), ConnectionId(number)))
        .collect();
    for frame in &frames[..5] {
        assert_eq!(room.take(0, *frame, 76 * MIB), Taken::Granted);
    }
    // 380 MiB are held, 128 MiB are for those who have less than their share.
    assert_eq!(
        room.take(0, frames[5], 8 * MIB),
        Taken::Granted,
        "it has the turn"
    );
    assert_eq!(room.take(0, frames[0], 8 * MIB), Taken::Waits);
    assert_eq!(room.take(0, frames[5], 24 * MIB), Taken::Granted);
    let quiet = room.begin(0, tenant(2), ConnectionId(9));
    assert_eq!(room.take(0, quiet, 60 * MIB), Taken::Granted, "within its share");
    room.complete(0, frames[5]);
    assert_eq!(room.events(), [Event::Granted(frames[0])], "the turn passes on");
}

#[test]
fn while_somebody_waits_nobody_takes_beyond_its_share() {
    let mut room = room(64 * MIB);
    // Three tenants hold all of it, each a little less than its share or more.
    let hog = room.begin(0, tenant(1), ConnectionId(1));
    assert_eq!(room.take(0, hog, 40 * MIB), Taken::Granted);
    let other = room.begin(0, tenant(2), ConnectionId(2));
    assert_eq!(room.take(0, other, 8 * MIB), Taken::Granted);
    let third = room.begin(0, tenant(3), ConnectionId(3));
    assert_eq!(room.take(0, third, 8 * MIB), Taken::Granted);
    let fourth = room.begin(0, tenant(4), ConnectionId(4));
    assert_eq!(room.take(0, fourth, 7 * MIB), Taken::Granted);
    let late = room.begin(1, tenant(5), ConnectionId(5));
    assert_eq!(room.take(1, late, 2 * MIB), Taken::Waits);
    assert_eq!(
        room.take(1, hog, MIB),
        Taken::Waits,
        "there is room for it, but others wait"
    );
    room.end(2, fourth);
    assert_eq!(room.events(), [Event::Granted(late), Event::Granted(hog)]);
}

/// Who waits goes first where it stays within the shares of its connection and its owner, whoever asked before.
#[test]
fn while_somebody_waits_a_connection_has_its_own_share() {
    const OWN: u64 = 1;
    const OTHER: u64 = 2;
    for (held_before, wanted, connection, is_first) in [
        (7 * MIB, MIB, OWN, true),
        (8 * MIB, MIB, OWN, false),
        (8 * MIB, MIB, OTHER, true),
        (8 * MIB, 8 * MIB, OTHER, true),
        (8 * MIB, 9 * MIB, OTHER, false),
    ] {
        let mut room = room(64 * MIB);
        let full = room.begin(0, tenant(1), ConnectionId(OWN));
        assert_eq!(room.take(0, full, held_before), Taken::Granted);
        let others: Vec<FrameId> = (2..=5)
            .map(|number| {
                let id = room.begin(0, tenant(number), ConnectionId(100 + number));
                assert_eq!(room.take(0, id, 8 * MIB), Taken::Granted);
                id
            })
            .collect();
        let hog = room.begin(0, tenant(9), ConnectionId(900));
        let rest = 64 * MIB - room.used();
        assert_eq!(room.take(0, hog, rest), Taken::Granted, "nobody waits yet");
        // It has more than its share, asked first, and would fit as soon as anything does.
        assert_eq!(room.take(1, hog, 512 * 1024), Taken::Waits);
        let asks = room.begin(2, tenant(1), ConnectionId(connection));
        assert_eq!(room.take(2, asks, wanted), Taken::Waits);
        room.end(3, others[0]);
        room.end(3, others[1]);
        let first = room.events().first().copied();
        let case = format!("{held_before} held, {wanted} wanted at {connection}");
        assert_eq!(first == Some(Event::Granted(asks)), is_first, "{case}: {first:?}");
    }
}

#[test]
fn the_silent_are_ended_only_while_others_wait() {
    let mut room = room(64 * MIB);
    let silent = room.begin(0, tenant(1), ConnectionId(1));
    assert_eq!(room.take(0, silent, 8 * MIB), Taken::Granted);
    let slow = room.begin(0, tenant(1), ConnectionId(2));
    assert_eq!(room.take(0, slow, 8 * MIB), Taken::Granted);
    let whole = room.begin(0, tenant(2), ConnectionId(3));
    assert_eq!(room.take(0, whole, 8 * MIB), Taken::Granted);
    let more = room.begin(0, tenant(2), ConnectionId(4));
    assert_eq!(room.take(0, more, 8 * MIB), Taken::Granted);
    for (number, frame) in [(5, 0), (6, 0), (7, 0), (8, 0)] {
        let id = room.begin(frame, tenant(number), ConnectionId(number));
        assert_eq!(room.take(0, id, 8 * MIB), Taken::Granted);
        room.complete(0, id);
    }
    room.complete(0, whole);
    room.complete(0, more);
    room.expire(1_000_000);
    assert_eq!(room.events(), []);
    let waits = room.begin(1_000_000, tenant(9), ConnectionId(9));
    assert_eq!(room.take(1_000_000, waits, MIB), Taken::Waits);
    room.arrived(1_005_000, slow, PROGRESS);
    room.expire(1_000_000 + PATIENCE_MS - 1);
    assert_eq!(room.events(), [], "the patience begins with the wait");
    room.expire(1_000_000 + PATIENCE_MS);
    assert_eq!(room.events(), [Event::Overstayed(silent, Overstay::Silent)]);
    room.end(1_010_001, silent);
    assert_eq!(room.events(), [Event::Granted(waits)]);
}

/// Half-arrived frames that fill the room do not wait for one another for ever: the largest of the owner that holds
/// most goes, and with its room the others get on.
#[test]
fn half_arrived_frames_that_fill_the_room_are_resolved() {
    let mut room = room(80 * MIB);
    let mut frames = Vec::new();
    for number in 1..=5u64 {
        for connection in 0..2 {
            let id = room.begin(0, tenant(number), ConnectionId(number * 10 + connection));
            assert_eq!(room.take(0, id, 8 * MIB), Taken::Granted);
            frames.push(id);
        }
    }
    assert_eq!(room.used(), 80 * MIB);
    for id in &frames {
        assert_eq!(room.take(1, *id, MIB), Taken::Waits);
    }
    room.expire(PATIENCE_MS);
    assert_eq!(room.events(), []);
    room.expire(PATIENCE_MS + 1);
    let events = room.events();
    let [Event::Overstayed(blamed, Overstay::Blocking)] = events[..] else {
        panic!("{events:?}")
    };
    room.expire(PATIENCE_MS * 3);
    assert_eq!(room.events(), [], "one at a time");
    room.end(PATIENCE_MS * 3, blamed);
    assert!(
        room.events()
            .iter()
            .any(|event| matches!(event, Event::Granted(_)))
    );
}

#[test]
fn a_stranger_at_its_share_does_not_hold_up_others() {
    let mut room = room(64 * MIB);
    let address = |last: u8| Owner::Address([127, 0, 0, last].into());
    let mut waiting = 0;
    for number in 0..8_300 {
        let id = room.begin(0, address(1), ConnectionId(number));
        if room.take(0, id, 64 * 1024) == Taken::Waits {
            waiting += 1;
        }
    }
    assert!(waiting > 0);
    assert!(room.used() <= 49 * MIB, "{}", room.used());
    let honest = room.begin(0, address(2), ConnectionId(10_000));
    assert_eq!(room.take(0, honest, 1024), Taken::Granted);
}

/// One who sends: how much in all, in which pieces, and from which piece on no more.
#[derive(Clone, Debug)]
struct Sender {
    owner: u64,
    connection: u64,
    pieces: Vec<usize>,
    silent_from: usize,
    starts_ms: u64,
    /// How long its request takes once it is whole.
    answered_after_ms: u64,
}

fn senders(owners: u64) -> impl Strategy<Value = Vec<Sender>> {
    let sender = (
        1..=owners,
        0..3u64,
        prop::collection::vec(1..2 * MIB, 1..12),
        prop_oneof![3 => Just(usize::MAX), 1 => 0..12usize],
        0..30_000u64,
        0..5_000u64,
    );
    let sender = sender.prop_map(
        |(owner, line, pieces, silent_from, starts_ms, answered_after_ms)| Sender {
            owner,
            connection: owner * 10 + line,
            pieces,
            silent_from,
            starts_ms,
            answered_after_ms,
        },
    );
    prop::collection::vec(sender, 1..60)
}

#[derive(Debug)]
struct Live {
    sender: usize,
    next: usize,
    waits: bool,
    whole_ms: Option<u64>,
}

/// How it ended for a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered(u64),
    Ended(u64),
}

/// Lets everybody send for as long as `until_ms`, and says what became of each.
fn play(room: &mut Room, senders: &[Sender], until_ms: u64) -> Vec<Option<Fate>> {
    let mut fates = vec![None; senders.len()];
    let mut live: BTreeMap<FrameId, Live> = BTreeMap::new();
    let mut now_ms = 0;
    while now_ms <= until_ms {
        for (sender, it) in senders.iter().enumerate() {
            if it.starts_ms / 250 == now_ms / 250 {
                let id = room.begin(now_ms, tenant(it.owner), ConnectionId(it.connection));
                let (next, waits, whole_ms) = (0, false, None);
                live.insert(
                    id,
                    Live {
                        sender,
                        next,
                        waits,
                        whole_ms,
                    },
                );
            }
        }
        let ids: Vec<FrameId> = live.keys().copied().collect();
        for id in ids {
            step(room, senders, now_ms, id, &mut live, &mut fates);
        }
        room.expire(now_ms);
        for event in room.events() {
            match event {
                Event::Granted(id) => {
                    let one = live.get_mut(&id).unwrap();
                    one.waits = false;
                    room.arrived(now_ms, id, senders[one.sender].pieces[one.next]);
                    one.next += 1;
                }
                Event::Overstayed(id, _) => {
                    let one = live.remove(&id).unwrap();
                    fates[one.sender] = Some(Fate::Ended(now_ms));
                    room.end(now_ms, id);
                }
            }
        }
        now_ms += 250;
    }
    let held: usize = live.keys().map(|id| room.held(*id)).sum();
    assert_eq!(room.used(), held, "what is used is what frames hold");
    fates
}

fn step(
    room: &mut Room,
    senders: &[Sender],
    now_ms: u64,
    id: FrameId,
    live: &mut BTreeMap<FrameId, Live>,
    fates: &mut [Option<Fate>],
) {
    let Some(one) = live.get_mut(&id) else { return };
    let sender = &senders[one.sender];
    if let Some(whole_ms) = one.whole_ms {
        if now_ms >= whole_ms + sender.answered_after_ms {
            fates[one.sender] = Some(Fate::Answered(now_ms));
            room.end(now_ms, id);
            live.remove(&id);
        }
        return;
    }
    if one.waits || one.next >= sender.silent_from {
        return;
    }
    match sender.pieces.get(one.next) {
        None => {
            room.complete(now_ms, id);
            one.whole_ms = Some(now_ms);
        }
        Some(bytes) => match room.take(now_ms, id, *bytes) {
            Taken::Granted => {
                room.arrived(now_ms, id, *bytes);
                one.next += 1;
            }
            Taken::Waits => one.waits = true,
        },
    }
}

#[test]
fn a_frame_larger_than_the_room_is_ended() {
    let mut room = room(16 * MIB);
    let frame = room.begin(0, tenant(1), ConnectionId(1));
    assert_eq!(room.take(0, frame, 16 * MIB), Taken::Granted);
    assert_eq!(room.take(0, frame, 1), Taken::Waits);
    assert_eq!(room.events(), [Event::Overstayed(frame, Overstay::Blocking)]);
    room.end(0, frame);
    assert_eq!((room.used(), room.waiting()), (0, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Nobody waits for ever: in the end every frame is answered, ended, or silent with nobody waiting. The room is
    /// never overfull (asserted inside), and empty when all are gone.
    #[test]
    fn nobody_waits_for_ever(senders in senders(6)) {
        let mut room = room(16 * MIB);
        let fates = play(&mut room, &senders, 40_000 + 60 * 2 * (PATIENCE_MS + 6_000));
        prop_assert_eq!(room.waiting(), 0);
        for (sender, fate) in senders.iter().zip(&fates) {
            let speaks = sender.silent_from > sender.pieces.len();
            prop_assert!(fate.is_some() || !speaks, "{sender:?} neither answered nor ended");
        }
    }

    /// A tenant with small requests is answered soon whatever two others do.
    #[test]
    fn a_quiet_tenant_gets_on_beside_two_hostile(senders in senders(2), starts_ms in 0..60_000u64) {
        let mut room = room(32 * MIB);
        let mut senders = senders;
        let quiet = Sender {
            owner: 77,
            connection: 770,
            pieces: vec![16 * 1024],
            silent_from: usize::MAX,
            starts_ms,
            answered_after_ms: 0,
        };
        senders.push(quiet);
        let fates = play(&mut room, &senders, 120_000);
        let Some(Some(Fate::Answered(at_ms))) = fates.last() else {
            panic!("the quiet one was not answered: {:?}", fates.last())
        };
        prop_assert!(*at_ms <= starts_ms + 2 * (PATIENCE_MS + 6_000), "answered {} ms late", at_ms - starts_ms);
    }
}
