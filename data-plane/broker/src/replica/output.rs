//! What a replica wants done.

use bytes::Bytes;
use millstream_model::entry::EntryHeader;
use millstream_model::{Epoch, JournalId, Lsn, Offset};
use millstream_partition::Applied;
use millstream_replication::{EntryId, HaltReason, Member, Message, ProposeIsr, ReadEntries};

/// What an appended or proposed entry became, once it is as durable as was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The entry.
    pub lsn: Lsn,
    /// The batch's first offset; 0 for what is no batch.
    pub base_offset: Offset,
    /// The partition's first offset now.
    pub log_start: Offset,
}

/// Why an entry was not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// The leadership ended first: the entry may or may not be committed by the next leader.
    #[error("the leadership ended before the entry was committed")]
    Undecided,
    /// It was committed and could not be applied (log.md 22).
    #[error("the partition is in quarantine")]
    Quarantined,
}

/// What a replica wants done, in this order, beside what the journal is to be given
/// ([`Replica::submit`](super::Replica::submit)).
#[derive(Debug)]
pub enum Output<T> {
    /// Send to a peer; losing it does no harm.
    Send {
        /// The peer.
        to: JournalId,
        /// The message.
        message: Message,
    },
    /// An entry was committed and has changed the state: readers may be woken.
    Applied {
        /// What it did.
        applied: Applied,
        /// Its header.
        header: EntryHeader,
        /// Its payload, unless a restart found the entry in the journal.
        payload: Option<Bytes>,
    },
    /// Answer whoever waits.
    Acknowledge {
        /// Who.
        ticket: T,
        /// What to tell.
        answer: Result<Appended, Lost>,
    },
    /// Enough has come to be moved to the store: a round may begin.
    FlushWanted,
    /// The round that waited for commits goes on: [`Replica::next_work`](super::Replica::next_work).
    WorkWaits,
    /// This replica leads from here on.
    Lead {
        /// The epoch it leads.
        epoch: Epoch,
    },
    /// This replica leads no more.
    StepDown {
        /// The epoch it led.
        epoch: Epoch,
    },
    /// Let the controller choose another leader (log.md 19).
    Resign {
        /// The epoch it leads.
        epoch: Epoch,
    },
    /// Ask the controller to change the ISR.
    ProposeIsr(ProposeIsr),
    /// Read entries for a follower from the journal.
    ReadEntries(ReadEntries),
    /// Load a snapshot at or past `base`, then call [`Replica::install`](super::Replica::install).
    InstallSnapshot {
        /// The least it must contain.
        base: EntryId,
    },
    /// A member's journal is damaged (log.md 18).
    MemberDamaged(Member),
    /// Going on could lose data: this replica stops for good.
    Halt(HaltReason),
}
