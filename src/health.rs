//! Whether this process takes work, and if not, why: one table of reason codes, from which probes get a word and operators
//! the whole story.
//!
//! Unready is what a client would notice at once: writes refused, partitions without a leader, data that cannot be read,
//! a certificate that nobody accepts. What only changes to the catalog or a later restart would notice is a warning.

use millstream_broker::{Condition, Handle, Standing, StoreFault};
use millstream_controller as controller;
use millstream_door::Rooms;
use millstream_listener::{Certificates, Validity};
use parking_lot::Mutex;
use std::fmt::Write;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Why a process does not take work, or not as it should. Words are stable: monitors match them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    Starting,
    Draining,
    RefusedByController,
    ReadsOnly,
    JournalDamaged,
    JournalFull,
    StoreFull,
    StoreRefused,
    StoreUnreachable,
    NoLeader,
    PartitionDamaged,
    ObjectDamaged,
    CertificateExpired,
    CertificateNotYetValid,
    NotController,
    RequestsWait,
}

impl Code {
    /// As it is told.
    pub fn word(self) -> &'static str {
        match self {
            Code::Starting => "starting",
            Code::Draining => "draining",
            Code::RefusedByController => "refused-by-controller",
            Code::ReadsOnly => "reads-only",
            Code::JournalDamaged => "journal-damaged",
            Code::JournalFull => "journal-full",
            Code::StoreFull => "store-full",
            Code::StoreRefused => "store-refused",
            Code::StoreUnreachable => "store-unreachable",
            Code::NoLeader => "no-leader",
            Code::PartitionDamaged => "partition-damaged",
            Code::ObjectDamaged => "object-damaged",
            Code::CertificateExpired => "certificate-expired",
            Code::CertificateNotYetValid => "certificate-not-yet-valid",
            Code::NotController => "not-controller",
            Code::RequestsWait => "requests-wait",
        }
    }

    /// Whether clients should be sent elsewhere. A store that fails only fills the journal: that is told by its own code;
    /// and one tenant that crowds the room for requests must not take the node from all others.
    pub fn is_unready(self) -> bool {
        match self {
            Code::StoreFull
            | Code::StoreRefused
            | Code::StoreUnreachable
            | Code::NotController
            | Code::RequestsWait => false,
            Code::Starting
            | Code::Draining
            | Code::RefusedByController
            | Code::ReadsOnly
            | Code::JournalDamaged
            | Code::JournalFull
            | Code::NoLeader
            | Code::PartitionDamaged
            | Code::ObjectDamaged
            | Code::CertificateExpired
            | Code::CertificateNotYetValid => true,
        }
    }
}

/// A reason, in words for operators: it may name folders and objects, never for tenants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    pub code: Code,
    pub text: String,
}

impl Reason {
    fn new(code: Code, text: impl Into<String>) -> Reason {
        Reason {
            code,
            text: text.into(),
        }
    }
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub reasons: Vec<Reason>,
    /// What is told to operators beside.
    pub facts: String,
}

impl Report {
    pub fn is_ready(&self) -> bool {
        !self.reasons.iter().any(|reason| reason.code.is_unready())
    }

    /// A word and the codes: what anybody may know.
    pub fn short(&self) -> String {
        let mut line = self.word().to_owned();
        for reason in &self.reasons {
            let _ = write!(line, " {}", reason.code.word());
        }
        line.push('\n');
        line
    }

    /// The same with each reason in full.
    pub fn full(&self) -> String {
        let mut text = format!("{}\n", self.word());
        for Reason { code, text: why } in &self.reasons {
            let mark = if code.is_unready() { "" } else { "warning " };
            let _ = writeln!(text, "{mark}{}: {why}", code.word());
        }
        if !self.facts.is_empty() {
            let _ = writeln!(text, "{}", self.facts);
        }
        text
    }

    fn word(&self) -> &'static str {
        if self.is_ready() { "ready" } else { "unready" }
    }
}

