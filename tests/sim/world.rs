//! Time, randomness and the queue of events; everything that happens happens here, one thing at a time.

use crate::asking::{Ask, Asked};
use crate::catalog::CatalogEvent;
use crate::check::Checker;
use crate::clients::{CLIENTS, Client, Ticket};
use crate::controller::Controllers;
use crate::node::Node;
use crate::plant::Plant;
use crate::seen::{Happening, Seen};
use crate::store::Store;
use bytes::Bytes;
use millstream_broker::replica::{Done, Lost};
use millstream_metadata::{Image, Refusal, Reply};
use millstream_model::{GroupId, LeaderEpoch, Offset, PartitionId, PartitionIndex, TenantId, TopicId};
use millstream_replication::Message;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};

pub const NODES: usize = 3;
/// The group that they hold together.
pub const GROUP: GroupId = GroupId(1);
/// Those that clients use.
pub const PARTITIONS: u32 = 2;
/// One more, to which what no partition survives is done.
pub const VICTIM: u32 = PARTITIONS;
pub const TENANT: TenantId = TenantId(7);
/// How long faults go on, and how long everything is given to recover, ms of simulated time.
const FAULTY_MS: u64 = 5_000;
const HEALING_MS: u64 = 2_500;

pub fn partition(index: u32) -> PartitionId {
    PartitionId {
        topic: TopicId::from_bytes([9; 16]),
        index: PartitionIndex(index),
    }
}

/// Where a run fails, and why.
pub type Check = Result<(), String>;

pub enum Event {
    /// Time passes for a process.
    Tick {
        node: usize,
    },
    /// The disk takes what waits.
    Disk {
        node: usize,
        process: u64,
    },
    /// The journal is given what it refused.
    Again {
        node: usize,
        process: u64,
    },
    /// A background duty of the shell: flush, snapshot, trim, release.
    Chore {
        node: usize,
    },
    /// Between replicas.
    Peer {
        from: usize,
        to: usize,
        message: Message,
    },
    /// From a node to a process that may be the controller.
    Ask {
        seat: usize,
        ask: Ask,
    },
    /// And back.
    Told {
        to: usize,
        process: u64,
        asked: Asked,
        answer: Box<Result<Reply, Refusal>>,
    },
    /// What the catalog says.
    Image {
        to: usize,
        image: Image,
    },
    /// Between the controller and its store.
    Catalog(CatalogEvent),
    /// Who may be the controller looks at the sessions.
    Judge,
    /// A client decides what to do next.
    Client {
        client: usize,
    },
    Produce {
        node: usize,
        ticket: Ticket,
        batch: Bytes,
        partition: u32,
    },
    Answer {
        ticket: Ticket,
        answer: Result<Offset, Option<Lost>>,
    },
    Consume {
        partition: u32,
    },
    /// A node's round of background work goes on.
    Work {
        node: usize,
        process: u64,
    },
    /// What a node worked at is done.
    Worked {
        node: usize,
        process: u64,
        step: u64,
        done: Done,
    },
    Fault,
    Start {
        node: usize,
    },
    /// A process that has not joined asks again.
    Join {
        node: usize,
        process: u64,
    },
    Kill {
        node: usize,
    },
    /// Ends a fault.
    Mend(Mend),
}

#[derive(Clone, Copy, Debug)]
pub enum Mend {
    Link,
    Disk(usize),
    Store,
}

pub struct World {
    pub plant: Plant,
    pub random: StdRng,
    pub now_ms: u64,
    queue: BTreeMap<(u64, u64), Event>,
    queued: u64,
    pub nodes: Vec<Node>,
    pub controllers: Controllers,
    /// Process starts so far.
    pub starts: u64,
    pub store: Store,
    pub clients: Vec<Client>,
    /// Consumers' positions, by partition.
    pub positions: Vec<i64>,
    /// The leader epochs in which consumers were last answered, by partition.
    pub fetched: Vec<LeaderEpoch>,
    pub check: Checker,
    pub faulty: bool,
    /// Who does not reach whom; the controller is `NODES`.
    pub cut: BTreeSet<(usize, usize)>,
    /// The one node whose disk may have lost something; while there is one, the others are left alone.
    pub hurt: Option<usize>,
    /// From then on clients and chores begin nothing.
    pub quiet_from_ms: Option<u64>,
    pub seen: Seen,
    trace: Option<String>,
}

