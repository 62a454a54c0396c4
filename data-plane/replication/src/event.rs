//! What goes into a machine and what comes out.

use crate::history::EntryId;
use crate::message::Message;
use bytes::Bytes;
use millstream_model::entry::{Entry, EntryKind};
use millstream_model::{Epoch, JournalId, KeyId, Lsn, PartitionId, Registration, TenantId, TimestampMs};

/// One incarnation of one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// The replica: its journal (log.md 12).
    pub journal: JournalId,
    /// Which process start (log.md 13).
    pub registration: Registration,
}

/// What the controller has decided about a group: a row of the catalog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Raised at every change of leader.
    pub epoch: Epoch,
    /// Raised at every change of this row; older rows are ignored.
    pub version: u64,
    /// Who leads the epoch; `None` while nobody can.
    pub leader: Option<Member>,
    /// Every placed replica with its newest registration.
    pub members: Vec<Member>,
    /// The committed in-sync replicas.
    pub isr: Vec<JournalId>,
    /// The fewest in-sync replicas with which anything commits (log.md 17).
    pub minimum: usize,
}

/// An entry before it has a place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendBody {
    /// What it does.
    pub kind: EntryKind,
    /// The leader's wall clock (log.md 21).
    pub time: TimestampMs,
    /// The partition it touches.
    pub partition: PartitionId,
    /// The partition's owner.
    pub tenant: TenantId,
    /// The key that wrote it.
    pub key: KeyId,
    /// Its payload.
    pub payload: Bytes,
}

/// Counts the writes that a machine orders: every [`Output::Persist`], [`Output::Truncate`] and [`Output::Reset`] has
/// the next number, so that a completion can never be taken for one of an entry that was since cut off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriteNumber(pub u64);

/// What the shell tells a machine.
#[derive(Clone, Debug)]
pub enum Input {
    /// Put an entry at the log's end. [`Machine::append`](crate::Machine::append) is the same with the answer returned.
    Append(AppendBody),
    /// This write and all before it are on disk.
    Durable(WriteNumber),
    /// A peer's message.
    Message {
        /// The peer's journal, vouched for by the shell.
        from: JournalId,
        /// What it says.
        message: Message,
    },
    /// The controller's row, new or seen again.
    Assign {
        /// The row.
        assignment: Assignment,
        /// The wall clock, for the entry that starts an epoch.
        time: TimestampMs,
    },
    /// The controller refused a proposal, and will refuse it however often it arrives. One that it takes is seen as a
    /// newer assignment. When the version has moved on, the proposal still counts for the high watermark until that
    /// newer assignment is here: an earlier copy of it may be what moved the version.
    ProposalRefused {
        /// The version that the proposal was based on.
        base_version: u64,
        /// The version that the controller has now.
        version: u64,
    },
    /// The entries asked for by [`Output::ReadEntries`]; none when they could not be read.
    Entries {
        /// The follower they are for.
        follower: JournalId,
        /// The first one asked for.
        from: Lsn,
        /// As many as fit, in order.
        entries: Vec<Entry>,
    },
    /// The shell's state is now that of a snapshot: the answer to [`Output::InstallSnapshot`].
    Installed {
        /// The last entry that the snapshot contains.
        base: EntryId,
    },
    /// The shell gave up entries up to here; they lie below the high watermark.
    Released {
        /// The last one that can no longer be read.
        up_to: Lsn,
    },
    /// The journal is damaged: nothing more may be acknowledged from it (log.md 5, 6).
    Damaged,
    /// A committed entry has a form that only a newer release knows: applying it differently from a replica that knows it
    /// is out of the question (log.md 22, 41).
    Unreadable {
        /// The entry.
        lsn: Lsn,
        /// Its payload's version.
        version: u8,
    },
    /// Time passed. Once per `heartbeat_ms` is enough.
    Tick,
}

