//! The commit protocol of a SQL shard as a pure machine: [`Commits::step`] takes what happened and says what to do next
//! (sql.md 15, 16). No clock, no I/O.
//!
//! ```text
//!   Open ─▶ fence the changelog ─▶ open the database ─▶ replay from its tag to the end found at the fence ─▶ Ready
//!   Commit ─▶ append the run piece by piece ─▶ Committed          the last piece is acknowledged: now it counts
//!   Tick ─▶ flush committed values with the tag, last ─▶ trim the changelog to the tag, once that is durable
//! ```
//!
//! Invariants: nothing is read before the fence; nothing that was committed is passed over, an offset without a piece
//! is damage; only what is committed is folded or flushed; only what is durable is
//! trimmed; a run whose fate is unclear is repeated, byte for byte, before anything else is appended; after a fence by
//! another owner nothing is asked for any more.

mod words;

pub use words::{CommitInput, CommitOutput, Planted, StopReason, Tag};

use crate::StateWrite;
use crate::changelog::{Replay, RunId, WholeRun, cut};
use crate::layers::Layers;
use bytes::Bytes;
use millstream_model::limits::{
    SQL_CHANGELOG_PIECE_BYTES_MAX, SQL_CLOSE_RUNS_MAX, SQL_FLUSH_AFTER_MS, SQL_FLUSH_BYTES,
};
use millstream_model::{Backoff, Offset, OwnerEpoch, Waits};
use std::collections::VecDeque;
use std::time::Duration;

/// The waits after flushes that failed.
const FLUSH_AGAIN: Waits = Waits::new(Duration::from_secs(5), Duration::from_secs(30));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Fencing,
    Opening,
    Replaying,
    /// What is left is being made the whole, before anything comes behind it.
    Accepting,
    Ready,
    Stopped,
}

/// A run on its way into the changelog.
#[derive(Clone, Debug)]
struct Run {
    id: RunId,
    /// What is not acknowledged; the first is asked for, or unclear.
    pieces: VecDeque<Bytes>,
    unclear: bool,
    changes: Vec<StateWrite>,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Commits {
    phase: Phase,
    epoch: OwnerEpoch,
    /// What the fence found.
    found: (Offset, Offset),
    /// Up to where the changelog is known, and the last run in it.
    at: Tag,
    replay: Replay,
    run: Option<Run>,
    layers: Layers,
    /// The flush that is under way: its tag, and how many runs it takes out of the changelog.
    flushing: Option<(Tag, u64)>,
    /// After one that failed: none before this moment.
    flush_not_before_ms: u64,
    flush_again: Backoff,
    /// What is durable.
    durable: Tag,
    now_ms: u64,
    /// When the oldest change that waits for a flush was committed.
    waiting_since_ms: Option<u64>,
    /// Runs that only the changelog has.
    runs: u64,
    piece_bytes_max: usize,
    /// An operator goes on without what is gone.
    accepts_loss: bool,
    planted: Planted,
}

impl Default for Commits {
    fn default() -> Self {
        Self::new()
    }
}

impl Commits {
    /// Nothing is open yet.
    pub fn new() -> Self {
        Self::with(Planted::default(), SQL_CHANGELOG_PIECE_BYTES_MAX)
    }

    /// With bugs, and pieces of at most so many bytes.
    pub fn with(planted: Planted, piece_bytes_max: usize) -> Self {
        Self {
            phase: Phase::Closed,
            epoch: OwnerEpoch(0),
            found: (Offset(0), Offset(0)),
            at: Tag::default(),
            replay: Replay::default(),
            run: None,
            layers: Layers::default(),
            flushing: None,
            flush_not_before_ms: 0,
            flush_again: Backoff::new(FLUSH_AGAIN),
            durable: Tag::default(),
            now_ms: 0,
            waiting_since_ms: None,
            runs: 0,
            piece_bytes_max,
            accepts_loss: false,
            planted,
        }
    }

    /// The same, for an operator who goes on without what is gone.
    pub fn accepting_loss(mut self, accepts_loss: bool) -> Self {
        self.accepts_loss = accepts_loss;
        self
    }

