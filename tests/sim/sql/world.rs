//! One shard, owned by one process after the other, and sometimes by two that do not know of each other yet.

use super::outside::{Database, Log, Lying, Topics};
use super::owner::{Owner, Request};
use super::queries::{self, COUNTED, WINDOWED};
use super::{Happening, Seen};
use millstream_model::{Offset, OwnerEpoch, ProducerId, TopicName};
use millstream_runtime::{PlantedCore, QuerySpec, StreamRecord};
use millstream_state::Planted;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::fmt::Write;

pub type Check = Result<(), String>;

/// Steps of a run, and those after it in which nothing fails.
const STEPS: u32 = 900;
const QUIET_STEPS: u32 = 6_000;

/// What was asked for by a process that is gone, or has given up waiting: it may happen yet.
pub enum Adrift {
    Append(OwnerEpoch, bytes::Bytes),
    Write(TopicName, ProducerId, Vec<StreamRecord>),
}

pub struct World {
    pub random: StdRng,
    pub core_plants: PlantedCore,
    pub commit_plants: Planted,
    trace: Option<String>,
    step: u32,
    pub quiet: bool,
    pub log: Log,
    pub database: Database,
    pub topics: Topics,
    pub specs: Vec<QuerySpec>,
    owners: Vec<Owner>,
    pub adrift: Vec<Adrift>,
    pub now_ms: u64,
    time: i64,
    names: u32,
    pub seen: Seen,
    /// The highest commit that anybody was told of.
    told: u64,
    /// Up to where each commit has read `s`, as seen in the windowed table.
    positions: BTreeMap<u64, Offset>,
}

pub fn topic(name: &str) -> TopicName {
    name.parse().unwrap()
}

impl World {
    pub fn new(seed: u64, core_plants: PlantedCore, commit_plants: Planted, trace: bool) -> Self {
        let mut world = Self {
            random: StdRng::seed_from_u64(seed),
            core_plants,
            commit_plants,
            trace: trace.then(String::new),
            step: 0,
            quiet: false,
            log: Log::default(),
            database: Database::default(),
            topics: Topics::default(),
            specs: queries::specs(),
            owners: Vec::new(),
            adrift: Vec::new(),
            now_ms: 0,
            time: 0,
            names: 0,
            seen: Seen::default(),
            told: 0,
            positions: BTreeMap::new(),
        };
        world.new_owner();
        world
    }

    pub fn take_trace(&mut self) -> String {
        self.trace.take().unwrap_or_default()
    }

    pub fn note(&mut self, text: impl FnOnce() -> String) {
        let step = self.step;
        if let Some(trace) = &mut self.trace {
            let _ = writeln!(trace, "{step:5} {}", text());
        }
    }

    pub fn chance(&mut self, percent: u32) -> bool {
        !self.quiet && self.random.random_range(0..1000) < percent * 10
    }

    pub fn run(&mut self) -> Check {
        for _ in 0..STEPS {
            self.one_step()?;
        }
        self.come_to_rest()?;
        // What was at rest is there again after a last kill.
        self.kill(self.owners.len() - 1);
        self.come_to_rest()
    }

    fn one_step(&mut self) -> Check {
        self.step += 1;
        self.now_ms += self.random.random_range(0..400);
        match self.random.random_range(0..1000) {
            0..150 => self.new_record(),
            150..165 => self.new_foreign_record(),
            165..180 => {
                self.seen.add(Happening::Kill);
                self.kill(self.owners.len() - 1);
            }
            180..190 if self.owners.len() == 1 => {
                self.seen.add(Happening::TakeOver);
                self.new_owner();
            }
            190..250 if !self.adrift.is_empty() => self.arrive(),
            _ => {
                // An old owner goes on for a while; mostly it is paused.
                let old = self.owners.len() > 1 && self.chance(30);
                let at = if old { 0 } else { self.owners.len() - 1 };
                self.act(at)?;
            }
        }
        Ok(())
    }

    fn act(&mut self, at: usize) -> Check {
        let mut owner = self.owners.remove(at);
        let acted = owner.act(self);
        let stopped = owner.is_fenced();
        if stopped {
            self.seen.add(Happening::Fenced);
            self.note(|| format!("owner {} was fenced and stops", owner.name));
            if at == self.owners.len() {
                self.new_owner();
            }
        } else {
            self.owners.insert(at, owner);
        }
        acted
    }

    pub fn new_owner(&mut self) {
        self.names += 1;
        let name = self.names;
        self.note(|| format!("owner {name} begins"));
        let owner = Owner::new(name, self);
        self.owners.push(owner);
    }

    /// A process is killed; what it asked for may happen yet.
    fn kill(&mut self, at: usize) {
        let owner = self.owners.remove(at);
        self.note(|| format!("owner {} is killed", owner.name));
        for request in owner.requests() {
            self.set_adrift(request);
        }
        if at == self.owners.len() {
            self.new_owner();
        }
    }

