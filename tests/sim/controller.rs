//! The controller by its contract: sessions, registrations, elections from the ISR, proposals, damaged journals
//! (log.md 14, 16–18, 36, 37). What it has decided is durable at once; it may be away for a while.

use millstream_metadata::SnapshotRef;
use millstream_model::{Epoch, JournalId, Registration};
use millstream_replication::{Assignment, EntryId, Member, ProposeIsr};
use std::collections::BTreeMap;

const SESSION_MS: u64 = 400;

/// What a member has told.
#[derive(Clone, Copy, Debug)]
struct Report {
    heard_at_ms: u64,
    last: EntryId,
    damaged: bool,
    /// It registered since the last election.
    restarted: bool,
}

/// What nodes say to the controller.
#[derive(Clone, Debug)]
pub enum Command {
    Heartbeat {
        registration: Registration,
        last: EntryId,
        row: u64,
    },
    ProposeIsr(ProposeIsr),
    Resign(Epoch),
    Snapshot {
        snapshot: SnapshotRef,
        /// Whom to answer: the process, and which of its works it is.
        by: u64,
        step: u64,
    },
}

pub struct Controller {
    pub row: Assignment,
    /// The newest snapshot that was reported.
    pub snapshot: Option<SnapshotRef>,
    reports: BTreeMap<JournalId, Report>,
    registrations: u64,
    /// It answers nothing and decides nothing before this.
    pub away_until_ms: u64,
    /// A bug put in on purpose: a proposal is taken whatever row it is based on, as long as its epoch lasts.
    takes_stale_proposals: bool,
}

impl Controller {
    pub fn new(journals: &[JournalId], takes_stale_proposals: bool) -> Controller {
        let members = journals.iter().map(|journal| Member {
            journal: *journal,
            registration: Registration(0),
        });
        Controller {
            row: Assignment {
                epoch: Epoch(0),
                version: 0,
                leader: None,
                members: members.collect(),
                isr: journals.to_vec(),
                minimum: 2,
            },
            snapshot: None,
            reports: BTreeMap::new(),
            registrations: 0,
            away_until_ms: 0,
            takes_stale_proposals,
        }
    }

    /// A process start. Ends whatever the journal led.
    pub fn register(&mut self, now_ms: u64, journal: JournalId, last: EntryId) -> Registration {
        self.registrations += 1;
        let registration = Registration(self.registrations);
        let report = Report {
            heard_at_ms: now_ms,
            last,
            damaged: false,
            restarted: true,
        };
        self.reports.insert(journal, report);
        for member in self.row.members.iter_mut().filter(|it| it.journal == journal) {
            member.registration = registration;
        }
        self.end_leadership(journal);
        self.row.version += 1;
        registration
    }

    /// A journal says that it is damaged, or its leader says so.
    pub fn damaged(&mut self, now_ms: u64, journal: JournalId) {
        let report = Report {
            heard_at_ms: now_ms,
            last: EntryId::ZERO,
            damaged: true,
            restarted: true,
        };
        self.reports.insert(journal, report);
        self.end_leadership(journal);
        self.row.version += 1;
    }

    fn end_leadership(&mut self, journal: JournalId) {
        if self.row.leader.is_some_and(|leader| leader.journal == journal) {
            self.row.leader = None;
            self.row.epoch.0 += 1;
        }
    }

    /// Puts a new, empty journal in the place of one that left the ISR.
    pub fn replace(&mut self, gone: JournalId, new: JournalId) {
        assert!(!self.row.isr.contains(&gone), "only who left the ISR is replaced");
        for member in self.row.members.iter_mut().filter(|it| it.journal == gone) {
            *member = Member {
                journal: new,
                registration: Registration(0),
            };
        }
        self.row.version += 1;
    }

    pub fn is_away(&self, now_ms: u64) -> bool {
        now_ms < self.away_until_ms
    }

    /// Back again: everybody gets a fresh session before being judged.
    pub fn go_away(&mut self, now_ms: u64, for_ms: u64) {
        self.away_until_ms = now_ms + for_ms;
        for report in self.reports.values_mut() {
            report.heard_at_ms = self.away_until_ms;
        }
    }

    pub fn heartbeat(&mut self, now_ms: u64, from: JournalId, registration: Registration, last: EntryId) {
        let current = Member {
            journal: from,
            registration,
        };
        if self.row.members.contains(&current)
            && let Some(report) = self.reports.get_mut(&from)
        {
            report.heard_at_ms = report.heard_at_ms.max(now_ms);
            report.last = last;
        }
    }

    /// Takes a proposal and says whether the ISR grows, or says which version stands.
    pub fn propose(&mut self, from: JournalId, proposal: &ProposeIsr) -> Result<bool, u64> {
        let sound = |member: &Member| {
            self.row.members.contains(member)
                && self.reports.get(&member.journal).is_some_and(|it| !it.damaged)
        };
        let leads = self.row.leader.is_some_and(|leader| leader.journal == from);
        let based = proposal.base_version == self.row.version || self.takes_stale_proposals;
        let current = proposal.epoch == self.row.epoch && based && leads;
        if !current || proposal.isr.len() < self.row.minimum || !proposal.isr.iter().all(sound) {
            return Err(self.row.version);
        }
        let before = self.row.isr.len();
        self.row.isr = proposal.isr.iter().map(|member| member.journal).collect();
        self.row.version += 1;
        Ok(self.row.isr.len() > before)
    }

    pub fn resign(&mut self, epoch: Epoch) {
        if self.row.epoch == epoch {
            self.row.leader = None;
            self.row.epoch.0 += 1;
            self.row.version += 1;
        }
    }

    /// Takes a report; whether it names this snapshot from here on.
    pub fn snapshot(&mut self, snapshot: SnapshotRef) -> bool {
        let newer = self.snapshot.is_none_or(|known| known.lsn < snapshot.lsn);
        if newer {
            self.snapshot = Some(snapshot);
        }
        newer
    }

    /// Judges the sessions; whether the row has changed.
    pub fn judge(&mut self, now_ms: u64) -> bool {
        let live =
            |report: &Report| now_ms.saturating_sub(report.heard_at_ms) <= SESSION_MS && !report.damaged;
        let leads = self
            .row
            .leader
            .is_some_and(|leader| self.reports.get(&leader.journal).is_some_and(live));
        if leads {
            return false;
        }
        let candidates = self.row.isr.iter().filter_map(|journal| {
            let report = self.reports.get(journal).filter(|report| live(report))?;
            Some(((!report.restarted, report.last), *journal))
        });
        let Some((_, chosen)) = candidates.max() else {
            return false;
        };
        self.row.leader = self
            .row
            .members
            .iter()
            .copied()
            .find(|member| member.journal == chosen);
        self.row.epoch.0 += 1;
        self.row.version += 1;
        for report in self.reports.values_mut() {
            report.restarted = false;
        }
        true
    }
}
