//! What a replica finds on its disk when it starts: the last snapshot, and the journal's records after it.

use super::{Planted, Undecided};
use millstream_journal::Record;
use millstream_model::Lsn;
use millstream_model::entry::EntryKind;
use millstream_partition::GroupState;
use millstream_replication::{EntryId, GapError, Recovered};
use std::collections::VecDeque;

/// Gathers a replica's records in the journal's order.
///
/// What a snapshot contains is passed over, so that a restart takes memory for the journal's tail alone.
#[derive(Debug)]
pub struct Recovery {
    pub(super) state: GroupState,
    pub(super) recovered: Recovered,
    pub(super) undecided: VecDeque<Undecided>,
    keep_payloads: bool,
    pub(super) unknown: Option<u16>,
}

/// A disk whose snapshot and journal do not fit together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// The journal leaves entries out: it is damaged.
    #[error("the journal leaves out entries: {0}")]
    Gap(#[from] GapError),
    /// A record of another group.
    #[error("a record of another group")]
    Foreign,
}

/// Whether a start takes the snapshot that the catalog names instead of the one on its disk, which ends at `local`. The
/// journal may have been released below the catalog's, so an older one does not reach it (log.md 30).
pub fn takes_named_snapshot(planted: Planted, local: Option<Lsn>, named: Lsn) -> bool {
    match local {
        Some(_) if planted.older_snapshot_counts => false,
        local => local < Some(named),
    }
}

impl Recovery {
    /// Starts from the last snapshot, or from [`GroupState::new`] when there is none. With `keep_payloads` the
    /// batches of the tail are handed on when they are applied, as a ledger needs them.
    pub fn new(snapshot: GroupState, keep_payloads: bool) -> Recovery {
        Recovery {
            state: snapshot,
            recovered: Recovered::default(),
            undecided: VecDeque::new(),
            keep_payloads,
            unknown: None,
        }
    }

    /// The snapshot has something beside the state: the tag of what only a newer release can read.
    pub fn beside(mut self, unknown: Option<u16>) -> Recovery {
        self.unknown = unknown;
        self
    }

    /// The journal's next record of this group.
    ///
    /// # Errors
    /// When it does not continue the log.
    pub fn record(&mut self, record: Record) -> Result<(), RecoveryError> {
        if record.group() != Some(self.state.group()) {
            return Err(RecoveryError::Foreign);
        }
        match record {
            Record::Entry(entry) => {
                self.recovered.push(&entry.header)?;
                if entry.header.lsn > self.state.applied() {
                    let keep = self.keep_payloads && entry.header.kind == EntryKind::Append;
                    let mut undecided = Undecided::of(entry);
                    // The payload shares its block's memory: keep a copy or nothing.
                    undecided.payload = undecided
                        .payload
                        .take()
                        .filter(|_| keep)
                        .map(|payload| payload.to_vec().into());
                    self.undecided.push_back(undecided);
                }
            }
            Record::Truncate { lsn, .. } => {
                self.recovered.truncate(lsn);
                while self
                    .undecided
                    .pop_back_if(|entry| entry.header.lsn > lsn)
                    .is_some()
                {}
            }
            Record::Mark { high_watermark, .. } => self.recovered.mark(high_watermark),
            Record::Released { epoch, lsn, .. } => {
                if lsn > self.recovered.log.last().lsn {
                    self.recovered.reset(EntryId { epoch, lsn });
                    self.undecided.clear();
                }
            }
            Record::Removed { .. } => {
                self.recovered = Recovered::default();
                self.state = GroupState::new(self.state.group());
                self.undecided.clear();
            }
            // The journal's own; a replay has `Released` in its place.
            Record::Carried { .. } => {}
            Record::Registered { .. } => return Err(RecoveryError::Foreign),
        }
        Ok(())
    }

    /// All records were given.
    ///
    /// # Errors
    /// When entries are missing between the snapshot and the journal.
    pub fn finish(mut self) -> Result<Recovery, RecoveryError> {
        let marked = self.recovered.high_watermark;
        if self.state.applied().0 > 0 {
            let base = EntryId {
                epoch: self.state.applied_epoch(),
                lsn: self.state.applied(),
            };
            self.recovered.snapshot(base)?;
            self.recovered.mark(marked);
            if self.recovered.starts_anew() {
                // They follow something else than the snapshot.
                self.undecided.clear();
            }
        } else if self.recovered.log.base() != EntryId::ZERO {
            let found = self.recovered.log.base();
            return Err(GapError {
                last: EntryId::ZERO,
                found,
            }
            .into());
        }
        Ok(self)
    }

    /// Whether this goes as far as a snapshot that the catalog names: what it lacks may be nowhere else but in that one.
    pub fn reaches(&self, named: Option<Lsn>) -> bool {
        named.is_none_or(|lsn| lsn <= self.end().lsn)
    }

    /// The state with every entry so far, as if all were committed; `None` when the journal does not reach back to the
    /// snapshot.
    pub fn settled(&self) -> Option<GroupState> {
        let mut state = self.state.clone();
        let reaches = self
            .undecided
            .front()
            .is_none_or(|first| first.header.lsn == state.applied().next());
        if !reaches || self.undecided.is_empty() && self.recovered.log.base().lsn > state.applied() {
            return None;
        }
        for entry in &self.undecided {
            state.apply_change(&entry.header, entry.change.clone());
        }
        Some(state)
    }

    /// The state of the snapshot that it began with.
    pub fn snapshot(&self) -> &GroupState {
        &self.state
    }

    /// The group has no other replica: everything that its disk holds is committed.
    pub fn commit_all(&mut self) {
        self.recovered.mark(self.recovered.log.last().lsn);
    }

    /// The last entry of the log.
    pub fn end(&self) -> EntryId {
        self.recovered.log.last()
    }

    /// The entry that the log begins behind.
    pub fn base(&self) -> EntryId {
        self.recovered.log.base()
    }

    /// Entries after the snapshot.
    pub fn tail_entries(&self) -> usize {
        self.undecided.len()
    }
}
