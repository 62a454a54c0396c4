//! The words of the commit machine: what happened, what to do.

use crate::StateWrite;
use crate::changelog::{PlantedReplay, RunId};
use crate::layers::Layer;
use bytes::Bytes;
use millstream_model::{Offset, OwnerEpoch};
use std::sync::Arc;

/// Up to where the durable layer knows the changelog.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tag {
    /// The offset behind the last run that is in it.
    pub end: Offset,
    /// That run.
    pub last: RunId,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum CommitInput {
    /// The shard is to be opened.
    Open,
    /// The changelog is ours under this epoch, and holds this much.
    Fenced {
        /// Ours.
        epoch: OwnerEpoch,
        /// The first offset that is there.
        start: Offset,
        /// One past the last.
        end: Offset,
    },
    /// The database is open, whoever had it is fenced; this is its tag.
    Opened {
        /// None in a new one.
        tag: Option<Tag>,
    },
    /// What is there cannot be read, for it is damaged where it is stored.
    Unread {
        /// What the log says of it.
        damage: String,
    },
    /// What the changelog brought from the offset asked for, and where it goes on.
    Read {
        /// Pieces in order.
        pieces: Vec<Bytes>,
        /// Behind them; the offset asked for when there was nothing.
        next: Offset,
    },
    /// These changes are one commit.
    Commit(Vec<StateWrite>),
    /// The piece is durable at this offset.
    Appended {
        /// Its offset.
        at: Offset,
    },
    /// Nobody knows whether the piece is there.
    AppendUnclear,
    /// Time to try what is unclear again.
    Retry,
    /// So much time has passed since the shard was opened, ms.
    Tick {
        /// Now.
        now_ms: u64,
    },
    /// The shard is about to close; nothing is under way.
    Close,
    /// The flush is durable.
    Flushed,
    /// The flush failed.
    FlushFailed {
        /// Evenly drawn from all numbers: by chance, shards whose store failed them together come back apart.
        random: u64,
    },
    /// Another owner was met.
    OwnerMet,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitOutput {
    /// Fence the changelog.
    Fence,
    /// Open the database and read its tag.
    OpenDatabase,
    /// Read the changelog.
    Read {
        /// From this offset on.
        from: Offset,
    },
    /// Commits may begin: everything that was committed is there.
    Ready,
    /// Append a piece.
    Append {
        /// As this owner.
        epoch: OwnerEpoch,
        /// The piece.
        piece: Bytes,
    },
    /// The commit counts.
    Committed {
        /// Its number.
        number: u64,
    },
    /// Write these values and, in the same batch, the tag; wait until that is durable.
    Flush {
        /// Absolute values.
        changes: Arc<Layer>,
        /// The tag.
        tag: Tag,
    },
    /// Tell the operator who accepts it what is gone.
    Accepted {
        /// What.
        damage: String,
    },
    /// Forget the changelog before this offset. It may fail: the next trim does both.
    Trim {
        /// The first offset that stays.
        before: Offset,
    },
    /// Write nothing more, for this reason.
    Stop(StopReason),
}

/// Why a shard must not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// Another process owns it.
    #[error("another process has taken over this shard")]
    Fenced,
    /// What is committed cannot be told any more.
    #[error("the shard's changelog is damaged: {0}")]
    Damaged(String),
}

/// Bugs that a test can put in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planted {
    /// A commit counts when its run is sent.
    pub state_before_commit: bool,
    /// The changelog is trimmed when the flush is sent.
    pub trim_before_flush: bool,
    /// The changelog is read to its end before it is fenced.
    pub replay_before_fence: bool,
    /// Of the reading.
    pub replay: PlantedReplay,
}
