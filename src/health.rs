//! Whether this process takes work, and if not, why: reason codes ([`Code`]), from which probes get a word and operators the
//! whole story.
//!
//! Unready is what a client would notice at once: writes refused, partitions without a leader, data that cannot be read,
//! a certificate that nobody accepts. What only changes to the catalog or a later restart would notice is a warning.

use crate::code::Code;
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
mod tests {
    use super::{
        Code, DRAINING, Reason, Report, STARTING, of_certificate, of_condition, of_phase, of_room,
        of_standing, starting, without_decisions,
    };
    use millstream_broker::{Condition, Standing, StoreFault, StoreTrouble};
    use millstream_listener::Validity;

    fn told(reasons: Vec<Reason>) -> (bool, String) {
        let report = Report {
            reasons,
            facts: String::new(),
        };
        (report.is_ready(), report.short())
    }

    fn trouble(fault: StoreFault) -> Condition {
        Condition {
            store: Some(StoreTrouble {
                fault,
                groups: 1,
                error: "cannot put one/two".into(),
            }),
            ..Condition::default()
        }
    }

    /// What a client would notice is unready; each by its own code.
    #[test]
    fn every_condition_has_its_code() {
        let with = |change: fn(&mut Condition)| {
            let mut condition = Condition::default();
            change(&mut condition);
            condition
        };
        let table = [
            (Condition::default(), true, "ready\n"),
            (
                with(|it| it.journal_damage = Some("at 5".into())),
                false,
                "unready journal-damaged\n",
            ),
            (
                with(|it| it.is_journal_full = true),
                false,
                "unready journal-full\n",
            ),
            (
                with(|it| it.unserved_partitions = 3),
                false,
                "unready no-leader\n",
            ),
            (
                with(|it| it.quarantined_partitions = 1),
                false,
                "unready partition-damaged\n",
            ),
            (
                with(|it| it.damaged_objects = 2),
                false,
                "unready object-damaged\n",
            ),
            (trouble(StoreFault::Failing), true, "ready store-unreachable\n"),
            (trouble(StoreFault::Refused), true, "ready store-refused\n"),
            (trouble(StoreFault::Full), true, "ready store-full\n"),
            (
                Condition {
                    is_journal_full: true,
                    ..trouble(StoreFault::Full)
                },
                false,
                "unready journal-full store-full\n",
            ),
        ];
        for (condition, is_ready, short) in table {
            assert_eq!(
                told(of_condition(&condition)),
                (is_ready, short.to_owned()),
                "{condition:?}"
            );
        }
        assert!(told(of_standing(Standing::Member)).0);
        assert_eq!(
            told(of_standing(Standing::Waiting)),
            (false, "unready reads-only\n".into())
        );
        assert_eq!(
            told(of_standing(Standing::Refused)),
            (false, "unready refused-by-controller\n".into())
        );
        let of_phase = |phase| told(of_phase(phase).reasons);
        assert_eq!(of_phase(STARTING), (false, "unready starting\n".into()));
        assert_eq!(of_phase(DRAINING), (false, "unready draining\n".into()));
        assert_eq!(starting(), super::of_phase(STARTING));
        assert!(without_decisions(true).contains("lease ran out"));
        assert!(!without_decisions(false).contains("lease"));
        assert_eq!(of_room(0), None);
        let crowded = of_room(3).into_iter().collect();
        assert_eq!(told(crowded), (true, "ready requests-wait\n".into()));
    }

    /// Probes are anybody: they learn of codes, and of nothing that a reason names.
    #[test]
    fn names_are_for_operators_only() {
        let reasons = of_condition(&trouble(StoreFault::Full));
        let report = Report {
            reasons,
            facts: "catalog version 7".into(),
        };
        assert!(!report.short().contains("one/two") && !report.short().contains("version"));
        let full = report.full();
        assert!(
            full.contains("warning store-full: ")
                && full.contains("one/two")
                && full.ends_with("version 7\n"),
            "{full}"
        );
    }

    #[test]
    fn a_certificate_is_judged_by_the_clock() {
        let validity = Validity {
            from: 100,
            until: 200,
        };
        let code = |now_s| of_certificate(validity, now_s, "f").map(|it| it.code);
        for (now_s, expected) in [
            (99, Some(Code::CertificateNotYetValid)),
            (100, None),
            (200, None),
            (201, Some(Code::CertificateExpired)),
        ] {
            assert_eq!(code(now_s), expected, "{now_s}");
        }
    }
}
