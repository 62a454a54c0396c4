//! The leader's half: order entries, bring every follower up to the log's end, commit what all in-sync ones hold.

use super::progress::Progress;
use super::{Machine, State};
use crate::event::{AppendBody, Member, Output, ReadEntries};
use crate::history::EntryId;
use crate::message::{Acknowledge, Append, Install, Message, Refuse};
use crate::tail::{Tail, entry_bytes};
use bytes::Bytes;
use millstream_model::entry::{Entry, EntryKind};
use millstream_model::{Epoch, JournalId, KeyId, Lsn, PartitionId, TenantId, TimestampMs};
use std::collections::{BTreeMap, VecDeque};

/// What only a leader knows.
#[derive(Debug)]
pub(super) struct Leader {
    pub(super) epoch: Epoch,
    pub(super) elected_log_end: Lsn,
    pub(super) followers: BTreeMap<JournalId, Progress>,
    pub(super) proposed: Option<Proposed>,
    /// Entries above the high watermark: (LSN, bytes).
    pending: VecDeque<(Lsn, usize)>,
    pub(super) pending_bytes: usize,
    /// When the own disk last moved, or had nothing to do.
    disk_moved_at_ms: u64,
    /// When it last asked the controller for another leader; nothing is taken from then on until the disk moves.
    pub(super) resigned_at_ms: Option<u64>,
}

/// A proposal that the controller has not answered in a way that settles it.
#[derive(Debug)]
pub(super) struct Proposed {
    pub(super) isr: Vec<Member>,
    pub(super) base_version: u64,
    pub(super) sent_at_ms: u64,
}

impl Machine {
    /// Starts to lead `self.epoch`, as the assignment says.
    pub(super) fn lead(&mut self, now_ms: u64, time: TimestampMs, out: &mut Vec<Output>) {
        let end = self.log.last().lsn;
        self.state = State::Leader(Box::new(Leader {
            epoch: self.epoch,
            elected_log_end: end,
            followers: BTreeMap::new(),
            proposed: None,
            pending: VecDeque::new(),
            pending_bytes: 0,
            disk_moved_at_ms: now_ms,
            resigned_at_ms: None,
        }));
        self.sync_members(now_ms);
        out.push(Output::Lead { epoch: self.epoch });
        let start = AppendBody {
            kind: EntryKind::EpochStart,
            time,
            partition: PartitionId::NONE,
            tenant: TenantId::SYSTEM,
            key: KeyId::NONE,
            payload: Bytes::new(),
        };
        self.append_as_leader(now_ms, start, out);
        self.advance(out);
    }

    pub(super) fn append_as_leader(
        &mut self,
        now_ms: u64,
        body: AppendBody,
        out: &mut Vec<Output>,
    ) -> EntryId {
        let header = self.next_header(&body);
        let entry = Entry {
            header,
            payload: body.payload,
        };
        let bytes = entry_bytes(&entry);
        if let State::Leader(leader) = &mut self.state {
            if self.writes.durable() == self.log.last().lsn {
                leader.disk_moved_at_ms = now_ms;
            }
            leader.pending.push_back((header.lsn, bytes));
            leader.pending_bytes += bytes;
        }
        self.persist(entry, out);
        self.pump_all(now_ms, out);
        if self.settings.planted.high_watermark_on_receive {
            self.advance(out);
        }
        EntryId::of(&header)
    }

    /// Takes members in and out and learns their newest registrations.
    pub(super) fn sync_members(&mut self, now_ms: u64) {
        let (State::Leader(leader), Some(assignment)) = (&mut self.state, &self.assignment) else {
            return;
        };
        let placed = |journal: &JournalId| assignment.members.iter().any(|it| it.journal == *journal);
        leader.followers.retain(|journal, _| placed(journal));
        let end = self.log.last().lsn;
        for member in assignment
            .members
            .iter()
            .filter(|it| it.journal != self.settings.me)
        {
            let window = self.settings.window_bytes;
            let fresh = || Progress::new(*member, end, window, now_ms);
            let progress = leader.followers.entry(member.journal).or_insert_with(fresh);
            progress.restarted(member.registration);
        }
        if leader.followers.is_empty() {
            self.tail = Tail::default();
        }
    }

