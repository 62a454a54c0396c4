//! Who holds how much of the memory for requests, who waits for some, and who has overstayed: a pure machine.
//!
//! A request (a *frame*) takes room piece by piece as its bytes arrive and gives all of it back when it has been
//! answered. No clock, no lock, no socket: callers say what time it is, and ask for [`Event`]s after every call.
//!
//! ```text
//!   begin ─► arriving ──take──► arriving            complete ─► whole ──end──► gone
//!              │  ▲                                    ▲          (answered)
//!         take │  │ Granted                            │
//!              ▼  │                                    │
//!            waiting ─────────────────────────────► arriving
//!              │
//!              └── Overstayed ─► ended (keeps what it holds until `end`)
//! ```
//!
//! Rules, in the order in which they are asked:
//!
//! 1. A take is *rightful* when connection and owner stay within their shares with it; else it is *greedy*.
//! 2. Rightful takes go first: of all owners that wait, the one that holds least, in its order of arrival. While one
//!    of them waits, no greedy take is granted.
//! 3. Greedy takes go in their order of arrival and leave an owner's share free. Only the frame that has the *turn*
//!    may use that up; it keeps the turn until it is whole, so that large frames do not all stop half-way.
//! 4. While others wait, a frame that brings nothing is ended after the patience ([`Overstay::Silent`]). When the
//!    first in the queue has waited that long, the frames that hold the room wait for one another: the largest of the
//!    owner that holds most is ended ([`Overstay::Blocking`]), one at a time. So nobody waits for ever.

mod queue;
mod terms;

use millstream_model::limits::{ROOM_CONNECTION_SHARE, ROOM_OWNER_SHARE};
use queue::Queue;
use std::collections::{BTreeMap, HashMap};

pub use terms::{ConnectionId, Event, FrameId, Overstay, Owner, RoomSettings, Taken};

/// What a frame does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Arriving,
    /// For so many bytes, since then.
    Waiting {
        bytes: usize,
        since_ms: u64,
    },
    Whole,
    Ended,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    owner: Owner,
    connection: ConnectionId,
    held: usize,
    stage: Stage,
    /// Bytes that came since the mark.
    brought: usize,
    /// When enough of them had come last.
    mark_ms: u64,
}

/// The memory for requests.
#[derive(Debug)]
pub struct Room {
    settings: RoomSettings,
    frames: HashMap<FrameId, Frame>,
    owners: BTreeMap<Owner, usize>,
    connections: HashMap<ConnectionId, usize>,
    queue: Queue,
    used: usize,
    /// Held by frames that were ended and are not gone yet.
    ending: usize,
    turn: Option<FrameId>,
    /// Since when somebody has been waiting.
    contended_ms: Option<u64>,
    /// When a frame was ended last for what it blocks.
    blamed_ms: u64,
    next: u64,
    events: Vec<Event>,
}

impl Room {
    /// An empty room.
    pub fn new(settings: RoomSettings) -> Room {
        Room {
            settings,
            frames: HashMap::new(),
            owners: BTreeMap::new(),
            connections: HashMap::new(),
            queue: Queue::default(),
            used: 0,
            ending: 0,
            turn: None,
            contended_ms: None,
            blamed_ms: 0,
            next: 0,
            events: Vec::new(),
        }
    }

    /// A frame begins to arrive; it holds nothing yet.
    pub fn begin(&mut self, now_ms: u64, owner: Owner, connection: ConnectionId) -> FrameId {
        let id = FrameId(self.next);
        self.next += 1;
        self.frames.insert(
            id,
            Frame {
                owner,
                connection,
                held: 0,
                stage: Stage::Arriving,
                brought: 0,
                mark_ms: now_ms,
            },
        );
        id
    }

