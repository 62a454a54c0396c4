//! Processes that may be the controller, of which one is at a time: what they decide is the catalog's own code over a
//! simulated store (`catalog.rs`), whom they take for alive the controller's own sessions.
//!
//! ```text
//!   standby ─► claim the writer ─► fence: create the next object ─► read all before it ─► raise the term ─► active
//!      ▲                                                                                                  │
//!      └──────────────────────── an object that is there already, no answer, killed ──────────────────────┘
//! ```

use crate::asking::{Ask, Wanted};
use crate::catalog::{Call, CatalogStore};
use crate::follow::topic;
use crate::plant::Plant;
use crate::seen::Happening;
use crate::world::{Check, Event, GROUP, NODES, World};
use millstream_catalog::{Batch, Seeds};
use millstream_controller::Sessions;
use millstream_metadata::{
    Actor, Change, Class, ClusterRow, Command, EndSession, GroupPurpose, GroupRow, HostPort, Image, NodeRow,
    Refusal, Replica, Reply, Request, Row,
};
use millstream_model::{Epoch, JournalId, NodeId, Registration, TimestampMs};
use rand::Rng;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

pub const SEATS: usize = 2;
const SESSION: Duration = Duration::from_millis(400);
/// A lease that nobody has written for so long is stale.
const STALE_MS: u64 = 100;
const COMMANDS_BATCH_MAX: usize = 16;

pub struct Controllers {
    pub store: CatalogStore,
    seats: Vec<Seat>,
    /// Who wrote the lease last, and when.
    lease: (usize, u64),
}

/// A process that may be the controller.
#[derive(Default)]
struct Seat {
    state: State,
    /// Counts what it asks of the store; an answer to anything but the last is of no use.
    call: u64,
    /// It tries nothing before this.
    rests_until_ms: u64,
    /// It stands still until then.
    stands_until_ms: u64,
}

#[derive(Default)]
enum State {
    #[default]
    Standby,
    Claiming,
    Fencing {
        number: usize,
    },
    Active(Box<Active>),
}

/// One that decides.
struct Active {
    /// What it knows to be durable.
    image: Image,
    /// The number of its next transaction.
    next: usize,
    writing: Option<Writing>,
    waiting: VecDeque<Ask>,
    sessions: Sessions,
    /// The term is raised.
    is_open: bool,
}

/// A transaction on its way.
struct Writing {
    image: Image,
    answers: Vec<Decided>,
}

type Decided = (Ask, Result<Reply, Refusal>);

impl Controllers {
    /// A catalog that knows these journals, and the group that they hold together.
    pub fn new(journals: &[JournalId]) -> Controllers {
        Controllers {
            store: CatalogStore::new(first_rows(journals)),
            seats: (0..SEATS).map(|_| Seat::default()).collect(),
            lease: (0, 0),
        }
    }

    /// Where nodes find the controller.
    pub fn holder(&self) -> usize {
        self.lease.0
    }

    /// Whether nobody decides.
    pub fn is_away(&self, now_ms: u64) -> bool {
        let decides = |seat: &Seat| {
            seat.stands_until_ms <= now_ms && matches!(&seat.state, State::Active(active) if active.is_open)
        };
        !self.seats.iter().any(decides)
    }

    /// Nothing keeps anybody from deciding.
    pub fn heal(&mut self) {
        for seat in &mut self.seats {
            (seat.rests_until_ms, seat.stands_until_ms) = (0, 0);
        }
    }

    fn active(&mut self, seat: usize) -> Option<&mut Active> {
        match &mut self.seats[seat].state {
            State::Active(active) => Some(active),
            _ => None,
        }
    }
}

