//! The registration of a process start: a number from the controller, on disk before it counts, confirmed before anything
//! is served (log.md 13, 14).

use crate::asking::{Asked, Wanted};
use crate::controller::address;
use crate::seen::Happening;
use crate::world::{Check, Event, World};
use millstream_broker::replica::Recovery;
use millstream_journal::Journal;
use millstream_journal::sim::SimDisk;
use millstream_metadata::{Actor, ConfirmRegistration, NodeRow, Refusal, RegisterNode, Reply, Request};
use millstream_model::{Registration, Retry};
use std::sync::Arc;

/// Who gets no answer asks again.
const AGAIN_MS: u64 = 120;

/// A process that serves nothing yet.
pub struct Joining {
    pub process: u64,
    pub journal: Journal<SimDisk>,
    pub recovery: Recovery,
    /// The number that the journal knew.
    last: Option<Registration>,
    registered: Option<Arc<NodeRow>>,
}

impl World {
    /// A process knows what its disk holds.
    pub fn join(
        &mut self,
        node: usize,
        journal: Journal<SimDisk>,
        recovery: Recovery,
        last: Option<Registration>,
    ) {
        // Above every number that a process serves under.
        self.starts += 1;
        let process = (1 << 32) + self.starts;
        self.nodes[node].joining = Some(Joining {
            process,
            journal,
            recovery,
            last,
            registered: None,
        });
        self.ask_to_join(node, process);
    }

    pub fn ask_to_join(&mut self, node: usize, process: u64) {
        let Some(joining) = &self.nodes[node].joining else {
            return;
        };
        if joining.process != process {
            return;
        }
        match &joining.registered {
            None => {
                let start = RegisterNode {
                    journal: joining.journal.id(),
                    registration_last: joining.last,
                    kafka: address(),
                    http: address(),
                    feature_level_max: 1,
                    damaged: false,
                };
                let wanted = Wanted::Command(start.into_command());
                self.ask(node, Asked::Register, Actor::System, wanted);
            }
            Some(row) => {
                let confirm = ConfirmRegistration {
                    journal: row.journal,
                    registration: row.registration,
                };
                let actor = Actor::Node(row.id);
                let wanted = Wanted::Command(confirm.into_command());
                self.ask(node, Asked::Confirm, actor, wanted);
            }
        }
        self.at(self.now_ms + AGAIN_MS, Event::Join { node, process });
    }

    /// The controller has given this start its number, or refused it.
    pub fn registered(&mut self, node: usize, answer: Result<Reply, Refusal>) -> Check {
        let lost = self.faulty && self.chance(4);
        let Some(joining) = self.nodes[node]
            .joining
            .as_mut()
            .filter(|it| it.registered.is_none())
        else {
            return Ok(());
        };
        let row = match answer {
            Ok(reply) => RegisterNode::reply_of(reply),
            Err(refusal) if refusal.retry() == Retry::Never => {
                return Err(format!("{node} is refused for good: {refusal}"));
            }
            Err(_) => return Ok(()),
        };
        if lost {
            self.note(|| format!("{node} does not learn that it is {}", row.registration));
            self.saw(Happening::LostRegistration);
            self.start_again(node);
            return Ok(());
        }
        let (registration, broker) = (row.registration, row.id);
        joining.registered = Some(row);
        let process = joining.process;
        if let Err(error) = joining.journal.register(registration) {
            self.note(|| format!("{node} cannot register: {error}"));
            self.start_again(node);
            return Ok(());
        }
        self.nodes[node].registered = Some(registration);
        self.nodes[node].broker = broker;
        self.ask_to_join(node, process);
        Ok(())
    }

    /// The controller knows that the number is on disk.
    pub fn confirmed(&mut self, node: usize, answer: Result<Reply, Refusal>) -> Check {
        match answer {
            Ok(_) => {}
            // A copy of the question came late, and gave this journal another number.
            Err(refusal) if refusal.retry() == Retry::Never => {
                self.note(|| format!("{node} is fenced: {refusal}"));
                self.saw(Happening::FencedProcess);
                self.start_again(node);
                return Ok(());
            }
            Err(_) => return Ok(()),
        }
        let Some(joining) = self.nodes[node].joining.take() else {
            return Ok(());
        };
        let registration = joining.registered.map(|row| row.registration);
        let registration = registration.ok_or("nothing is confirmed that was not registered")?;
        self.serve(node, joining.journal, joining.recovery, registration)
    }
}