    /// The frame needs so many bytes more. A frame that was ended, or waits already, goes on waiting.
    pub fn take(&mut self, now_ms: u64, id: FrameId, bytes: usize) -> Taken {
        let Some(frame) = self.frames.get(&id).copied() else {
            return Taken::Waits;
        };
        // What is whole may need more once it is decoded.
        if !matches!(frame.stage, Stage::Arriving | Stage::Whole) {
            return Taken::Waits;
        }
        if frame.held.saturating_add(bytes) > self.settings.bytes_max {
            // It would wait for itself, and for ever.
            self.overstayed(id, Overstay::Blocking);
            return Taken::Waits;
        }
        if self.take_at_once(now_ms, id, bytes) {
            return Taken::Granted;
        }
        self.set_stage(
            id,
            Stage::Waiting {
                bytes,
                since_ms: now_ms,
            },
        );
        self.queue.push(frame.owner, id);
        self.contended_ms.get_or_insert(now_ms);
        self.serve(now_ms);
        if self
            .frames
            .get(&id)
            .is_some_and(|frame| frame.stage == Stage::Arriving)
        {
            self.events.retain(|event| *event != Event::Granted(id));
            return Taken::Granted;
        }
        Taken::Waits
    }

    /// Takes so many bytes if nobody waits and there is room; else nothing happens.
    pub fn take_at_once(&mut self, now_ms: u64, id: FrameId, bytes: usize) -> bool {
        let Some(frame) = self.frames.get(&id).copied() else {
            return false;
        };
        let may = matches!(frame.stage, Stage::Arriving | Stage::Whole);
        if !may || self.queue.len() > 0 || !self.fits(&frame, bytes) {
            return false;
        }
        self.give(now_ms, id, bytes);
        true
    }

    /// So many bytes of the frame came.
    pub fn arrived(&mut self, now_ms: u64, id: FrameId, bytes: usize) {
        if let Some(frame) = self.frames.get_mut(&id) {
            frame.brought = frame.brought.saturating_add(bytes);
            if frame.brought >= self.settings.progress_bytes {
                frame.brought = 0;
                frame.mark_ms = now_ms;
            }
        }
    }

    /// The frame is whole: it needs no more, and nothing is asked of its sender.
    pub fn complete(&mut self, now_ms: u64, id: FrameId) {
        let whole = match self.frames.get_mut(&id) {
            Some(frame) if frame.stage == Stage::Arriving => {
                frame.stage = Stage::Whole;
                true
            }
            _ => false,
        };
        if whole {
            self.pass_turn(now_ms, id);
        }
    }

    /// The frame is answered, or its sender gone: all that it holds is free.
    pub fn end(&mut self, now_ms: u64, id: FrameId) {
        let Some(frame) = self.frames.remove(&id) else {
            return;
        };
        self.queue.remove(frame.owner, id);
        self.used -= frame.held;
        if frame.stage == Stage::Ended {
            self.ending -= frame.held;
        }
        give_back(&mut self.owners, frame.owner, frame.held);
        if let Some(held) = self.connections.get_mut(&frame.connection) {
            *held -= frame.held;
            if *held == 0 {
                self.connections.remove(&frame.connection);
            }
        }
        self.turn = self.turn.filter(|turn| *turn != id);
        self.serve(now_ms);
    }

    /// Ends those who have overstayed. Nothing happens while nobody waits.
    pub fn expire(&mut self, now_ms: u64) {
        let Some(contended_ms) = self.contended_ms else {
            return;
        };
        let patience_ms = self.settings.patience_ms;
        let overdue = |since_ms: u64| now_ms.saturating_sub(since_ms) >= patience_ms;
        let silent: Vec<FrameId> = self
            .frames
            .iter()
            .filter(|(_, frame)| frame.stage == Stage::Arriving && overdue(frame.mark_ms.max(contended_ms)))
            .map(|(id, _)| *id)
            .collect();
        for id in silent {
            self.overstayed(id, Overstay::Silent);
        }
        let waited = self
            .first()
            .and_then(|first| match self.frames.get(&first)?.stage {
                Stage::Waiting { since_ms, .. } => Some((first, since_ms)),
                _ => None,
            });
        if let Some((first, since_ms)) = waited
            && overdue(since_ms.max(self.blamed_ms))
            && self.ending == 0
            && self.is_stuck(first)
            && let Some(blamed) = self.to_blame(now_ms, first)
        {
            self.blamed_ms = now_ms;
            self.overstayed(blamed, Overstay::Blocking);
        }
        self.serve(now_ms);
    }