/// What the placement will make, as the catalog's first transaction: it gives a group several journals, which no command
/// does yet.
fn first_rows(journals: &[JournalId]) -> Vec<Change> {
    let nodes = journals.iter().zip(1..).map(|(journal, id)| {
        Row::Node(Arc::new(NodeRow {
            id: NodeId(id),
            journal: *journal,
            registration: Registration(0),
            registration_confirmed: Registration(0),
            kafka: address(),
            http: address(),
            feature_level_max: 1,
            lost: true,
            registered: TimestampMs(0),
        }))
    });
    let in_sync = |journal: &JournalId| Replica {
        journal: *journal,
        registration: Registration(0),
    };
    let group = Row::Group(Arc::new(GroupRow {
        id: GROUP,
        purpose: GroupPurpose::Tenants,
        class: Class::THREE,
        epoch: Epoch(0),
        version: 0,
        leader: None,
        isr: journals.iter().map(in_sync).collect(),
        members: journals.to_vec(),
        snapshot: None,
        snapshot_previous: None,
    }));
    let cluster = Row::Cluster(Arc::new(ClusterRow {
        version: 1,
        feature_level: 1,
        node_next: i32::try_from(NODES).unwrap(),
        group_next: 1_000,
        ..ClusterRow::default()
    }));
    let topic = Row::Topic(Arc::new(topic()));
    nodes.chain([group, topic, cluster]).map(Change::Put).collect()
}

pub fn address() -> HostPort {
    HostPort {
        host: "simulated".to_owned(),
        port: 1,
    }
}

/// The row of the group with another member, and the cluster's. The placement will do that.
fn placed(image: &Image, gone: JournalId, new: JournalId) -> Vec<Change> {
    let row = image.group(GROUP).expect("the group is there");
    if !row.members.contains(&gone) || row.isr.iter().any(|replica| replica.journal == gone) {
        return Vec::new();
    }
    let mut row = row.as_ref().clone();
    row.members.retain(|member| *member != gone);
    row.members.push(new);
    row.version += 1;
    let mut cluster = image.cluster().clone();
    cluster.version += 1;
    vec![
        Change::Put(Row::Group(Arc::new(row))),
        Change::Put(Row::Cluster(Arc::new(cluster))),
    ]
}

impl World {
    fn seeds(&mut self) -> Seeds {
        let now = TimestampMs(1_700_000_000_000 + i64::try_from(self.now_ms).unwrap());
        Seeds::new(now, self.random.random())
    }

    /// A controller is asked for something.
    pub fn asked(&mut self, seat: usize, ask: Ask) -> Check {
        if self.now_ms < self.controllers.seats[seat].stands_until_ms {
            return Ok(());
        }
        let Some(active) = self.controllers.active(seat) else {
            return Ok(());
        };
        active.waiting.push_back(ask);
        self.decide(seat)
    }

    /// Decides what waits, unless a transaction is on its way.
    fn decide(&mut self, seat: usize) -> Check {
        let Some(active) = self.controllers.active(seat) else {
            return Ok(());
        };
        if active.writing.is_some() || active.waiting.is_empty() {
            return Ok(());
        }
        let before = active.image.clone();
        if let Some(Wanted::Place { gone, new }) = active.waiting.front().map(|ask| &ask.wanted) {
            let changes = placed(&before, *gone, *new);
            active.waiting.pop_front();
            if changes.is_empty() {
                return self.decide(seat);
            }
            let mut image = before;
            changes.iter().for_each(|change| image.apply(change));
            self.write(seat, image, changes, Vec::new());
            return Ok(());
        }
        let (batch, mut decided) = self.put_together(seat, &before);
        if self.plant == Plant::RefusedBeforeDurable {
            let (refused, taken): (Vec<_>, Vec<_>) = decided.into_iter().partition(|(_, it)| it.is_err());
            self.answer_all(seat, refused);
            decided = taken;
        }
        if batch.is_empty() {
            self.answer_all(seat, decided);
            return self.decide(seat);
        }
        let (image, changes) = batch.finish();
        if self.plant == Plant::AnsweredBeforeDurable
            && let Some(active) = self.controllers.active(seat)
        {
            active.image = image.clone();
            self.publish(&image);
            self.answer_all(seat, std::mem::take(&mut decided));
        }
        self.write(seat, image, changes, decided);
        Ok(())
    }