/// What a machine wants done. Writes must reach the journal in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Write the entry; report it with [`Input::Durable`].
    Persist {
        /// Its number.
        write: WriteNumber,
        /// The entry.
        entry: Entry,
    },
    /// Cut the log after `to`, by a record in the journal (log.md 8).
    Truncate {
        /// Its number.
        write: WriteNumber,
        /// The epoch that cuts.
        epoch: Epoch,
        /// The last entry that stays.
        to: Lsn,
    },
    /// Forget the whole log, which ends below `base` by now; the next entry follows `base`.
    Reset {
        /// Its number.
        write: WriteNumber,
        /// What the log now starts after.
        base: EntryId,
    },
    /// Send to a peer; losing it does no harm.
    Send {
        /// The peer.
        to: JournalId,
        /// The message.
        message: Message,
    },
    /// Everything up to here is committed: apply it, and acknowledge what waits for it.
    Committed {
        /// The high watermark.
        up_to: Lsn,
    },
    /// An [`Input::Append`] was not taken.
    Refused(AppendRefusal),
    /// This replica leads from here on.
    Lead {
        /// The epoch it leads.
        epoch: Epoch,
    },
    /// This replica no longer leads: whatever waits for a commit is undecided, the overlay is void (log.md 20).
    StepDown {
        /// The epoch it led.
        epoch: Epoch,
    },
    /// This leader's own disk holds everyone up: let the controller choose another (log.md 19). Repeated until it does or
    /// the disk moves.
    Resign {
        /// The epoch it leads.
        epoch: Epoch,
    },
    /// Ask the controller to change the ISR.
    ProposeIsr(ProposeIsr),
    /// Read entries for a follower that lacks what is no longer in memory.
    ReadEntries(ReadEntries),
    /// Load a snapshot at or past `base`, keep it on disk, then say [`Input::Installed`]. Repeated until then.
    InstallSnapshot {
        /// The least it must contain.
        base: EntryId,
    },
    /// A member has less on disk than it acknowledged: its journal is damaged (log.md 18).
    MemberDamaged(Member),
    /// Going on could lose data: this machine stops for good. An operator must look.
    Halt(HaltReason),
}

/// A change of the ISR, for the controller (log.md 14, 16).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposeIsr {
    /// The epoch of the leader that proposes.
    pub epoch: Epoch,
    /// The version of the assignment it is based on; any other refuses it.
    pub base_version: u64,
    /// The whole new ISR, with the incarnations that the leader has seen.
    pub isr: Vec<Member>,
}

/// Entries wanted from the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadEntries {
    /// The follower they are for.
    pub follower: JournalId,
    /// The first one.
    pub from: Lsn,
    /// The last one that may be read.
    pub to: Lsn,
    /// Bytes at most, but at least one entry.
    pub bytes_max: usize,
}

/// Why an append was not taken. All of them are the service's, none the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendRefusal {
    /// Somebody else leads, or nobody does.
    #[error("this replica does not lead the group")]
    NotLeader,
    /// Fewer members are alive and in sync than the class demands (log.md 17).
    #[error("{live} in-sync replicas are alive, {minimum} are needed")]
    NotEnoughReplicas {
        /// How many are alive.
        live: usize,
        /// How many must be.
        minimum: usize,
    },
    /// Too much waits for the high watermark already.
    #[error("{bytes} bytes wait to be committed")]
    Backlog {
        /// How much.
        bytes: usize,
    },
    /// The machine has stopped.
    #[error("this replica has halted")]
    Halted,
}

/// Why a machine stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HaltReason {
    /// The leader's log contradicts what is committed here.
    #[error("epoch {epoch} asks to cut the log after {to}, below the high watermark {high_watermark}")]
    TruncateBelowHighWatermark {
        /// The leader's epoch.
        epoch: Epoch,
        /// Where it would be cut.
        to: Lsn,
        /// What is committed.
        high_watermark: Lsn,
    },
    /// The journal failed.
    #[error("the journal is damaged")]
    JournalDamaged,
    /// An older release runs than the one that wrote the log.
    #[error("entry {lsn} has a payload of version {version}: start the newer release that wrote it")]
    NewerRelease {
        /// The entry.
        lsn: Lsn,
        /// Its payload's version.
        version: u8,
    },
}
