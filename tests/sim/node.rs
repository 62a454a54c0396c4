//! One node: its disk, and while it runs its journal and its replica.

use crate::clients::Ticket;
use crate::joining::Joining;
use crate::world::GROUP;
use bytes::Bytes;
use millstream_broker::follow::Following;
use millstream_broker::replica::{Receipt, Recovery, Replica};
use millstream_journal::sim::SimDisk;
use millstream_journal::{Ending, Intake, Journal, Position, Preparer, Record, Recovered, Settings};
use millstream_metadata::Image;
use millstream_model::{Epoch, JournalId, Lsn, NodeId, Registration};
use millstream_partition::GroupState;
use millstream_replication::{EntryId, WriteNumber};
use std::collections::BTreeMap;
use std::sync::Arc;

pub const DISK_BYTES: u64 = 2 * 1024 * 1024;

pub struct Node {
    pub disk: SimDisk,
    /// The journal's identity; a new disk has another.
    pub id: JournalId,
    /// Its id as a broker: the catalog's for the journal.
    pub broker: NodeId,
    /// A process that waits for its number.
    pub joining: Option<Joining>,
    pub running: Option<Running>,
    /// The local copies of the last snapshot and of the catalog: files replaced atomically.
    pub snapshot: Option<Bytes>,
    pub image: Image,
    /// The journal in whose place its own is to be put.
    pub replaces: Option<JournalId>,
    /// What the node was told is on its disk, to be compared with what a restart finds.
    pub ledger: Ledger,
    /// Its clock: how far ahead, and by how many per mille it runs fast.
    pub clock: (u64, u64),
    /// Its disk takes this much longer, ms.
    pub slow_ms: u64,
    /// Its disk has no room.
    pub full: bool,
    /// A fault was put into its disk on purpose, so that an error is no surprise.
    pub expects_errors: bool,
    /// Down for good until it is given an empty disk.
    pub damaged: bool,
    /// A bit of its disk flipped, and its process has not read it through since.
    pub rotten: bool,
    /// The last number that it served as.
    pub registered: Option<Registration>,
    /// The local copy of the last snapshot could not be written.
    pub copy_failed: bool,
}

/// Who waits for the journal.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    Write(Receipt),
    /// By the number of the work.
    Release(u64),
}

/// A process.
pub struct Running {
    pub journal: Journal<SimDisk>,
    pub preparer: Preparer<SimDisk>,
    pub replica: Replica<Ticket>,
    pub following: Following,
    pub registration: Registration,
    /// What waits for the disk.
    pub intake: Intake<Who>,
    pub disk_is_busy: bool,
    /// Producers who wait for its answer.
    pub waiters: Vec<Ticket>,
    /// Numbers what it works at in the background.
    pub work: u64,
    /// The snapshot that was encoded last.
    pub saved: Bytes,
    /// Where the last commit begins: what lies there is left alone, for it cannot be told from a tear.
    pub last_commit: Option<Position>,
}

/// Log ends after each write that was given to the disk, by number; those up to `durable` were said to be on it.
#[derive(Default)]
pub struct Ledger {
    ends: BTreeMap<WriteNumber, EntryId>,
    durable: WriteNumber,
}

impl Ledger {
    /// A process starts and finds this end.
    pub fn start(&mut self, found: EntryId) {
        *self = Ledger {
            ends: BTreeMap::from([(WriteNumber(0), found)]),
            durable: WriteNumber(0),
        };
    }

    /// The disk is given a write, maybe again; `kept` says of which epoch the entry is that a cut leaves as the last.
    pub fn written(&mut self, number: WriteNumber, record: &Record, kept: impl Fn(Lsn) -> Option<Epoch>) {
        let before = |lsn: Lsn| {
            let mut ends = self.ends.range(..number).rev();
            ends.find(|(_, end)| end.lsn == lsn).map(|(_, end)| end.epoch)
        };
        let end = match record {
            Record::Entry(entry) => EntryId::of(&entry.header),
            Record::Truncate { lsn, .. } => EntryId {
                epoch: before(*lsn).or_else(|| kept(*lsn)).unwrap_or_default(),
                lsn: *lsn,
            },
            other => unreachable!("no replica here writes {other:?}"),
        };
        self.ends.insert(number, end);
    }

    pub fn durable(&mut self, write: WriteNumber) {
        self.durable = write;
    }

    /// Whether a restart may find this end: any from the durable one on.
    pub fn allows(&self, found: EntryId) -> bool {
        self.ends.is_empty() || self.ends.range(self.durable..).any(|(_, end)| *end == found)
    }

    pub fn durable_end(&self) -> EntryId {
        self.ends.get(&self.durable).copied().unwrap_or_default()
    }
}

/// What a start found on the disk.
pub struct Opened {
    pub journal: Journal<SimDisk>,
    pub found: Recovered,
    /// The log's end as the records say.
    pub end: EntryId,
    pub recovery: Result<Recovery, String>,
}

impl Node {
    pub fn new(clock: (u64, u64)) -> Node {
        Node {
            disk: SimDisk::new(DISK_BYTES),
            id: JournalId::from_bytes([0; 16]),
            broker: NodeId(0),
            joining: None,
            running: None,
            snapshot: None,
            image: Image::new(),
            replaces: None,
            ledger: Ledger::default(),
            clock,
            slow_ms: 0,
            full: false,
            expects_errors: false,
            damaged: false,
            rotten: false,
            registered: None,
            copy_failed: false,
        }
    }

    /// Its own clock.
    pub fn now_ms(&self, now_ms: u64) -> u64 {
        self.clock.0 + now_ms * self.clock.1 / 1000
    }

    pub fn state(&self) -> Option<&GroupState> {
        self.running.as_ref().map(|running| running.replica.state())
    }

    pub fn leads(&self) -> bool {
        self.running
            .as_ref()
            .is_some_and(|running| running.replica.leads())
    }

    /// Opens the journal and reads it through.
    pub fn open(&self, settings: Settings) -> Result<Opened, String> {
        let snapshot = self
            .snapshot
            .as_deref()
            .map(GroupState::decode_snapshot)
            .transpose();
        let snapshot = snapshot.map_err(|error| error.to_string())?;
        let mut recovery = Recovery::new(snapshot.unwrap_or_else(|| GroupState::new(GROUP)), true);
        let mut failure = None;
        let take = |_, record: Record| {
            if record.group().is_some()
                && failure.is_none()
                && let Err(error) = recovery.record(record)
            {
                failure = Some(error.to_string());
            }
        };
        let disk = Arc::new(self.disk.clone());
        let (journal, found) = Journal::open(disk, settings, take).map_err(|error| error.to_string())?;
        let (epoch, lsn) = journal.reader().end(GROUP).unwrap_or_default();
        let recovery = match failure {
            Some(failure) => Err(failure),
            None => recovery.finish().map_err(|error| error.to_string()),
        };
        Ok(Opened {
            journal,
            found,
            end: EntryId { epoch, lsn },
            recovery,
        })
    }

    pub fn is_damaged(found: &Recovered) -> bool {
        matches!(found.ending, Ending::Damaged(_))
    }

    /// Whether this entry is on its disk.
    pub fn keeps(&self, entry: EntryId) -> bool {
        match &self.running {
            Some(running) => {
                let machine = running.replica.machine();
                machine.log().has(entry) && machine.durable_lsn() >= entry.lsn
            }
            None => self.ledger.durable_end().lsn >= entry.lsn,
        }
    }

    pub fn applied(&self) -> Lsn {
        self.state().map_or(Lsn::ZERO, GroupState::applied)
    }
}