    /// As many commands as fit into a transaction, each decided on what the ones before it would leave. Who is behind is sent
    /// what is durable.
    fn put_together(&mut self, seat: usize, durable: &Image) -> (Batch, Vec<Decided>) {
        let mut batch = Batch::new(durable);
        let (mut decided, mut behind) = (Vec::new(), Vec::new());
        while decided.len() < COMMANDS_BATCH_MAX {
            let mut seeds = self.seeds();
            let Some(active) = self.controllers.active(seat) else {
                break;
            };
            let is_command = |ask: &mut Ask| matches!(ask.wanted, Wanted::Command(_));
            let Some(ask) = active.waiting.pop_front_if(is_command) else {
                break;
            };
            let Wanted::Command(command) = &ask.wanted else {
                unreachable!("it was looked at")
            };
            let outcome = match self.plant {
                Plant::StaleProposalAccepted => batch.add(&mut seeds, &ask.actor, &rebased(command, durable)),
                _ => batch.add(&mut seeds, &ask.actor, command),
            };
            if let (Ok(_), Command::Heartbeat(beat), Actor::Node(node)) = (&outcome, command, &ask.actor) {
                let (now_ms, registration, version) = (self.now_ms, beat.registration, beat.version);
                active.sessions.heard(now_ms, *node, registration, version);
                behind.extend(ask.from.filter(|_| version < durable.version()));
            }
            decided.push((ask, outcome));
        }
        for (to, _) in behind {
            let image = durable.clone();
            self.send(NODES, to, Event::Image { to, image }, None);
        }
        (batch, decided)
    }

    fn write(&mut self, seat: usize, image: Image, changes: Vec<Change>, answers: Vec<Decided>) {
        let Some(active) = self.controllers.active(seat) else {
            return;
        };
        active.writing = Some(Writing { image, answers });
        let number = active.next;
        let changes = changes.into();
        self.call(seat, Call::Create { number, changes });
    }

    fn call(&mut self, seat: usize, what: Call) {
        self.controllers.seats[seat].call += 1;
        let call = self.controllers.seats[seat].call;
        self.call_store(seat, call, what);
    }

    fn answer_all(&mut self, seat: usize, decided: Vec<Decided>) {
        for (ask, outcome) in decided {
            self.note(|| format!("controller {seat} to {:?}: {outcome:?}", ask.asked));
            self.answer_ask(ask, outcome);
        }
    }

    /// The store has answered a process's last call.
    pub fn store_answered(&mut self, seat: usize, call: u64, done: bool) -> Check {
        let now_ms = self.now_ms;
        let this = &mut self.controllers.seats[seat];
        if this.call != call {
            return Ok(());
        }
        if now_ms < this.stands_until_ms {
            // It looks when it goes on.
            let answer = crate::catalog::CatalogEvent::Answer { seat, call, done };
            let at_ms = this.stands_until_ms;
            self.at(at_ms, Event::Catalog(answer));
            return Ok(());
        }
        this.call += 1;
        match (&mut this.state, done) {
            (State::Standby, _) => {}
            (State::Claiming, true) => {
                let number = self.controllers.store.length();
                self.fence(seat, number);
            }
            (State::Fencing { number }, true) => {
                let number = *number;
                self.take_over(seat, number);
            }
            // A transaction of the one before it was faster: it counts, and the fence goes behind it.
            (State::Fencing { number }, false) => {
                let number = *number + 1;
                self.fence(seat, number);
            }
            (State::Active(active), true) => {
                let Some(Writing { image, answers }) = active.writing.take() else {
                    return Ok(());
                };
                active.next += 1;
                active.is_open = true;
                active.image = image.clone();
                self.publish(&image);
                self.answer_all(seat, answers);
                return self.decide(seat);
            }
            (State::Claiming | State::Active(_), false) => self.lose(seat),
        }
        Ok(())
    }

    fn fence(&mut self, seat: usize, number: usize) {
        self.controllers.seats[seat].state = State::Fencing { number };
        let changes = Arc::from([]);
        self.call(seat, Call::Create { number, changes });
    }