    /// Commits what the members that count have on disk.
    pub(super) fn advance(&mut self, out: &mut Vec<Output>) {
        if let Some(lsn) = self.lowest_in_sync() {
            self.commit(lsn, out);
        }
        let State::Leader(leader) = &mut self.state else {
            return;
        };
        let high_watermark = self.high_watermark;
        while let Some((_, bytes)) = leader.pending.pop_front_if(|(lsn, _)| *lsn <= high_watermark) {
            leader.pending_bytes -= bytes;
        }
    }

    pub(super) fn own_disk_moved(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        self.tail
            .shrink(self.settings.tail_bytes_max, self.writes.durable());
        if let State::Leader(leader) = &mut self.state {
            leader.disk_moved_at_ms = now_ms;
            leader.resigned_at_ms = None; // The controller may never have heard it.
        }
        self.advance(out);
    }

    pub(super) fn acknowledged(
        &mut self,
        now_ms: u64,
        from: JournalId,
        said: Acknowledge,
        out: &mut Vec<Output>,
    ) {
        let end = self.log.last().lsn;
        let State::Leader(leader) = &mut self.state else {
            return;
        };
        let Some(progress) = leader.followers.get_mut(&from) else {
            return;
        };
        if said.durable > end || !progress.hear(said.registration, now_ms) {
            return;
        }
        progress.window_bytes = said.window_bytes;
        progress.acknowledge(said.durable, end, now_ms);
        self.advance(out);
        self.pump(now_ms, from, out);
        self.consider_joining(now_ms, from, out);
    }

    pub(super) fn refused(&mut self, now_ms: u64, from: JournalId, said: Refuse, out: &mut Vec<Output>) {
        let State::Leader(leader) = &mut self.state else {
            return;
        };
        let Some(progress) = leader.followers.get_mut(&from) else {
            return;
        };
        let restarted = said.registration > progress.registration;
        if !progress.hear(said.registration, now_ms) || said.number <= progress.rewound_at && !restarted {
            return;
        }
        if progress.lacks_acknowledged(said.has.lsn) {
            out.push(Output::MemberDamaged(progress.member(from)));
        }
        let base = self.log.base();
        if said.has.lsn < base.lsn || said.has.epoch < base.epoch {
            progress.rewind(base.lsn.next());
            self.send_install(now_ms, from, out);
        } else {
            let common = self
                .log
                .not_after(said.has)
                .lsn
                .max(progress.durable.unwrap_or(Lsn::ZERO));
            progress.rewind(common.next());
            self.pump(now_ms, from, out);
        }
    }

    fn send_install(&mut self, now_ms: u64, to: JournalId, out: &mut Vec<Output>) {
        let State::Leader(leader) = &mut self.state else {
            return;
        };
        let Some(progress) = leader.followers.get_mut(&to) else {
            return;
        };
        let retry_ms = self.settings.retry_ms;
        if progress
            .installed_at_ms
            .is_some_and(|at| now_ms.saturating_sub(at) < retry_ms)
        {
            return;
        }
        progress.installed_at_ms = Some(now_ms);
        let install = Install {
            epoch: leader.epoch,
            base: self.log.base(),
        };
        out.push(Output::Send {
            to,
            message: Message::Install(install),
        });
    }

    fn pump_all(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        let mut after = None;
        while let Some(journal) = self.follower_after(after) {
            self.pump(now_ms, journal, out);
            after = Some(journal);
        }
    }

    /// The followers in order, one by one, so that the loop over them may change them.
    pub(super) fn follower_after(&self, journal: Option<JournalId>) -> Option<JournalId> {
        use std::ops::Bound::{Excluded, Unbounded};
        let State::Leader(leader) = &self.state else {
            return None;
        };
        let from = journal.map_or(Unbounded, Excluded);
        leader
            .followers
            .range((from, Unbounded))
            .next()
            .map(|(journal, _)| *journal)
    }