    /// What became of frames since this was asked last.
    pub fn events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Bytes that are held.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Frames that wait.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }

    /// What an owner holds.
    pub fn held_by(&self, owner: Owner) -> usize {
        self.owners.get(&owner).copied().unwrap_or(0)
    }

    /// What a frame holds.
    pub fn held(&self, id: FrameId) -> usize {
        self.frames.get(&id).map_or(0, |frame| frame.held)
    }

    /// Whether the frame must go, or is gone.
    pub fn is_ended(&self, id: FrameId) -> bool {
        self.frames
            .get(&id)
            .is_none_or(|frame| frame.stage == Stage::Ended)
    }

    /// The owner that holds most, and how much.
    pub fn largest(&self) -> Option<(Owner, usize)> {
        let held = self.owners.iter().map(|(owner, held)| (*owner, *held));
        held.max_by_key(|(_, held)| *held)
    }

    /// Whether a frame would stay within the shares of its connection and owner with so many bytes more.
    fn is_rightful(&self, frame: &Frame, bytes: usize) -> bool {
        let connection = self.connections.get(&frame.connection).copied().unwrap_or(0);
        connection + bytes <= self.settings.bytes_max / ROOM_CONNECTION_SHARE
            && self.held_by(frame.owner) + bytes <= self.owner_share()
    }

    fn owner_share(&self) -> usize {
        self.settings.bytes_max / ROOM_OWNER_SHARE
    }

    /// What a waiting frame waits for.
    fn wanted(&self, id: FrameId) -> Option<(Frame, usize)> {
        let frame = *self.frames.get(&id)?;
        match frame.stage {
            Stage::Waiting { bytes, .. } => Some((frame, bytes)),
            _ => None,
        }
    }

    /// The rightful frame that goes first: of the owner that holds least.
    fn first_rightful(&self) -> Option<(FrameId, usize)> {
        let mut owners: Vec<(usize, Owner)> = self
            .queue
            .owners()
            .map(|owner| (self.held_by(owner), owner))
            .filter(|(held, _)| *held <= self.owner_share())
            .collect();
        owners.sort_unstable();
        owners.into_iter().find_map(|(_, owner)| {
            self.queue.of(owner).find_map(|id| {
                let (frame, bytes) = self.wanted(id)?;
                self.is_rightful(&frame, bytes).then_some((id, bytes))
            })
        })
    }

    /// Who goes first of all.
    fn first(&self) -> Option<FrameId> {
        let rightful = self.first_rightful().map(|(id, _)| id);
        let turn = self.turn.filter(|turn| self.wanted(*turn).is_some());
        rightful.or(turn).or(self.queue.oldest())
    }

    /// Gives room to those who wait, for as long as the rules allow.
    fn serve(&mut self, now_ms: u64) {
        while self.queue.len() > 0 {
            let free = self.settings.bytes_max.saturating_sub(self.used);
            let served = match self.first_rightful() {
                Some((id, bytes)) => (bytes <= free).then_some(id),
                None => self.first_greedy(free),
            };
            let Some(id) = served else { return };
            self.grant(now_ms, id);
        }
        self.contended_ms = None;
    }

    /// The greedy frame that may take now, if any; nobody rightful waits.
    fn first_greedy(&mut self, free: usize) -> Option<FrameId> {
        let has_turn = self.turn.filter(|turn| self.wanted(*turn).is_some());
        let id = has_turn.or(self.queue.oldest())?;
        let (_, bytes) = self.wanted(id)?;
        if bytes.saturating_add(self.owner_share()) <= free {
            return Some(id);
        }
        let turn = *self.turn.get_or_insert(id);
        (turn == id && bytes <= free).then_some(id)
    }

    /// Whether a frame may take when nobody waits.
    fn fits(&self, frame: &Frame, bytes: usize) -> bool {
        let free = self.settings.bytes_max.saturating_sub(self.used);
        let kept = if self.is_rightful(frame, bytes) {
            0
        } else {
            self.owner_share()
        };
        bytes.saturating_add(kept) <= free
    }

    fn grant(&mut self, now_ms: u64, id: FrameId) {
        let Some((frame, bytes)) = self.wanted(id) else {
            return;
        };
        self.queue.remove(frame.owner, id);
        self.give(now_ms, id, bytes);
        self.events.push(Event::Granted(id));
    }

    fn give(&mut self, now_ms: u64, id: FrameId, bytes: usize) {
        let Some(frame) = self.frames.get_mut(&id) else {
            return;
        };
        if let Stage::Waiting { .. } = frame.stage {
            // It could not bring anything while it waited for us.
            frame.stage = Stage::Arriving;
            frame.mark_ms = now_ms;
        }
        frame.held += bytes;
        let frame = *frame;
        self.used += bytes;
        *self.owners.entry(frame.owner).or_default() += bytes;
        *self.connections.entry(frame.connection).or_default() += bytes;
        debug_assert!(
            self.used <= self.settings.bytes_max,
            "bug: the room is never overfull"
        );
    }

    /// Whether waiting on does not help the first in the queue: who has its share may wait for requests that are being
    /// answered, who has less need not.
    fn is_stuck(&self, first: FrameId) -> bool {
        let rightful = self
            .wanted(first)
            .is_some_and(|(frame, bytes)| self.is_rightful(&frame, bytes));
        rightful
            || !self
                .frames
                .values()
                .any(|frame| frame.stage == Stage::Whole && frame.held > 0)
    }

    /// Whom to end so that the first in the queue gets on.
    fn to_blame(&self, now_ms: u64, first: FrameId) -> Option<FrameId> {
        let stuck = self.frames.iter().filter(|(id, frame)| {
            let is_stuck = match frame.stage {
                Stage::Waiting { .. } => true,
                Stage::Arriving => now_ms.saturating_sub(frame.mark_ms) >= self.settings.patience_ms,
                Stage::Whole | Stage::Ended => false,
            };
            is_stuck && frame.held > 0 && **id != first
        });
        let worst = stuck.max_by_key(|(id, frame)| (self.held_by(frame.owner), frame.held, **id));
        worst.map(|(id, _)| *id)
    }

    fn overstayed(&mut self, id: FrameId, why: Overstay) {
        let Some(frame) = self.frames.get_mut(&id) else {
            return;
        };
        frame.stage = Stage::Ended;
        self.ending += frame.held;
        let owner = frame.owner;
        self.queue.remove(owner, id);
        self.turn = self.turn.filter(|turn| *turn != id);
        self.events.push(Event::Overstayed(id, why));
    }

    fn pass_turn(&mut self, now_ms: u64, id: FrameId) {
        if self.turn == Some(id) {
            self.turn = None;
            self.serve(now_ms);
        }
    }

    fn set_stage(&mut self, id: FrameId, stage: Stage) {
        if let Some(frame) = self.frames.get_mut(&id) {
            frame.stage = stage;
        }
    }
}

fn give_back(owners: &mut BTreeMap<Owner, usize>, owner: Owner, bytes: usize) {
    if let Some(held) = owners.get_mut(&owner) {
        *held -= bytes;
        if *held == 0 {
            owners.remove(&owner);
        }
    }
}