const STARTING: u8 = 0;
const SERVING: u8 = 1;
const DRAINING: u8 = 2;

/// How often the process is looked at without being asked: what anybody asks costs no look.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// What the answers are made from.
#[derive(Clone)]
pub struct Health {
    phase: Arc<AtomicU8>,
    /// What was found last.
    last: Arc<Mutex<Arc<Report>>>,
    controller: controller::Handle,
    broker: Weak<Handle>,
    certificates: Option<Arc<Certificates>>,
    rooms: Rooms,
}

impl Health {
    /// Over the controller and the broker; starting.
    pub fn new(
        controller: controller::Handle,
        broker: &Arc<Handle>,
        certificates: Option<Arc<Certificates>>,
        rooms: Rooms,
    ) -> Health {
        Health {
            phase: Arc::new(AtomicU8::new(STARTING)),
            last: Arc::new(Mutex::new(Arc::new(of_phase(STARTING)))),
            controller,
            broker: Arc::downgrade(broker),
            certificates,
            rooms,
        }
    }

    /// Every door answers.
    pub fn set_serving(&self) {
        self.phase.store(SERVING, Ordering::Release);
        self.look();
    }

    /// The process ends.
    pub fn set_draining(&self) {
        self.phase.store(DRAINING, Ordering::Release);
        self.look();
    }

    /// Looks every now and then, and has gRPC's health service say the same, until the process ends.
    pub async fn follow(self, grpc: millstream_service::Health, draining: CancellationToken) {
        loop {
            grpc.set_serving(self.look().is_ready()).await;
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                () = draining.cancelled() => return,
            }
        }
    }

    /// What was found last, a moment ago.
    pub fn last(&self) -> Arc<Report> {
        Arc::clone(&self.last.lock())
    }

    /// Brings the broker's gauges up to date.
    pub fn measure(&self) {
        if let Some(broker) = self.broker.upgrade() {
            broker.measure();
        }
    }

    /// Looks now.
    pub fn look(&self) -> Arc<Report> {
        let report = Arc::new(self.find());
        *self.last.lock() = Arc::clone(&report);
        report
    }

    fn find(&self) -> Report {
        let phase = self.phase.load(Ordering::Acquire);
        let broker = self.broker.upgrade().filter(|_| phase == SERVING);
        let Some(broker) = broker else {
            return of_phase(phase);
        };
        let mut reasons = of_standing(broker.standing());
        if reasons.is_empty() {
            reasons = of_condition(&broker.condition());
        }
        if let Some(certificates) = &self.certificates {
            let file = certificates.file().display().to_string();
            reasons.extend(of_certificate(certificates.validity(), now_s(), &file));
        }
        reasons.extend(of_room(self.rooms.waiting()));
        // Without a controller it serves on: records flow, only changes to the catalog wait.
        let holds = self.controller.lease().borrow().holds(Instant::now());
        let decides = match self.controller.term() {
            Some(term) if holds => format!("controller in term {term}"),
            term => {
                reasons.push(Reason::new(
                    Code::NotController,
                    without_decisions(term.is_some()),
                ));
                "not the controller".to_owned()
            }
        };
        let version = self.controller.image().version();
        Report {
            reasons,
            facts: format!("catalog version {version}, {decides}"),
        }
    }
}

/// What a node says that does not decide; one whose lease ran out has not been overthrown yet.
fn without_decisions(ran_out: bool) -> String {
    let why = match ran_out {
        true => ": its lease ran out, for the object store did not take the renewals",
        false => "",
    };
    format!("this node does not decide now{why}; topics, keys and queries cannot be changed")
}

/// What is said before the doors are open.
pub fn starting() -> Report {
    of_phase(STARTING)
}

