//! Who counts for the high watermark, and how the leader changes that through the controller (log.md 14, 16, 17, 19).

use super::lead::Proposed;
use super::{Machine, State};
use crate::event::{Assignment, Member, Output, ProposeIsr};
use millstream_model::{JournalId, Lsn};

impl Machine {
    /// The lowest durable LSN over the committed ISR, any proposed one and this replica; `None` while a member has
    /// not said what it has, or the ISR is smaller than the group's minimum.
    pub(super) fn lowest_in_sync(&self) -> Option<Lsn> {
        let (State::Leader(leader), Some(assignment)) = (&self.state, &self.assignment) else {
            return None;
        };
        if assignment.isr.len() < self.minimum() {
            return None;
        }
        let planted = self.settings.planted.high_watermark_on_receive;
        let own = if planted {
            self.log.last().lsn
        } else {
            self.writes.durable()
        };
        let proposed = leader
            .proposed
            .iter()
            .flat_map(|it| it.isr.iter().map(|member| member.journal));
        let mut lowest = own;
        let early = self.settings.planted.removal_counts_when_proposed && leader.proposed.is_some();
        let committed = assignment.isr.iter().copied().filter(|_| !early);
        for journal in committed.chain(proposed) {
            if journal != self.settings.me {
                lowest = lowest.min(leader.followers.get(&journal)?.durable?);
            }
        }
        Some(lowest)
    }

    /// A newer row of the epoch that this replica leads.
    pub(super) fn reassign(&mut self, now_ms: u64, assignment: Assignment, out: &mut Vec<Output>) {
        if let State::Leader(leader) = &mut self.state {
            leader.proposed = leader
                .proposed
                .take()
                .filter(|it| it.base_version >= assignment.version);
        }
        self.assignment = Some(assignment);
        self.sync_members(now_ms);
        self.advance(out);
    }

    /// A refusal settles a proposal only when the version has not moved: else an earlier copy may have been taken.
    pub(super) fn proposal_refused(&mut self, base_version: u64, version: u64) {
        if let State::Leader(leader) = &mut self.state
            && version == base_version
        {
            leader.proposed = leader
                .proposed
                .take()
                .filter(|it| it.base_version != base_version);
        }
    }

    /// A follower outside the ISR that has caught up is proposed at once.
    pub(super) fn consider_joining(&mut self, now_ms: u64, journal: JournalId, out: &mut Vec<Output>) {
        let (State::Leader(leader), Some(assignment)) = (&self.state, &self.assignment) else {
            return;
        };
        if leader.proposed.is_none() && !assignment.isr.contains(&journal) && self.may_join(now_ms, journal) {
            self.consider_isr(now_ms, out);
        }
    }

    /// Whether it keeps up, so that it would not be put out again at once, and has everything committed and this
    /// epoch's first entry on disk.
    fn may_join(&self, now_ms: u64, journal: JournalId) -> bool {
        let State::Leader(leader) = &self.state else {
            return false;
        };
        let Some(progress) = leader.followers.get(&journal) else {
            return false;
        };
        let needed = self.high_watermark.max(leader.elected_log_end.next());
        progress.keeps_up(now_ms, self.settings.session_ms) && progress.durable >= Some(needed)
    }

    /// Proposes the ISR that should be, when it is not the one that is; repeats a proposal that got no answer.
    pub(super) fn consider_isr(&mut self, now_ms: u64, out: &mut Vec<Output>) {
        let retry_ms = self.settings.retry_ms;
        let (State::Leader(leader), Some(assignment)) = (&self.state, &self.assignment) else {
            return;
        };
        let (epoch, base_version) = (leader.epoch, assignment.version);
        let isr = match &leader.proposed {
            Some(proposed) if now_ms.saturating_sub(proposed.sent_at_ms) < retry_ms => return,
            Some(proposed) => proposed.isr.clone(),
            None => match self.wanted_isr(now_ms) {
                Some(isr) => isr,
                None => return,
            },
        };
        let State::Leader(leader) = &mut self.state else {
            return;
        };
        let base_version = leader
            .proposed
            .as_ref()
            .map_or(base_version, |it| it.base_version);
        leader.proposed = Some(Proposed {
            isr: isr.clone(),
            base_version,
            sent_at_ms: now_ms,
        });
        out.push(Output::ProposeIsr(ProposeIsr {
            epoch,
            base_version,
            isr,
        }));
    }

    /// The ISR with those who caught up and without those who fell behind, never below the minimum; `None` when that
    /// changes nothing.
    fn wanted_isr(&self, now_ms: u64) -> Option<Vec<Member>> {
        let (State::Leader(leader), Some(assignment)) = (&self.state, &self.assignment) else {
            return None;
        };
        let mut isr: Vec<JournalId> = assignment.isr.clone();
        let mut changed = false;
        for journal in leader.followers.keys() {
            if !isr.contains(journal) && self.may_join(now_ms, *journal) {
                isr.push(*journal);
                changed = true;
            }
        }
        for journal in &assignment.isr {
            let keeps_up = *journal == self.settings.me
                || leader
                    .followers
                    .get(journal)
                    .is_some_and(|it| it.keeps_up(now_ms, self.settings.session_ms));
            if !keeps_up && isr.len() > self.minimum() {
                isr.retain(|it| it != journal);
                changed = true;
            }
        }
        let member = |journal: &JournalId| match leader.followers.get(journal) {
            Some(progress) => Some(progress.member(*journal)),
            None => (*journal == self.settings.me).then(|| self.myself()),
        };
        let isr: Vec<Member> = isr.iter().filter_map(member).collect();
        (changed && isr.len() >= self.minimum()).then_some(isr)
    }
}
