//! One replica: its machine, its disk, and the catalog row it remembers.

use millstream_model::entry::Entry;
use millstream_model::{JournalId, Lsn, Registration};
use millstream_replication::{Assignment, EntryId, Input, Machine, Output, Recovered, Settings, WriteNumber};
use std::collections::BTreeMap;

#[derive(Clone)]
pub enum Record {
    Entry(Entry),
    Truncate(Lsn),
    Reset(EntryId),
}

pub struct Node {
    pub journal: JournalId,
    pub machine: Option<Machine>,
    /// What is synced, and what is only written.
    disk: Vec<Record>,
    unsynced: Vec<(WriteNumber, Record)>,
    pub snapshot: EntryId,
    pub row: Option<Assignment>,
    /// The log as the machine sees it.
    pub log: BTreeMap<Lsn, Entry>,
}

impl Node {
    pub fn new(journal: JournalId) -> Node {
        Node {
            journal,
            machine: None,
            disk: Vec::new(),
            unsynced: Vec::new(),
            snapshot: EntryId::ZERO,
            row: None,
            log: BTreeMap::new(),
        }
    }

    /// Loses all but the first `kept` writes that were not synced.
    pub fn crash(&mut self, kept: usize) {
        self.machine = None;
        let survivors = self.unsynced.drain(..).take(kept).map(|(_, record)| record);
        self.disk.extend(survivors);
    }

    pub fn start(&mut self, settings: Settings) -> Result<(), String> {
        let mut recovered = Recovered::default();
        self.log.clear();
        for record in &self.disk {
            match record {
                Record::Entry(entry) => {
                    recovered.push(&entry.header).map_err(|error| error.to_string())?;
                    self.log.insert(entry.header.lsn, entry.clone());
                }
                Record::Truncate(to) => {
                    recovered.truncate(*to);
                    self.log.split_off(&to.next());
                }
                Record::Reset(base) => {
                    let end = recovered.log.last().lsn;
                    if base.lsn <= end {
                        return Err(format!(
                            "a log up to {end} is released up to {base:?}, and goes on"
                        ));
                    }
                    recovered.reset(*base);
                    self.log.clear();
                }
            }
        }
        recovered
            .snapshot(self.snapshot)
            .map_err(|error| error.to_string())?;
        if !recovered.log.has(EntryId {
            epoch: recovered.log.last().epoch,
            lsn: recovered.log.last().lsn,
        }) {
            return Err("the recovered log has no end".to_owned());
        }
        if recovered.starts_anew() {
            self.log.clear();
        }
        self.machine = Some(Machine::new(settings, recovered));
        Ok(())
    }

    pub fn registered(&self, settings: Settings, registration: Registration) -> Settings {
        Settings {
            me: self.journal,
            registration,
            ..settings
        }
    }

    pub fn step(&mut self, now_ms: u64, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        if let Some(machine) = &mut self.machine {
            machine.step(now_ms, input, &mut out);
        }
        for output in &out {
            match output {
                Output::Persist { write, entry } => {
                    self.unsynced.push((*write, Record::Entry(entry.clone())));
                    assert!(self.log.insert(entry.header.lsn, entry.clone()).is_none());
                }
                Output::Truncate { write, to, .. } => {
                    self.unsynced.push((*write, Record::Truncate(*to)));
                    self.log.split_off(&to.next());
                }
                Output::Reset { write, base } => {
                    self.unsynced.push((*write, Record::Reset(*base)));
                    self.log.clear();
                }
                _ => {}
            }
        }
        out
    }

    /// Syncs the first `count` waiting writes.
    pub fn sync(&mut self, count: usize) -> Option<WriteNumber> {
        let count = count.min(self.unsynced.len());
        let last = self.unsynced.get(count.checked_sub(1)?)?.0;
        self.disk
            .extend(self.unsynced.drain(..count).map(|(_, record)| record));
        Some(last)
    }

    pub fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    pub fn read(&self, from: Lsn, to: Lsn) -> Vec<Entry> {
        self.log
            .range(from..=to)
            .take(5)
            .map(|(_, entry)| entry.clone())
            .collect()
    }
}
