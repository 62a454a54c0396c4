//! The follower's half: take what follows what it has, refuse the rest, say what is on disk (log.md 15).

use super::{Machine, State};
use crate::event::{HaltReason, Output};
use crate::history::{EntryId, EpochHistory};
use crate::message::{Acknowledge, Append, Install, Message, Refuse};
use millstream_model::entry::Entry;
use millstream_model::{JournalId, Lsn};

/// What a follower knows of its leader.
#[derive(Debug)]
pub(super) struct Follower {
    /// Whom it follows, once known.
    pub(super) leader: Option<JournalId>,
    /// Up to here its log agrees with the leader's of this epoch.
    verified: Lsn,
    /// The leader's high watermark.
    leader_high_watermark: Lsn,
}

impl Follower {
    /// What is committed agrees with every later leader's log.
    pub(super) fn new(leader: Option<JournalId>, high_watermark: Lsn) -> Follower {
        Follower {
            leader,
            verified: high_watermark,
            leader_high_watermark: high_watermark,
        }
    }
}

impl Machine {
    pub(super) fn appended(&mut self, from: JournalId, append: Append, out: &mut Vec<Output>) {
        if append.epoch < self.epoch {
            self.refuse(from, &append, out);
            return;
        }
        if !self.follows(from) || !self.well_formed(&append) {
            return;
        }
        let base = self.log.base().lsn;
        let planted = self.settings.planted.append_without_previous
            && append.previous.lsn <= self.log.last().lsn
            && append.previous.epoch >= self.log.last().epoch;
        if append.previous.lsn >= base && !self.log.has(append.previous) && !planted {
            self.refuse(from, &append, out);
            return;
        }
        let end = append
            .entries
            .last()
            .map_or(append.previous.lsn, |entry| entry.header.lsn);
        let log_end = self.log.last().lsn;
        for entry in append.entries {
            if let Err(reason) = self.take(entry, out) {
                self.halt(reason, out);
                return;
            }
        }
        let State::Follower(follower) = &mut self.state else {
            return;
        };
        follower.verified = follower.verified.max(end);
        follower.leader_high_watermark = follower.leader_high_watermark.max(append.high_watermark);
        self.commit_as_follower(out);
        // New entries are acknowledged once they are on disk.
        if end <= log_end || self.settings.planted.high_watermark_on_receive {
            self.acknowledge(out);
        }
    }

    /// Whether `from` leads this epoch; the first to say so does.
    fn follows(&mut self, from: JournalId) -> bool {
        match &mut self.state {
            State::Follower(follower) => *follower.leader.get_or_insert(from) == from,
            _ => false,
        }
    }

    /// Whether the entries follow `previous` and one another; a peer that sends others is not listened to.
    fn well_formed(&self, append: &Append) -> bool {
        let mut previous = append.previous;
        append.entries.iter().all(|entry| {
            let header = &entry.header;
            let (epoch, lsn) = header.previous();
            let follows = (EntryId { epoch, lsn }) == previous && header.lsn == previous.lsn.next();
            let rises = header.epoch >= previous.epoch && header.epoch <= append.epoch;
            previous = EntryId::of(header);
            follows && rises && header.group == self.settings.group
        })
    }

    /// Takes one entry whose predecessor is in the log: skips it when it is there, cuts off what contradicts it.
    fn take(&mut self, entry: Entry, out: &mut Vec<Output>) -> Result<(), HaltReason> {
        let id = EntryId::of(&entry.header);
        if id.lsn <= self.log.base().lsn || self.log.has(id) {
            return Ok(());
        }
        if id.lsn <= self.log.last().lsn {
            let to = Lsn(id.lsn.0 - 1);
            if to < self.high_watermark {
                return Err(HaltReason::TruncateBelowHighWatermark {
                    epoch: self.epoch,
                    to,
                    high_watermark: self.high_watermark,
                });
            }
            self.log.truncate(to);
            self.tail.truncate(to);
            let write = self.writes.truncate(to);
            out.push(Output::Truncate {
                write,
                epoch: self.epoch,
                to,
            });
        }
        self.persist(entry, out);
        Ok(())
    }

    fn refuse(&self, to: JournalId, append: &Append, out: &mut Vec<Output>) {
        let refuse = Refuse {
            epoch: self.epoch,
            registration: self.settings.registration,
            refused: append.epoch,
            number: append.number,
            has: self.log.not_after(append.previous),
        };
        out.push(Output::Send {
            to,
            message: Message::Refuse(refuse),
        });
    }

    fn acknowledge(&self, out: &mut Vec<Output>) {
        let State::Follower(Follower {
            leader: Some(leader),
            verified,
            ..
        }) = self.state
        else {
            return;
        };
        let durable = self.counted_as_durable(verified);
        let acknowledge = Acknowledge {
            epoch: self.epoch,
            registration: self.settings.registration,
            durable,
            window_bytes: self.settings.window_bytes,
        };
        out.push(Output::Send {
            to: leader,
            message: Message::Acknowledge(acknowledge),
        });
    }

    /// How much of what was verified is on disk.
    fn counted_as_durable(&self, verified: Lsn) -> Lsn {
        if self.settings.planted.high_watermark_on_receive {
            return verified;
        }
        verified.min(self.writes.durable())
    }

    /// The follower commits what the leader has committed, once it is here, agrees and is on disk.
    fn commit_as_follower(&mut self, out: &mut Vec<Output>) {
        let State::Follower(follower) = &self.state else {
            return;
        };
        let up_to = follower
            .leader_high_watermark
            .min(self.counted_as_durable(follower.verified));
        self.commit(up_to, out);
    }

    pub(super) fn follower_disk_moved(&mut self, out: &mut Vec<Output>) {
        self.tail
            .shrink(self.settings.tail_bytes_max, self.writes.durable());
        self.commit_as_follower(out);
        self.acknowledge(out);
    }

    pub(super) fn install(&mut self, from: JournalId, install: Install, out: &mut Vec<Output>) {
        if install.epoch < self.epoch || !self.follows(from) {
            return;
        }
        if install.base.lsn > self.high_watermark && !self.log.has(install.base) {
            out.push(Output::InstallSnapshot { base: install.base });
        }
    }

    pub(super) fn installed(&mut self, base: EntryId, out: &mut Vec<Output>) {
        let State::Follower(follower) = &mut self.state else {
            return;
        };
        if base.lsn <= self.high_watermark {
            return;
        }
        // A snapshot holds committed entries only, so its end agrees with every leader's log.
        follower.verified = follower.verified.max(base.lsn);
        if !self.log.has(base) {
            let gone = std::mem::replace(&mut self.log, EpochHistory::new(base));
            let gone = self.stale.take().unwrap_or(gone);
            self.tail = crate::tail::Tail::default();
            // Nothing that lies behind the high watermark there agrees with the snapshot.
            let keep = self.high_watermark.clamp(gone.base().lsn, gone.last().lsn);
            self.start_anew(keep, gone.last().lsn, out);
        }
        self.commit(base.lsn, out);
        self.acknowledge(out);
    }
}