fn of_phase(phase: u8) -> Report {
    let reason = match phase {
        STARTING => Reason::new(Code::Starting, "the doors are not open yet"),
        _ => Reason::new(Code::Draining, "the process stops: what is under way is finished"),
    };
    Report {
        reasons: vec![reason],
        facts: String::new(),
    }
}

fn of_standing(standing: Standing) -> Vec<Reason> {
    match standing {
        Standing::Member => Vec::new(),
        Standing::Waiting => vec![Reason::new(
            Code::ReadsOnly,
            "reads only, from this disk: the object store has not been reached since the start, and writes, groups, SQL \
             and administration wait for it",
        )],
        Standing::Refused => vec![Reason::new(
            Code::RefusedByController,
            "the controller refuses this node: it serves nothing; the log says why",
        )],
    }
}

fn of_condition(condition: &Condition) -> Vec<Reason> {
    let mut reasons = Vec::new();
    if let Some(damage) = &condition.journal_damage {
        let text = format!(
            "the journal is damaged ({damage}): what precedes it is served and nothing is taken until an operator decides \
             (millstream start --recover-groups)"
        );
        reasons.push(Reason::new(Code::JournalDamaged, text));
    }
    if condition.is_journal_full {
        let disk = if condition.is_disk_full {
            ", and its disk has no room for another of its files"
        } else {
            ""
        };
        let text = format!(
            "every produce is refused: the journal is full until older data has reached the object store{disk}"
        );
        reasons.push(Reason::new(Code::JournalFull, text));
    }
    if let Some(trouble) = &condition.store {
        let code = match trouble.fault {
            StoreFault::Full => Code::StoreFull,
            StoreFault::Refused | StoreFault::NoBucket | StoreFault::NoCredentials => Code::StoreRefused,
            StoreFault::Failing | StoreFault::Answered => Code::StoreUnreachable,
        };
        let text = format!(
            "{} replica groups cannot move data to the object store, and the journal fills: {}",
            trouble.groups,
            trouble.error.replace('\n', " ")
        );
        reasons.push(Reason::new(code, text));
    }
    if condition.unserved_partitions > 0 {
        let text = format!(
            "nobody leads {} partitions: they can be neither written nor read",
            condition.unserved_partitions
        );
        reasons.push(Reason::new(Code::NoLeader, text));
    }
    if condition.quarantined_partitions > 0 {
        let text = format!(
            "{} partitions were put aside, for their state is damaged; the log names them",
            condition.quarantined_partitions
        );
        reasons.push(Reason::new(Code::PartitionDamaged, text));
    }
    if condition.damaged_objects > 0 {
        let text = format!(
            "{} objects in the store are damaged or missing: who reads there gets an error; millstream store check names \
             them",
            condition.damaged_objects
        );
        reasons.push(Reason::new(Code::ObjectDamaged, text));
    }
    reasons
}

/// How many requests wait for memory, if any do.
fn of_room(waiting: usize) -> Option<Reason> {
    let text = || format!("{waiting} requests wait for room in memory; the log names who holds most of it");
    (waiting > 0).then(|| Reason::new(Code::RequestsWait, text()))
}

/// What is wrong with a certificate at a time, if anything is.
pub fn of_certificate(validity: Validity, now_s: i64, file: &str) -> Option<Reason> {
    if now_s > validity.until {
        let text = format!(
            "the certificate in {file} expired {} ago: replace it and send SIGHUP",
            span(now_s - validity.until)
        );
        return Some(Reason::new(Code::CertificateExpired, text));
    }
    if now_s < validity.from {
        let text = format!(
            "the certificate in {file} holds from {} from now on: is the clock right?",
            span(validity.from - now_s)
        );
        return Some(Reason::new(Code::CertificateNotYetValid, text));
    }
    None
}

/// Seconds as people say them.
pub fn span(seconds: i64) -> String {
    match seconds {
        ..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        172_800.. => format!("{} days", seconds / 86_400),
    }
}

/// Seconds since 1970.
pub fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |it| i64::try_from(it.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