    /// How many commits the shard has made, in all its lives.
    pub fn number(&self) -> u64 {
        self.at.last.number
    }

    /// Whether commits may begin.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// Whether a commit is under way, or its fate is unclear.
    pub fn is_committing(&self) -> bool {
        self.run.is_some()
    }

    /// Whether a flush is under way.
    pub fn is_flushing(&self) -> bool {
        self.flushing.is_some()
    }

    /// When a flush is due, in the time of [`CommitInput::Tick`].
    pub fn flush_at_ms(&self) -> Option<u64> {
        if self.flushing.is_some() || !self.is_ready() {
            return None;
        }
        let since = self.waiting_since_ms?;
        let due = match self.layers.bytes() >= SQL_FLUSH_BYTES {
            true => since,
            false => since + SQL_FLUSH_AFTER_MS,
        };
        Some(due.max(self.flush_not_before_ms))
    }

    /// What is committed, over what the database answered for a prefix.
    pub fn committed(&self, prefix: &[u8], durable: Vec<(Bytes, Bytes)>) -> Vec<(Bytes, Bytes)> {
        self.layers.over(prefix, durable)
    }

    /// Takes in what happened.
    pub fn step(&mut self, input: CommitInput) -> Vec<CommitOutput> {
        if self.phase == Phase::Stopped {
            return Vec::new();
        }
        match input {
            CommitInput::Open => self.open(),
            CommitInput::Fenced { epoch, start, end } => self.fenced(epoch, start, end),
            CommitInput::Opened { tag } => self.opened(tag.unwrap_or_default()),
            CommitInput::Read { pieces, next } => self.read(pieces, next),
            CommitInput::Unread { damage } => self.unread(&damage),
            CommitInput::Commit(changes) => self.commit(changes),
            CommitInput::Appended { at } => self.appended(at),
            CommitInput::AppendUnclear => {
                if let Some(run) = &mut self.run {
                    run.unclear = true;
                }
                Vec::new()
            }
            CommitInput::Retry => self.retry(),
            CommitInput::Tick { now_ms } => {
                self.now_ms = self.now_ms.max(now_ms);
                match self.flush_at_ms() {
                    Some(at) if at <= self.now_ms => self.flush(),
                    _ => Vec::new(),
                }
            }
            CommitInput::Close => {
                match self.is_ready() && self.flushing.is_none() && self.runs > SQL_CLOSE_RUNS_MAX {
                    true => self.flush(),
                    false => Vec::new(),
                }
            }
            CommitInput::Flushed => self.flushed(),
            CommitInput::FlushFailed { random } => self.flush_failed(random),
            CommitInput::OwnerMet => self.stop(StopReason::Fenced),
        }
    }

    fn stop(&mut self, reason: StopReason) -> Vec<CommitOutput> {
        self.phase = Phase::Stopped;
        vec![CommitOutput::Stop(reason)]
    }

    fn open(&mut self) -> Vec<CommitOutput> {
        assert_eq!(self.phase, Phase::Closed, "bug: a machine opens once");
        if self.planted.replay_before_fence {
            self.phase = Phase::Opening;
            self.found = (Offset(0), Offset(i64::MAX));
            return vec![CommitOutput::OpenDatabase];
        }
        self.phase = Phase::Fencing;
        vec![CommitOutput::Fence]
    }

    fn fenced(&mut self, epoch: OwnerEpoch, start: Offset, end: Offset) -> Vec<CommitOutput> {
        assert_eq!(self.phase, Phase::Fencing, "bug: asked for");
        self.epoch = epoch;
        if self.planted.replay_before_fence {
            self.phase = Phase::Ready;
            return vec![CommitOutput::Ready];
        }
        self.phase = Phase::Opening;
        self.found = (start, end);
        vec![CommitOutput::OpenDatabase]
    }

