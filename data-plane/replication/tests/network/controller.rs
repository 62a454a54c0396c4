//! The controller's side, as a model: registrations, elections from the ISR, proposals checked against both.

use millstream_model::{Epoch, JournalId, Registration};
use millstream_replication::{Assignment, Member, ProposeIsr};

pub struct Controller {
    pub row: Assignment,
    registrations: u64,
}

impl Controller {
    pub fn new(journals: &[JournalId], minimum: usize) -> Controller {
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
                minimum,
            },
            registrations: 0,
        }
    }

    /// A process start: its number, and the end of whatever the journal led (log.md 14).
    pub fn register(&mut self, journal: JournalId) -> Registration {
        self.registrations += 1;
        let registration = Registration(self.registrations);
        for member in self.row.members.iter_mut().filter(|it| it.journal == journal) {
            member.registration = registration;
        }
        if self.row.leader.is_some_and(|leader| leader.journal == journal) {
            self.row.leader = None;
            self.row.epoch.0 += 1;
        }
        self.row.version += 1;
        registration
    }

    /// Makes one of the in-sync members that live the leader of a new epoch.
    pub fn elect(&mut self, live: &[JournalId], pick: usize) -> bool {
        let electable: Vec<JournalId> = self
            .row
            .isr
            .iter()
            .copied()
            .filter(|it| live.contains(it))
            .collect();
        let Some(chosen) = electable.get(pick % electable.len().max(1)) else {
            return false;
        };
        self.row.leader = self
            .row
            .members
            .iter()
            .copied()
            .find(|member| member.journal == *chosen);
        self.row.epoch.0 += 1;
        self.row.version += 1;
        true
    }

    /// Takes a proposal or says which version stands now.
    pub fn propose(&mut self, from: JournalId, proposal: &ProposeIsr) -> Result<(), u64> {
        let current = proposal.epoch == self.row.epoch
            && proposal.base_version == self.row.version
            && self.row.leader.is_some_and(|leader| leader.journal == from)
            && proposal
                .isr
                .iter()
                .all(|member| self.row.members.contains(member))
            && proposal.isr.len() >= self.row.minimum;
        if !current {
            return Err(self.row.version);
        }
        self.row.isr = proposal.isr.iter().map(|member| member.journal).collect();
        self.row.version += 1;
        Ok(())
    }
}
