//! The catalog's store by its contract (log.md 36): an object for each transaction, created and never overwritten, and one
//! that says who writes, compared and set. What is asked of it may be lost, come late, or be done without an answer.

use crate::seen::Happening;
use crate::world::{Check, Event, GROUP, World};
use millstream_metadata::{Change, GroupRow, Image, Row};
use millstream_model::JournalId;
use std::sync::Arc;

/// A writer that gets no answer for so long has lost the catalog.
const TIMEOUT_MS: u64 = 60;

/// What is asked of the store.
#[derive(Clone, Debug)]
pub enum Call {
    /// Become the writer, if that one still is.
    Claim { writer: u64 },
    /// Create the object of a transaction.
    Create { number: usize, changes: Arc<[Change]> },
}

/// What becomes of a call.
pub enum CatalogEvent {
    /// It reaches the store.
    Call { seat: usize, call: u64, what: Call },
    /// Its answer: whether it was done.
    Answer { seat: usize, call: u64, done: bool },
    /// Nobody waits for it any longer.
    Timeout { seat: usize, call: u64 },
}

/// Everything that is durable.
#[derive(Default)]
pub struct CatalogStore {
    writer: u64,
    log: Vec<Arc<[Change]>>,
    image: Image,
}

impl CatalogStore {
    /// With a first transaction.
    pub fn new(changes: Vec<Change>) -> CatalogStore {
        let mut store = CatalogStore::default();
        store.create(0, changes.into());
        store
    }

    /// Who may write.
    pub fn writer(&self) -> u64 {
        self.writer
    }

    /// How many transactions there are.
    pub fn length(&self) -> usize {
        self.log.len()
    }

    /// What all of them made.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// What those before a fence made: they never change.
    pub fn read(&self, number: usize) -> Image {
        let mut image = Image::new();
        let changes = self.log[..number].iter().flat_map(|changes| changes.iter());
        changes.for_each(|change| image.apply(change));
        image
    }

    fn claim(&mut self, writer: u64) -> bool {
        let current = self.writer == writer;
        self.writer += u64::from(current);
        current
    }

    fn create(&mut self, number: usize, changes: Arc<[Change]>) -> bool {
        assert!(number <= self.log.len(), "bug: a transaction leaves one out");
        if number < self.log.len() {
            return false;
        }
        changes.iter().for_each(|change| self.image.apply(change));
        self.log.push(changes);
        true
    }
}

impl World {
    /// What is durable in the catalog, whoever knows it.
    pub fn durable(&self) -> &Image {
        self.controllers.store.image()
    }

    /// The row of the group, as it is durable.
    pub fn group_row(&self) -> &GroupRow {
        self.durable()
            .group(GROUP)
            .expect("the first transaction made it")
    }

    /// Whether a journal is in sync, as it is durable.
    pub fn is_in_sync(&self, journal: JournalId) -> bool {
        let isr = &self.group_row().isr;
        isr.iter().any(|replica| replica.journal == journal)
    }

    /// Asks the store for something.
    pub fn call_store(&mut self, seat: usize, call: u64, what: Call) {
        let timeout = Event::Catalog(CatalogEvent::Timeout { seat, call });
        self.at(self.now_ms + TIMEOUT_MS, timeout);
        if self.faulty && self.chance(1) {
            return;
        }
        // What comes late may come long after the writer gave up, and another took its place.
        let within_ms = if self.faulty && self.chance(2) { 400 } else { 3 };
        self.after(within_ms, Event::Catalog(CatalogEvent::Call { seat, call, what }));
    }

    pub fn catalog(&mut self, event: CatalogEvent) -> Check {
        match event {
            CatalogEvent::Call { seat, call, what } => {
                let done = match what {
                    Call::Claim { writer } => self.controllers.store.claim(writer),
                    Call::Create { number, changes } => self.create_transaction(number, changes)?,
                };
                if self.faulty && self.chance(1) {
                    self.saw(Happening::LostCatalogAnswer);
                    return Ok(());
                }
                self.after(2, Event::Catalog(CatalogEvent::Answer { seat, call, done }));
                Ok(())
            }
            CatalogEvent::Answer { seat, call, done } => self.store_answered(seat, call, done),
            CatalogEvent::Timeout { seat, call } => self.store_is_silent(seat, call),
        }
    }

    fn create_transaction(&mut self, number: usize, changes: Arc<[Change]>) -> Result<bool, String> {
        let before = self.durable().clone();
        if !self.controllers.store.create(number, Arc::clone(&changes)) {
            self.saw(Happening::FencedWrite);
            return Ok(false);
        }
        let put = changes.iter().filter_map(|change| match change {
            Change::Put(Row::Group(row)) => Some(row.as_ref()),
            _ => None,
        });
        for row in put.filter(|row| row.id == GROUP) {
            self.decided(before.group(GROUP).map(Arc::as_ref), row)?;
        }
        let version = (before.version(), self.durable().version());
        if !changes.is_empty() && version.1 != version.0 + 1 {
            return Err(format!(
                "a transaction takes the catalog from version {} to {}",
                version.0, version.1
            ));
        }
        Ok(true)
    }

    /// A decision about the group is durable: what it says must be true from here on.
    fn decided(&mut self, before: Option<&GroupRow>, row: &GroupRow) -> Check {
        let Some(before) = before else { return Ok(()) };
        if (before.leader, before.epoch) != (row.leader, row.epoch) {
            self.note(|| format!("elected: {:?} in {}", row.leader, row.epoch));
        }
        if row.epoch < before.epoch || row.epoch == before.epoch && row.leader != before.leader {
            return Err(format!(
                "{:?} leads {} after {:?} led {}",
                row.leader, row.epoch, before.leader, before.epoch
            ));
        }
        let journals = |row: &GroupRow| row.isr.iter().map(|replica| replica.journal).collect::<Vec<_>>();
        if journals(before) != journals(row) {
            self.note(|| format!("the ISR is {:?}", row.isr));
            let grows = row.isr.len() > before.isr.len();
            self.saw(if grows {
                Happening::IsrGrows
            } else {
                Happening::IsrShrinks
            });
            self.check_committed(self.check.last())?;
        }
        if let Some(named) = row.snapshot.filter(|_| row.snapshot != before.snapshot)
            && !self.store.has_snapshot(&named.object)
        {
            return Err(format!(
                "the catalog names {named:?}, which the store does not have"
            ));
        }
        Ok(())
    }
}

#[test]
fn a_transaction_is_created_once_and_a_writer_claimed_once() {
    let mut store = CatalogStore::new(Vec::new());
    assert!(store.claim(0) && !store.claim(0) && store.claim(1));
    assert!(store.create(1, Arc::from([])), "a fence");
    assert!(!store.create(1, Arc::from([])), "who was fenced comes late");
    assert_eq!((store.writer(), store.length()), (2, 2));
}
