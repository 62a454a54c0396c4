//! The lease: one object that says who decides, overwritten without condition (log.md 38). A hint and no more.

use millstream_model::JournalId;
use millstream_store::explain;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// The version of the object that this release writes.
pub const LEASE_FORMAT: u32 = 1;

/// The longest that one read or write of the lease may take.
const REQUEST_MAX: Duration = Duration::from_secs(5);

/// The largest object that is read: ours has a few hundred bytes.
const LEASE_BYTES_MAX: u64 = 16 * 1024;

/// Who decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The version of this form.
    pub format: u32,
    /// The cluster.
    pub cluster: Uuid,
    /// The controller's term.
    pub term: u64,
    /// Raised at every renewal.
    pub counter: u64,
    /// The journal of the controller's process.
    pub journal: JournalId,
    /// Where nodes reach it.
    pub address: String,
    /// It was given up in good order.
    pub released: bool,
}

/// What this process knows of the lease, for operators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseSeen {
    /// This process took it and was not overthrown; whether it still counts, [`LeaseSeen::holds`] says.
    pub is_held: bool,
    /// For how long it counts once it was renewed.
    pub lasts: Duration,
    /// The term of the last one that was seen.
    pub term: u64,
    /// Where nodes reach its holder; none before one was seen.
    pub address: Option<String>,
    /// When it was last renewed or seen to be, by this process's clock.
    pub renewed: Option<Instant>,
    /// Since when this process waits for another's to end; none while it does not.
    pub waiting_since: Option<Instant>,
}

impl LeaseSeen {
    /// This process holds it from now on.
    pub(crate) fn held(term: u64, address: &str, lasts: Duration) -> LeaseSeen {
        LeaseSeen {
            is_held: true,
            lasts,
            term,
            address: Some(address.to_owned()),
            renewed: Some(Instant::now()),
            waiting_since: None,
        }
    }

    /// Whether this process holds it now: another one may take over as soon as it was not renewed for too long, also before
    /// this one finds out.
    pub fn holds(&self, now: Instant) -> bool {
        let is_fresh = |renewed| now.saturating_duration_since(renewed) < self.lasts;
        self.is_held && self.renewed.is_some_and(is_fresh)
    }

    /// Somebody else's lease was found; whether that is news.
    pub(crate) fn found(&mut self, lease: &Lease, counter_before: Option<u64>, now: Instant) -> bool {
        let is_news = self.waiting_since.is_none() || self.address.as_deref() != Some(&lease.address);
        let is_renewed = counter_before != Some(lease.counter) || self.renewed.is_none();
        *self = LeaseSeen {
            is_held: false,
            lasts: self.lasts,
            term: lease.term,
            address: Some(lease.address.clone()),
            renewed: if is_renewed { Some(now) } else { self.renewed },
            waiting_since: self.waiting_since.or(Some(now)),
        };
        is_news
    }
}

/// Why the lease could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// The store failed.
    #[error("{}", explain(.operation, "lease.json", .store, .source))]
    Store {
        /// What was to be done.
        operation: &'static str,
        /// The store, as it shows itself.
        store: String,
        /// Why.
        source: object_store::Error,
    },
    /// The store did not answer.
    #[error("the store did not answer within {} s", REQUEST_MAX.as_secs())]
    Timeout,
    /// It does not read, or is another cluster's.
    #[error("the lease does not read: {what}")]
    Malformed {
        /// Why.
        what: &'static str,
        /// What the store says of the object: another text is another writing of it.
        writing: String,
    },
}

/// Reads the lease, if there is one.
pub(crate) async fn read(
    store: &dyn ObjectStore,
    prefix: &Path,
    cluster: Uuid,
) -> Result<Option<Lease>, LeaseError> {
    let reading = async {
        let got = match store.get(&path(prefix)).await {
            Ok(got) => got,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed(store, "read", error)),
        };
        let writing = format!("{:?} {}", got.meta.e_tag, got.meta.last_modified);
        let malformed = |what| LeaseError::Malformed { what, writing };
        if got.meta.size > LEASE_BYTES_MAX {
            return Err(malformed("it is too large"));
        }
        let bytes = got.bytes().await.map_err(|error| failed(store, "read", error))?;
        match serde_json::from_slice::<Lease>(&bytes) {
            Err(_) => Err(malformed("it is not ours, or a newer release's")),
            Ok(lease) if lease.format != LEASE_FORMAT => Err(malformed("a newer release wrote it")),
            Ok(lease) if lease.cluster != cluster => Err(malformed("it is another cluster's")),
            Ok(lease) => Ok(Some(lease)),
        }
    };
    timeout(REQUEST_MAX, reading)
        .await
        .map_err(|_| LeaseError::Timeout)?
}