impl World {
    pub fn new(seed: u64, plant: Plant, trace: bool) -> World {
        let mut random = StdRng::seed_from_u64(seed);
        let clock = |random: &mut StdRng| (random.random_range(0..100_000), random.random_range(950..=1050));
        let nodes = (0..NODES).map(|_| Node::new(clock(&mut random))).collect();
        let clients = (0..CLIENTS).map(Client::new).collect();
        World {
            plant,
            now_ms: 1_000,
            queue: BTreeMap::new(),
            queued: 0,
            nodes,
            controllers: Controllers::new(&[]),
            starts: 0,
            store: Store::new(seed),
            clients,
            positions: vec![0; PARTITIONS as usize],
            fetched: vec![LeaderEpoch(0); PARTITIONS as usize],
            check: Checker::default(),
            faulty: true,
            cut: BTreeSet::new(),
            hurt: None,
            quiet_from_ms: None,
            seen: Seen::default(),
            trace: trace.then(String::new),
            random,
        }
    }

    pub fn run(&mut self) -> Check {
        self.prepare()?;
        self.run_until(self.now_ms + FAULTY_MS)?;
        self.note(|| "heal".to_owned());
        self.heal();
        self.run_until(self.now_ms + HEALING_MS)?;
        self.check_end()
    }

    /// Makes the journals and the catalog, starts everything.
    fn prepare(&mut self) -> Check {
        for node in 0..NODES {
            self.make_journal(node)?;
        }
        let journals: Vec<_> = self.nodes.iter().map(|node| node.id).collect();
        self.controllers = Controllers::new(&journals);
        for node in 0..NODES {
            self.after(1, Event::Start { node });
            self.after(10, Event::Tick { node });
            self.after(50, Event::Chore { node });
        }
        for client in 0..self.clients.len() {
            self.after(20, Event::Client { client });
        }
        for partition in 0..PARTITIONS {
            self.after(100, Event::Consume { partition });
        }
        self.after(30, Event::Judge);
        self.after(300, Event::Fault);
        Ok(())
    }

    fn run_until(&mut self, end_ms: u64) -> Check {
        while let Some(entry) = self.queue.first_entry()
            && entry.key().0 <= end_ms
        {
            let ((at_ms, _), event) = entry.remove_entry();
            self.now_ms = at_ms;
            self.happen(event)?;
        }
        self.now_ms = end_ms;
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Check {
        match event {
            Event::Tick { node } => self.tick(node),
            Event::Disk { node, process } => self.disk(node, process),
            Event::Again { node, process } => self.again(node, process),
            Event::Chore { node } => self.chore(node),
            Event::Peer { from, to, message } => self.peer(from, to, message),
            Event::Ask { seat, ask } => self.asked(seat, ask),
            Event::Told {
                to,
                process,
                asked,
                answer,
            } => self.told(to, process, asked, *answer),
            Event::Image { to, image } => self.image(to, image),
            Event::Catalog(event) => self.catalog(event),
            Event::Judge => self.judge(),
            Event::Client { client } => self.client(client),
            Event::Produce {
                node,
                ticket,
                batch,
                partition,
            } => self.produce(node, ticket, batch, partition),
            Event::Answer { ticket, answer } => self.answer(ticket, answer),
            Event::Consume { partition } => self.consume(partition),
            Event::Work { node, process } if self.process(node) == process => self.work(node),
            Event::Work { .. } => Ok(()),
            Event::Worked {
                node,
                process,
                step,
                done,
            } => self.worked(node, process, step, done),
            Event::Fault => self.fault(),
            Event::Start { node } => self.start(node),
            Event::Join { node, process } => {
                self.ask_to_join(node, process);
                Ok(())
            }
            Event::Kill { node } => self.kill(node),
            Event::Mend(mend) => {
                self.mend(mend);
                Ok(())
            }
        }
    }

    /// Lets an event happen between now and `within_ms` from now.
    pub fn after(&mut self, within_ms: u64, event: Event) {
        let at_ms = self.now_ms + self.random.random_range(1..=within_ms);
        self.at(at_ms, event);
    }

    pub fn at(&mut self, at_ms: u64, event: Event) {
        self.queued += 1;
        self.queue.insert((at_ms, self.queued), event);
    }

    /// Sends something over the network: it may be lost, late, doubled.
    pub fn send(&mut self, from: usize, to: usize, event: Event, again: Option<Event>) {
        if self.is_cut(from, to) || self.faulty && self.chance(2) {
            return;
        }
        let within_ms = if self.faulty && self.chance(4) { 80 } else { 5 };
        self.after(within_ms, event);
        if let Some(again) = again.filter(|_| self.faulty) {
            self.saw(Happening::DoubledMessage);
            // What goes to the controller may have waited in a retry until much else was decided.
            let is_command = matches!(again, Event::Ask { .. });
            self.after(if is_command { 2_500 } else { 300 }, again);
        }
    }

    pub fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cut.contains(&(from, to))
    }

    /// True this many times of a hundred.
    pub fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    pub fn saw(&mut self, happening: Happening) {
        self.seen.count(happening);
    }

    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            *trace += &format!("{} {}\n", self.now_ms, line());
        }
    }

    pub fn take_trace(&mut self) -> String {
        self.trace.take().unwrap_or_default()
    }
}