    /// Sends a follower what it lacks, as far as its credit reaches.
    fn pump(&mut self, now_ms: u64, to: JournalId, out: &mut Vec<Output>) {
        loop {
            let State::Leader(leader) = &mut self.state else {
                return;
            };
            let Some(progress) = leader.followers.get_mut(&to) else {
                return;
            };
            let credit = progress.credit().min(self.settings.message_bytes_max);
            let from = progress.next;
            if credit == 0 || from > self.log.last().lsn {
                return;
            }
            if from <= self.log.base().lsn {
                progress.rewind(self.log.base().lsn.next());
                self.send_install(now_ms, to, out);
                return;
            }
            if let Some(entries) = self.tail.read(from, credit) {
                self.send_entries(now_ms, to, entries, out);
                continue;
            }
            if from > self.writes.durable() {
                return; // Written while nobody followed: readable once it is on disk.
            }
            progress.reading = Some(from);
            out.push(Output::ReadEntries(ReadEntries {
                follower: to,
                from,
                to: self.writes.durable(),
                bytes_max: credit,
            }));
            return;
        }
    }

    /// Entries that the shell has read; they are checked, for the log may have been cut meanwhile.
    pub(super) fn entries_read(
        &mut self,
        now_ms: u64,
        follower: JournalId,
        from: Lsn,
        entries: Vec<Entry>,
        out: &mut Vec<Output>,
    ) {
        let State::Leader(leader) = &mut self.state else {
            return;
        };
        let Some(progress) = leader.followers.get_mut(&follower) else {
            return;
        };
        if progress.reading != Some(from) {
            return;
        }
        progress.reading = None;
        let mut expected = from;
        let ours = entries.iter().all(|entry| {
            let here = entry.header.lsn == expected && self.log.has(EntryId::of(&entry.header));
            expected = expected.next();
            here
        });
        if entries.is_empty() || !ours {
            return; // The next tick asks again.
        }
        self.send_entries(now_ms, follower, entries, out);
        self.pump(now_ms, follower, out);
    }

    /// Sends entries, or none as a heartbeat, after `next - 1`.
    pub(super) fn send_entries(
        &mut self,
        now_ms: u64,
        to: JournalId,
        entries: Vec<Entry>,
        out: &mut Vec<Output>,
    ) {
        let State::Leader(leader) = &mut self.state else {
            return;
        };
        let Some(progress) = leader.followers.get_mut(&to) else {
            return;
        };
        let lsn = Lsn(progress.next.0.saturating_sub(1)).max(self.log.base().lsn);
        let Some(epoch) = self.log.epoch_at(lsn) else {
            return;
        };
        let number = progress.sent(&entries, now_ms);
        let append = Append {
            epoch: leader.epoch,
            number,
            previous: EntryId { epoch, lsn },
            entries,
            high_watermark: self.high_watermark,
        };
        out.push(Output::Send {
            to,
            message: Message::Append(append),
        });
    }

    pub(super) fn tick(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        let mut after = None;
        while let Some(journal) = self.follower_after(after) {
            after = Some(journal);
            self.pump(now_ms, journal, out);
            let State::Leader(leader) = &mut self.state else {
                return;
            };
            let Some(progress) = leader.followers.get_mut(&journal) else {
                return;
            };
            if now_ms.saturating_sub(progress.sent_at_ms) >= self.settings.heartbeat_ms {
                self.send_entries(now_ms, journal, Vec::new(), out);
            }
        }
        self.consider_isr(now_ms, out);
        self.consider_resigning(now_ms, out);
    }

    /// A leader whose own disk stalls for a session while a live in-sync follower is ahead of it gives up (log.md 19).
    fn consider_resigning(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        let session_ms = self.settings.session_ms;
        let (State::Leader(leader), Some(assignment)) = (&mut self.state, &self.assignment) else {
            return;
        };
        let durable = self.writes.durable();
        if durable == self.log.last().lsn {
            leader.disk_moved_at_ms = now_ms;
        }
        let stalled = now_ms.saturating_sub(leader.disk_moved_at_ms) > session_ms;
        let retry_ms = self.settings.retry_ms;
        let asked = |at: u64| now_ms.saturating_sub(at) < retry_ms;
        let ahead = |journal: &JournalId| {
            let progress = leader.followers.get(journal);
            progress.is_some_and(|it| it.lives(now_ms, session_ms) && it.durable > Some(durable))
        };
        if stalled && !leader.resigned_at_ms.is_some_and(asked) && assignment.isr.iter().any(ahead) {
            leader.resigned_at_ms = Some(now_ms);
            out.push(Output::Resign { epoch: leader.epoch });
        }
    }
}