    fn opened(&mut self, tag: Tag) -> Vec<CommitOutput> {
        assert_eq!(
            self.phase,
            Phase::Opening,
            "bug: nothing is read before the fence"
        );
        let (start, end) = self.found;
        if tag.last.epoch >= self.epoch && !self.planted.replay_before_fence {
            // Whoever fenced the changelog after us has opened the database before us.
            return self.stop(StopReason::Fenced);
        }
        let from = tag.end;
        let damage = if from < start {
            Some(format!("it begins at {start}, the state ends at {from}"))
        } else if from > end {
            Some(format!("it ends at {end}, the state knows it up to {from}"))
        } else {
            None
        };
        (self.at, self.durable) = (tag, tag);
        self.replay = Replay::after(tag.last, self.planted.replay);
        if let Some(damage) = damage {
            return self.damaged(damage);
        }
        self.phase = Phase::Replaying;
        self.read_on()
    }

    fn read_on(&mut self) -> Vec<CommitOutput> {
        if self.at.end < self.found.1 {
            return vec![CommitOutput::Read { from: self.at.end }];
        }
        self.phase = Phase::Ready;
        vec![CommitOutput::Ready]
    }

    fn read(&mut self, pieces: Vec<Bytes>, next: Offset) -> Vec<CommitOutput> {
        assert_eq!(self.phase, Phase::Replaying, "bug: asked for");
        assert!(next >= self.at.end, "bug: reading goes on");
        if self.planted.replay_before_fence && next == self.at.end {
            self.phase = Phase::Fencing;
            return vec![CommitOutput::Fence];
        }
        if next > self.found.1 {
            // Behind our fence only who came after us appends. A tag in the middle of its run would cut that off.
            return self.stop(StopReason::Fenced);
        }
        // Every append is one record, and only a trim takes records away: an offset without one has lost what it held.
        let (brought, from) = (pieces.len() as u64, self.at.end);
        let is_whole = u64::try_from(next.0 - from.0) == Ok(brought) || self.planted.replay_before_fence;
        let last = next.plus(-1);
        let lost = || format!("from offset {from} to {last} it brings {brought} pieces: the others are lost");
        if !is_whole && !self.accepts_loss {
            return self.damaged(lost());
        }
        for piece in pieces {
            match self.replay.piece(piece) {
                Ok(Some(run)) => self.apply(run),
                Ok(None) => {}
                Err(error) => {
                    let damage = format!("{error}, between offsets {from} and {next}");
                    return self.damaged(damage);
                }
            }
        }
        if !is_whole {
            return self.damaged(lost());
        }
        self.at = Tag {
            end: next,
            last: self.replay.last(),
        };
        self.read_on()
    }

    /// What comes next is damaged in the store: as lost as what a journal lost, for whoever goes on without it.
    fn unread(&mut self, damage: &str) -> Vec<CommitOutput> {
        assert_eq!(self.phase, Phase::Replaying, "bug: asked for");
        self.damaged(format!(
            "from offset {} on it cannot be read: {damage}",
            self.at.end
        ))
    }

    /// Something of what was committed is gone. An operator who knows may go on with what precedes it: a state is whole
    /// at each commit, so this is what a crash before the next one would have left. All of the changelog up to the fence
    /// is passed over then, and that is durable before anything is committed behind it: nobody meets the damage again.
    fn damaged(&mut self, damage: String) -> Vec<CommitOutput> {
        if !self.accepts_loss {
            return self.stop(StopReason::Damaged(damage));
        }
        let tag = Tag {
            end: self.found.1,
            last: self.replay.last(),
        };
        self.at = tag;
        self.durable.end = self.durable.end.min(tag.end);
        self.phase = Phase::Accepting;
        self.flushing = Some((tag, std::mem::take(&mut self.runs)));
        self.waiting_since_ms = None;
        let changes = self.layers.begin_flush();
        vec![
            CommitOutput::Accepted { damage },
            CommitOutput::Flush { changes, tag },
        ]
    }

    fn apply(&mut self, run: WholeRun) {
        for change in run.changes {
            self.layers.put(change);
        }
        self.wait_for_flush();
    }

    fn wait_for_flush(&mut self) {
        self.runs += 1;
        self.waiting_since_ms.get_or_insert(self.now_ms);
    }