    pub fn set_adrift(&mut self, request: Request) {
        match request {
            Request::Append(epoch, piece) => self.adrift.push(Adrift::Append(epoch, piece)),
            Request::Write(writer, writes) => {
                for (topic, parts) in writes {
                    for (_, records) in parts {
                        self.adrift.push(Adrift::Write(topic.clone(), writer, records));
                    }
                }
            }
            _ => {}
        }
    }

    /// Something that nobody waits for any more happens, or never does.
    fn arrive(&mut self) {
        let at = self.random.random_range(0..self.adrift.len());
        let adrift = self.adrift.swap_remove(at);
        if self.random.random_bool(0.3) {
            return;
        }
        match adrift {
            Adrift::Append(epoch, piece) => {
                let appended = self.log.append(epoch, piece);
                let happening = match appended {
                    Some(_) => Happening::LateAppend,
                    None => Happening::RefusedAppend,
                };
                self.seen.add(happening);
                self.note(|| format!("a late piece of {epoch} arrives: {appended:?}"));
            }
            Adrift::Write(topic, writer, records) => {
                self.seen.add(Happening::LateResults);
                let end = self.topics.produce(&topic, writer, &records);
                self.note(|| format!("late results of {writer} arrive in {topic}, up to {end}"));
            }
        }
    }

    fn new_record(&mut self) {
        for _ in 0..self.random.random_range(1..4) {
            self.time += self.random.random_range(0..8);
            let late = if self.random.random_bool(0.2) {
                self.random.random_range(0..60)
            } else {
                0
            };
            let record = self.record((self.time - late).max(0));
            self.topics.append(&topic("s"), record);
        }
    }

    /// Somebody else writes into the stream that a query writes.
    fn new_foreign_record(&mut self) {
        let record = self.record(self.time);
        self.topics.append(&topic("t"), record);
    }

    fn record(&mut self, time: i64) -> Lying {
        Lying {
            key: format!("k{}", self.random.random_range(0..4)),
            value: queries::value(self.random.random_range(0..1000)),
            time,
            writer: -1,
        }
    }

    /// A commit was told of: it is never taken back.
    pub fn told(&mut self, number: u64) {
        self.told = self.told.max(number);
    }

    /// The commits that an owner begins with.
    pub fn check_opened(&mut self, number: u64) -> Check {
        match number < self.told {
            true => Err(format!("commit {} was told, {number} are there", self.told)),
            false => Ok(()),
        }
    }

    /// The windowed table is that of the records up to its own position, and one commit has one position.
    pub fn check_windowed(&mut self, number: u64, rows: &[String], position: Offset) -> Check {
        let records = self.topics.records(&topic("s"));
        let read = usize::try_from(position.0).unwrap();
        let expected = queries::windowed(&records[..read]);
        let found = queries::read_windowed(rows);
        if found != expected {
            return Err(format!(
                "as of commit {number} and {position} the table holds {found:?}, not {expected:?}"
            ));
        }
        let known = *self.positions.entry(number).or_insert(position);
        if known != position {
            return Err(format!("commit {number} is at {position}, it was at {known}"));
        }
        self.seen.add(Happening::Pull);
        Ok(())
    }

    /// Nothing fails any more: everything is read, counted once, flushed and trimmed.
    fn come_to_rest(&mut self) -> Check {
        self.quiet = true;
        while self.owners.len() > 1 {
            self.kill(0);
        }
        while !self.adrift.is_empty() {
            self.arrive();
        }
        let mut at_rest = false;
        for _ in 0..QUIET_STEPS {
            self.step += 1;
            self.now_ms += 400;
            self.act(0)?;
            let ends = self.ends();
            at_rest = self.owners[0].is_at_rest(&ends);
            if at_rest {
                break;
            }
        }
        if !at_rest {
            return Err("the shard does not come to rest".to_owned());
        }
        self.quiet = false;
        let mut owner = self.owners.remove(0);
        let checked = owner
            .check_windowed(self)
            .and_then(|()| self.check_counted(&mut owner));
        self.owners.push(owner);
        checked?;
        if self.log.len() > 0 {
            return Err(format!("{} pieces are left that were flushed", self.log.len()));
        }
        Ok(())
    }

    /// The stream that a query writes has every result, and its reader counts each once.
    fn check_counted(&mut self, owner: &mut Owner) -> Check {
        let (rows, _) = owner.table(COUNTED)?;
        let found = queries::read_counted(&rows);
        let foreign = self
            .topics
            .records(&topic("t"))
            .iter()
            .filter(|it| it.writer == -1);
        let expected = queries::counted(self.topics.records(&topic("s")).iter().chain(foreign));
        if found != expected {
            return Err(format!("the count is {found:?}, not {expected:?}"));
        }
        let (all, once) = (self.topics.records(&topic("t")), self.topics.records(&topic("s")));
        if all.iter().filter(|it| it.writer != -1).count() > once.len() {
            self.seen.add(Happening::Repeats);
        }
        Ok(())
    }

    /// What a fetch of `topic` would find as its end.
    pub fn ends(&self) -> Vec<(TopicName, Offset)> {
        ["s", "t"]
            .map(|name| (topic(name), self.topics.end(&topic(name))))
            .to_vec()
    }

    /// The table's name for the checks.
    pub const WINDOWED: &str = WINDOWED;
}
