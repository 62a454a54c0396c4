//! What replicas of one group say to one another.
//!
//! ```text
//!   leader  ── Append(previous, entries, high watermark) ──►  follower
//!           ◄── Acknowledge(durable) or Refuse(has) ──────────
//!           ── Install(base): what you lack is no longer in my log ──►
//! ```
//! Messages may be lost, doubled and reordered. The shell frames them and vouches for the sender (log.md 25).

use crate::history::EntryId;
use millstream_model::entry::Entry;
use millstream_model::{Epoch, Lsn, Registration};

/// One message; the group and the sender are said by the frame around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Leader to follower: entries, or none as a heartbeat.
    Append(Append),
    /// Follower to leader: what it has.
    Acknowledge(Acknowledge),
    /// Follower to anyone who appends: no, and why not.
    Refuse(Refuse),
    /// Leader to follower: start from a snapshot.
    Install(Install),
}

/// Entries that follow one named entry (log.md 15).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The sender's epoch.
    pub epoch: Epoch,
    /// Counts the messages to this follower within the epoch; a refusal repeats it.
    pub number: u64,
    /// The entry before the first of these.
    pub previous: EntryId,
    /// The entries, in order, without gaps.
    pub entries: Vec<Entry>,
    /// The leader's high watermark.
    pub high_watermark: Lsn,
}

/// What a follower holds that agrees with the leader of this epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledge {
    /// The follower's epoch.
    pub epoch: Epoch,
    /// The follower's incarnation.
    pub registration: Registration,
    /// The last entry that agrees with the leader's log and is on its disk.
    pub durable: Lsn,
    /// Bytes that may be sent beyond `durable`.
    pub window_bytes: usize,
}

/// An append that cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refuse {
    /// The refuser's epoch; a higher one than the leader's ends its leadership.
    pub epoch: Epoch,
    /// The refuser's incarnation.
    pub registration: Registration,
    /// The epoch of the refused append. Of an earlier one than the refuser's nothing follows for its leader, who may be
    /// the same replica, but that its epoch is over.
    pub refused: Epoch,
    /// The number of the refused append.
    pub number: u64,
    /// The best candidate for a common entry: the last it has that is not after the one asked for.
    pub has: EntryId,
}

/// The leader no longer holds what the follower needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Install {
    /// The leader's epoch.
    pub epoch: Epoch,
    /// The entry before the first one that the leader still holds; a snapshot at or past it will do.
    pub base: EntryId,
}

impl Message {
    /// The sender's epoch.
    pub fn epoch(&self) -> Epoch {
        match self {
            Message::Append(message) => message.epoch,
            Message::Acknowledge(message) => message.epoch,
            Message::Refuse(message) => message.epoch,
            Message::Install(message) => message.epoch,
        }
    }
}