    /// Nobody before this one can write: reads what there is, and raises the term before anything else.
    fn take_over(&mut self, seat: usize, fence: usize) {
        self.saw(Happening::TakeOver);
        let image = self.controllers.store.read(fence);
        self.note(|| format!("controller {seat} takes over at version {}", image.version()));
        let mut batch = Batch::new(&image);
        batch.raise_term();
        let (raised, changes) = batch.finish();
        self.controllers.lease = (seat, self.now_ms);
        self.controllers.seats[seat].state = State::Active(Box::new(Active {
            image,
            next: fence + 1,
            writing: None,
            waiting: VecDeque::new(),
            sessions: Sessions::new(BTreeSet::new(), SESSION, self.now_ms),
            is_open: false,
        }));
        self.write(seat, raised, changes, Vec::new());
    }

    /// Nobody has answered a call: whether it was carried out is not known.
    pub fn store_is_silent(&mut self, seat: usize, call: u64) -> Check {
        if self.controllers.seats[seat].call == call {
            self.lose(seat);
        }
        Ok(())
    }

    /// What it knows is void; the next one finds out what is durable.
    fn lose(&mut self, seat: usize) {
        let rest_ms = self.random.random_range(1..40);
        let this = &mut self.controllers.seats[seat];
        this.call += 1;
        this.rests_until_ms = this.rests_until_ms.max(self.now_ms + rest_ms);
        let state = std::mem::take(&mut this.state);
        self.note(|| format!("controller {seat} loses the catalog"));
        let State::Active(active) = state else { return };
        for (ask, outcome) in active.writing.into_iter().flat_map(|writing| writing.answers) {
            let reason = "the store failed".to_owned();
            let answer = match outcome {
                Ok(_) => Refusal::Unknown { reason },
                Err(_) => Refusal::NotController,
            };
            self.answer_ask(ask, Err(answer));
        }
    }

    /// The controller's process ends, or stands still for a while: then it may go on long after another took over.
    pub fn disturb_controller(&mut self) {
        let for_ms = self.random.random_range(50..700);
        let (seat, until_ms) = (self.controllers.holder(), self.now_ms + for_ms);
        if self.chance(50) {
            self.controllers.seats[seat].stands_until_ms = until_ms;
        } else {
            self.controllers.seats[seat].rests_until_ms = until_ms;
            self.controllers.seats[seat].call += 1;
            self.controllers.seats[seat].state = State::Standby;
        }
        self.saw(Happening::ControllerAway);
    }

    /// Everybody who may be the controller looks at what it has to do.
    pub fn judge(&mut self) -> Check {
        self.after(40, Event::Judge);
        for seat in 0..SEATS {
            let this = &self.controllers.seats[seat];
            if self.now_ms < this.stands_until_ms {
                continue;
            }
            match &this.state {
                State::Standby => self.consider_taking_over(seat),
                State::Active(active) if active.is_open => self.judge_sessions(seat)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn consider_taking_over(&mut self, seat: usize) {
        if self.now_ms < self.controllers.seats[seat].rests_until_ms {
            return;
        }
        let (holder, written_ms) = self.controllers.lease;
        let is_stale = written_ms + STALE_MS < self.now_ms;
        // The lease is a hint: who misreads it does no harm.
        if is_stale || holder == seat || self.faulty && self.random.random_range(0..400) == 0 {
            let writer = self.controllers.store.writer();
            self.controllers.seats[seat].state = State::Claiming;
            self.call(seat, Call::Claim { writer });
        }
    }

    fn judge_sessions(&mut self, seat: usize) -> Check {
        let now_ms = self.now_ms;
        self.controllers.lease = (seat, now_ms);
        let Some(active) = self.controllers.active(seat) else {
            return Ok(());
        };
        let expired = active.sessions.expired(now_ms, &active.image);
        for (journal, registration) in expired {
            let end = EndSession {
                journal,
                registration,
            };
            active.waiting.push_back(Ask::own(end.into_command()));
        }
        self.decide(seat)
    }
}

/// A bug put in on purpose: a proposal is based on whatever row there is, as long as its epoch lasts.
fn rebased(command: &Command, image: &Image) -> Command {
    let mut command = command.clone();
    if let Command::ProposeIsr(proposal) = &mut command
        && let Some(row) = image.group(proposal.group)
    {
        proposal.base_version = row.version;
    }
    command
}
