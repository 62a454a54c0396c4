//! What nodes ask of the controller and are answered, and the images that it sends.

use crate::controller::SEATS;
use crate::seen::Happening;
use crate::world::{Check, Event, GROUP, NODES, World};
use millstream_broker::replica::{Done, proposal_refused, proposed_isr};
use millstream_metadata::{
    Actor, Command, Heartbeat, Image, Refusal, Reply, ReportSnapshot, Request, Resign, SnapshotRef,
};
use millstream_model::{Epoch, JournalId, Retry};
use millstream_replication::ProposeIsr;
use rand::Rng;

/// Who asks, for what.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The node, and which of its processes; none when the controller asks itself.
    pub from: Option<(usize, u64)>,
    pub asked: Asked,
    pub actor: Actor,
    pub wanted: Wanted,
}

/// What is wanted.
#[derive(Clone, Debug)]
pub enum Wanted {
    Command(Command),
    /// A new journal in the place of one that left the ISR: the placement will do that.
    Place {
        gone: JournalId,
        new: JournalId,
    },
}

/// What a node makes of the answer.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    Register,
    Confirm,
    Heartbeat,
    /// With the version that the proposal is based on.
    Isr(u64),
    /// With the number of its work.
    Snapshot(u64),
    Nothing,
}

impl Ask {
    /// Of the controller itself.
    pub fn own(command: Command) -> Ask {
        Ask {
            from: None,
            asked: Asked::Nothing,
            actor: Actor::System,
            wanted: Wanted::Command(command),
        }
    }
}

impl World {
    /// The number of a node's process, whether it serves or still joins; 0 when there is none.
    fn asker(&self, node: usize) -> u64 {
        let joining = self.nodes[node].joining.as_ref().map(|joining| joining.process);
        joining.unwrap_or_else(|| self.process(node))
    }

    /// A node asks; what it asks may be lost, late, doubled.
    pub fn ask(&mut self, node: usize, asked: Asked, actor: Actor, wanted: Wanted) {
        let ask = Ask {
            from: Some((node, self.asker(node))),
            asked,
            actor,
            wanted,
        };
        let elsewhere = self.random.random_range(0..SEATS);
        let found = self.controllers.holder();
        let seat = if self.chance(3) { elsewhere } else { found };
        // Who gets no answer asks again; heartbeats come anew anyway.
        let percent = match asked {
            Asked::Heartbeat => 2,
            _ => 80,
        };
        let twice = self.faulty && self.chance(percent);
        let again = twice.then(|| Event::Ask {
            seat,
            ask: ask.clone(),
        });
        self.send(node, NODES, Event::Ask { seat, ask }, again);
    }

    fn ask_as_node<R: Request>(&mut self, node: usize, asked: Asked, request: R) {
        let actor = Actor::Node(self.nodes[node].broker);
        self.ask(node, asked, actor, Wanted::Command(request.into_command()));
    }

    pub fn ask_for_isr(&mut self, node: usize, proposal: ProposeIsr) {
        let asked = Asked::Isr(proposal.base_version);
        self.ask_as_node(node, asked, proposed_isr(GROUP, proposal));
    }

    pub fn ask_to_resign(&mut self, node: usize, epoch: Epoch) {
        self.saw(Happening::Resignation);
        let group = GROUP;
        self.ask_as_node(node, Asked::Nothing, Resign { group, epoch });
    }

    pub fn ask_to_name(&mut self, node: usize, epoch: Epoch, snapshot: SnapshotRef, step: u64) {
        let report = ReportSnapshot {
            group: GROUP,
            epoch,
            snapshot,
        };
        self.ask_as_node(node, Asked::Snapshot(step), report);
    }

    pub fn beat(&mut self, node: usize) {
        let version = self.nodes[node].image.version();
        if let Some(running) = &self.nodes[node].running {
            let registration = running.registration;
            let beat = Heartbeat {
                registration,
                version,
            };
            self.ask_as_node(node, Asked::Heartbeat, beat);
        }
    }

    /// The controller answers.
    pub fn answer_ask(&mut self, ask: Ask, answer: Result<Reply, Refusal>) {
        let Some((to, process)) = ask.from else {
            return;
        };
        let asked = ask.asked;
        if matches!((asked, &answer), (Asked::Heartbeat | Asked::Nothing, Ok(_))) {
            return;
        }
        let told = Event::Told {
            to,
            process,
            asked,
            answer: Box::new(answer),
        };
        self.send(NODES, to, told, None);
    }

    /// A node is answered.
    pub fn told(&mut self, to: usize, process: u64, asked: Asked, answer: Result<Reply, Refusal>) -> Check {
        if self.is_cut(NODES, to) || self.asker(to) != process {
            return Ok(());
        }
        match (asked, answer) {
            (Asked::Register, answer) => self.registered(to, answer),
            (Asked::Confirm, answer) => self.confirmed(to, answer),
            (Asked::Isr(base_version), Err(refusal)) => {
                self.saw(Happening::RefusedProposal);
                match proposal_refused(base_version, &refusal) {
                    Some(input) => self.step(to, input),
                    None => Ok(()),
                }
            }
            (Asked::Snapshot(step), answer) => {
                let done = if answer.is_ok() {
                    Done::Reported
                } else {
                    Done::Failed
                };
                self.worked(to, process, step, done)
            }
            // Another process of the same journal has registered: this one is none any more.
            (Asked::Heartbeat, Err(refusal)) if refusal.retry() == Retry::Never => {
                self.note(|| format!("{to} is fenced: {refusal}"));
                self.saw(Happening::FencedProcess);
                self.start_again(to);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Tells everybody what is durable.
    pub fn publish(&mut self, image: &Image) {
        for to in 0..NODES {
            let twice = self.faulty && self.chance(2);
            let of = || Event::Image {
                to,
                image: image.clone(),
            };
            let again = twice.then(of);
            self.send(NODES, to, of(), again);
        }
    }

    /// An image arrives. What is older than what a node knows is passed over (log.md 36). A process that joins follows
    /// nothing yet: it begins with the copy on its disk, however old that is.
    pub fn image(&mut self, to: usize, image: Image) -> Check {
        let this = &self.nodes[to];
        let known = (this.image.term(), this.image.version());
        if self.is_cut(NODES, to) || this.running.is_none() || (image.term(), image.version()) <= known {
            return Ok(());
        }
        self.nodes[to].image = image;
        self.follow(to)
    }
}