    fn commit(&mut self, changes: Vec<StateWrite>) -> Vec<CommitOutput> {
        assert!(self.is_ready(), "bug: commits begin when the shard is open");
        assert!(self.run.is_none(), "bug: one commit at a time");
        let id = RunId {
            epoch: self.epoch,
            number: self.at.last.number + 1,
        };
        let pieces = cut(id, &changes, self.piece_bytes_max).into();
        self.run = Some(Run {
            id,
            pieces,
            unclear: false,
            changes,
        });
        let mut outputs = self.append();
        if self.planted.state_before_commit {
            outputs.extend(self.count());
        }
        outputs
    }

    /// Asks for the first piece that is not acknowledged.
    fn append(&self) -> Vec<CommitOutput> {
        let piece = self.run.as_ref().and_then(|run| run.pieces.front());
        let append = |piece: &Bytes| CommitOutput::Append {
            epoch: self.epoch,
            piece: piece.clone(),
        };
        piece.map(append).into_iter().collect()
    }

    fn retry(&mut self) -> Vec<CommitOutput> {
        let Some(run) = self.run.as_mut().filter(|run| run.unclear) else {
            return Vec::new();
        };
        run.unclear = false;
        self.append()
    }

    fn appended(&mut self, at: Offset) -> Vec<CommitOutput> {
        let Some(run) = &mut self.run else {
            assert!(self.planted.state_before_commit, "bug: asked for");
            return Vec::new();
        };
        run.pieces.pop_front();
        // Pieces of an unfinished run lie behind what the tag may name.
        if !run.pieces.is_empty() {
            return self.append();
        }
        self.at.end = at.plus(1);
        let counted = self.count();
        self.run = None;
        match self.planted.state_before_commit {
            true => Vec::new(),
            false => counted,
        }
    }

    /// The run counts: its values may be seen and flushed.
    fn count(&mut self) -> Vec<CommitOutput> {
        let Some(run) = &mut self.run else {
            return Vec::new();
        };
        let (id, changes) = (run.id, std::mem::take(&mut run.changes));
        assert!(
            run.pieces.is_empty() || self.planted.state_before_commit,
            "bug: a commit counts when its last piece is durable"
        );
        self.at.last = id;
        if !changes.is_empty() {
            for change in changes {
                self.layers.put(change.shared());
            }
        }
        self.wait_for_flush();
        vec![CommitOutput::Committed { number: id.number }]
    }

    fn flush(&mut self) -> Vec<CommitOutput> {
        assert!(self.flushing.is_none(), "bug: one flush at a time");
        let tag = self.at;
        self.flushing = Some((tag, std::mem::take(&mut self.runs)));
        self.waiting_since_ms = None;
        let changes = self.layers.begin_flush();
        let mut outputs = vec![CommitOutput::Flush { changes, tag }];
        if self.planted.trim_before_flush {
            outputs.push(CommitOutput::Trim { before: tag.end });
        }
        outputs
    }

    fn flushed(&mut self) -> Vec<CommitOutput> {
        let Some((tag, _)) = self.flushing.take() else {
            return Vec::new();
        };
        assert!(tag.end >= self.durable.end, "bug: the tag moves on");
        self.durable = tag;
        self.flush_again.reset();
        self.layers.flushed();
        let mut outputs = vec![CommitOutput::Trim { before: tag.end }];
        if self.phase == Phase::Accepting {
            self.phase = Phase::Ready;
            outputs.push(CommitOutput::Ready);
        }
        outputs
    }

    fn flush_failed(&mut self, random: u64) -> Vec<CommitOutput> {
        if self.phase == Phase::Accepting {
            let damage = "what is left of it could not be written; start again".to_owned();
            return self.stop(StopReason::Damaged(damage));
        }
        if let Some((_, runs)) = self.flushing.take() {
            self.runs += runs;
            self.layers.unflushed();
            self.waiting_since_ms.get_or_insert(self.now_ms);
            let wait = self.flush_again.next(random);
            self.flush_not_before_ms = self.now_ms + u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        }
        Vec::new()
    }
}