/// Writes the lease over whatever is there.
pub(crate) async fn write(store: &dyn ObjectStore, prefix: &Path, lease: &Lease) -> Result<(), LeaseError> {
    let bytes = serde_json::to_vec(lease).expect("bug: a lease holds only what JSON can say");
    let path = path(prefix);
    let writing = store.put(&path, PutPayload::from(bytes));
    let written = timeout(REQUEST_MAX, writing).await;
    written
        .map_err(|_| LeaseError::Timeout)?
        .map_err(|error| failed(store, "write", error))?;
    Ok(())
}

fn failed(store: &dyn ObjectStore, operation: &'static str, source: object_store::Error) -> LeaseError {
    LeaseError::Store {
        operation,
        store: store.to_string(),
        source,
    }
}

fn path(prefix: &Path) -> Path {
    prefix.clone().join("lease.json")
}

/// What a standby should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Open the catalog.
    TakeOver,
    /// Somebody else decides.
    Wait,
    /// This process's place is taken for good.
    GiveUp,
}

/// Judges the lease by its counter and the reader's own clock; pure.
#[derive(Debug)]
pub struct LeaseWatcher {
    mine: Option<JournalId>,
    stale_ms: u64,
    seen: Option<(Lease, u64)>,
    unreadable: Option<(String, u64)>,
    /// The counter of a twin's first lease, and when it was seen.
    twin: Option<(u64, u64)>,
}

impl LeaseWatcher {
    /// For the process that holds `mine` locked; none after it was fenced, when its own lease may be an old one.
    pub fn new(mine: Option<JournalId>, stale: Duration) -> LeaseWatcher {
        LeaseWatcher {
            mine,
            stale_ms: u64::try_from(stale.as_millis()).unwrap_or(u64::MAX),
            seen: None,
            unreadable: None,
            twin: None,
        }
    }

    /// What was found in the store at `now_ms` of a clock that only goes forward.
    pub fn observe(&mut self, now_ms: u64, found: Option<Lease>) -> Verdict {
        let Some(lease) = found else {
            return Verdict::TakeOver;
        };
        match &self.seen {
            // A controller that was overthrown may still write for a while, and give up what it no longer has.
            Some((seen, _)) if lease.term < seen.term => {}
            _ if lease.released || self.mine == Some(lease.journal) => return Verdict::TakeOver,
            Some((seen, _)) if *seen == lease => {}
            Some(_) | None => self.seen = Some((lease, now_ms)),
        }
        match &self.seen {
            Some((_, since)) if now_ms.saturating_sub(*since) >= self.stale_ms => Verdict::TakeOver,
            Some(_) | None => Verdict::Wait,
        }
    }

    /// What was found is of another process with this one's journal, which took over after this one had decided. One that
    /// lives on for as long as a lease has been accepted, with a newer registration than this one's; one that is refused
    /// is gone before.
    pub fn observe_twin(&mut self, now_ms: u64, lease: Lease) -> Verdict {
        self.mine = None;
        let counter = lease.counter;
        let (first, since) = *self.twin.get_or_insert((counter, now_ms));
        match self.observe(now_ms, Some(lease)) {
            Verdict::Wait if counter > first && now_ms.saturating_sub(since) >= self.stale_ms => {
                Verdict::GiveUp
            }
            verdict => verdict,
        }
    }

    /// What was found does not read, and the store knows this writing of it by this text. A hint that nobody writes any
    /// more must not keep a cluster from having a controller.
    pub fn observe_unreadable(&mut self, now_ms: u64, writing: String) -> Verdict {
        let since = match &self.unreadable {
            Some((seen, since)) if *seen == writing => *since,
            Some(_) | None => {
                self.unreadable = Some((writing, now_ms));
                now_ms
            }
        };
        match now_ms.saturating_sub(since) >= self.stale_ms {
            true => Verdict::TakeOver,
            false => Verdict::Wait,
        }
    }
}
