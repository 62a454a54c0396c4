//! A process that owns the shard, or thinks so: the production code, and what it has asked for.

use super::Happening;
use super::outside::ONLY;
use super::world::{Check, World, topic};
use bytes::Bytes;
use millstream_model::{Offset, OwnerEpoch, PartitionIndex, ProducerId, TopicName};
use millstream_runtime::{Done, ShardCore, StreamRecord, StreamsError, Todo, WrittenTo};
use millstream_state::{CommitInput, CommitOutput, Commits, Layer, StopReason, Tag};
use rand::Rng;
use std::sync::Arc;

/// Bytes of a piece: small, so that most runs have several.
const PIECE_BYTES: usize = 120;

pub type Writes = Vec<(TopicName, Vec<(PartitionIndex, Vec<StreamRecord>)>)>;

/// What is under way.
pub enum Request {
    Fence,
    OpenDatabase,
    Read(Offset),
    OpenWriter,
    Write(ProducerId, Writes),
    Log,
    Append(OwnerEpoch, Bytes),
    Flush(Arc<Layer>, Tag),
    Trim(Offset),
}

pub struct Owner {
    pub name: u32,
    core: ShardCore,
    /// Its number as the database's writer.
    opened: u64,
    writer: Option<ProducerId>,
    under_way: Vec<Request>,
    ready: bool,
    fenced: bool,
    /// No commit is tried before this step of its own.
    patience: u32,
}

impl Owner {
    pub fn new(name: u32, world: &World) -> Self {
        let commits = Commits::with(world.commit_plants, PIECE_BYTES);
        let mut owner = Self {
            name,
            core: ShardCore::with(world.core_plants, commits),
            opened: 0,
            writer: None,
            under_way: Vec::new(),
            ready: false,
            fenced: false,
            patience: 0,
        };
        let outputs = owner.core.step(CommitInput::Open);
        owner.ask_all(outputs);
        owner
    }

    pub fn is_fenced(&self) -> bool {
        self.fenced
    }

    pub fn requests(self) -> Vec<Request> {
        self.under_way
    }

    /// Everything is read, committed, flushed, and nothing is under way.
    pub fn is_at_rest(&mut self, ends: &[(TopicName, Offset)]) -> bool {
        for (name, end) in ends {
            self.core.learn_end(name, ONLY, *end);
        }
        let read = self.core.wants().is_empty();
        let flushed = self.core.flush_at_ms().is_none();
        self.ready && read && flushed && self.under_way.is_empty() && !self.core.is_dirty()
    }

    pub fn table(&mut self, query: &str) -> Result<(Vec<String>, Vec<Offset>), String> {
        self.core.table(query).map_err(|error| error.to_string())
    }

    /// One step: something that was asked for happens, or something is asked for.
    pub fn act(&mut self, world: &mut World) -> Check {
        self.patience = self.patience.saturating_sub(1);
        let busy = !self.under_way.is_empty();
        if busy && (!self.ready || world.random.random_bool(0.6)) {
            return self.serve(world);
        }
        let outputs = self.core.step(CommitInput::Tick { now_ms: world.now_ms });
        self.ask_all(outputs);
        if !self.ready {
            return Ok(());
        }
        if world.chance(20) {
            self.check_windowed(world)?;
        }
        for (name, end) in world.ends() {
            self.core.learn_end(&name, ONLY, end);
        }
        let wants = self.core.wants();
        for (query, name, partition, from) in wants {
            let count = world.random.random_range(1..6);
            let part = world.topics.fetch(&name, from, count);
            self.core.fetched(query, partition, from, part);
        }
        let rows = world.random.random_range(1..5);
        self.core.turn(rows);
        let commit = self.patience == 0 && self.core.is_dirty() && !self.core.is_committing();
        if commit && world.random.random_bool(0.3) {
            let todo = self.core.begin();
            return self.go_on(todo, world);
        }
        Ok(())
    }

    pub fn check_windowed(&mut self, world: &mut World) -> Check {
        let (rows, positions) = self.table(World::WINDOWED)?;
        world.check_windowed(self.core.commit_number(), &rows, positions[0])
    }

    fn ask_all(&mut self, outputs: Vec<CommitOutput>) {
        for output in outputs {
            let request = match output {
                CommitOutput::Fence => Request::Fence,
                CommitOutput::OpenDatabase => Request::OpenDatabase,
                CommitOutput::Read { from } => Request::Read(from),
                CommitOutput::Flush { changes, tag } => Request::Flush(changes, tag),
                CommitOutput::Trim { before } => Request::Trim(before),
                CommitOutput::Stop(_) => {
                    self.fenced = true;
                    continue;
                }
                other => unreachable!("{other:?} outside a commit"),
            };
            self.under_way.push(request);
        }
    }

    fn go_on(&mut self, todo: Todo, world: &mut World) -> Check {
        let request = match todo {
            Todo::OpenWriter => Request::OpenWriter,
            Todo::Write(writes) => Request::Write(self.writer.expect("it is open"), writes),
            Todo::Log(_) => Request::Log,
            Todo::Append { epoch, piece } => Request::Append(epoch, piece),
            Todo::Committed => {
                let number = self.core.commit_number();
                world.note(|| format!("owner {} has made commit {number}", self.name));
                world.told(number);
                world.seen.add(Happening::Commit);
                return Ok(());
            }
            Todo::Later(reason) => {
                world.note(|| format!("owner {} tries later: {reason}", self.name));
                self.patience = 3;
                return Ok(());
            }
        };
        self.under_way.push(request);
        Ok(())
    }

    /// Something that was asked for happens: as asked, or not, or nobody knows.
    fn serve(&mut self, world: &mut World) -> Check {
        let at = world.random.random_range(0..self.under_way.len());
        match self.under_way.remove(at) {
            Request::Fence => {
                let (epoch, start, end) = world.log.fence();
                world.note(|| format!("owner {} has {epoch}, the log is {start} to {end}", self.name));
                if world.chance(10) {
                    // The answer was lost.
                    self.under_way.push(Request::Fence);
                    return Ok(());
                }
                self.opening(CommitInput::Fenced { epoch, start, end }, world)
            }
            Request::OpenDatabase => {
                self.opened = world.database.open();
                let tag = world.database.tag;
                self.opening(CommitInput::Opened { tag }, world)
            }
            Request::Read(from) => {
                let count = world.random.random_range(1..6);
                let Some((pieces, next)) = world.log.read(from, count) else {
                    // Somebody who came later has flushed more meanwhile.
                    self.fenced = true;
                    return Ok(());
                };
                self.opening(CommitInput::Read { pieces, next }, world)
            }
            Request::OpenWriter => {
                let writer = world.topics.open_writer();
                self.writer = Some(writer);
                let todo = self.core.done(Done::Writer(Ok(writer)));
                self.go_on(todo, world)
            }
            Request::Write(writer, writes) => self.write(writer, writes, world),
            Request::Log => {
                let todo = self.core.done(Done::Logged(Ok(())));
                self.go_on(todo, world)
            }
            Request::Append(epoch, piece) => self.append(epoch, piece, world),
            Request::Flush(changes, tag) => self.flush(&changes, tag, world),
            Request::Trim(before) => {
                if !world.chance(20) {
                    world.log.trim(before);
                    world.seen.add(Happening::Trim);
                    world.note(|| format!("the log is trimmed to {before}"));
                }
                Ok(())
            }
        }
    }

    /// Opening goes on; when it is done, the queries come in.
    fn opening(&mut self, input: CommitInput, world: &mut World) -> Check {
        for output in self.core.step(input) {
            match output {
                CommitOutput::Ready => {
                    let database = &world.database;
                    let read = |prefix: &[u8]| database.scan(prefix);
                    self.core.ready(read).map_err(|error| error.to_string())?;
                    for spec in world.specs.clone() {
                        self.core.enter(spec, read).map_err(|error| error.to_string())?;
                    }
                    self.ready = true;
                    let number = self.core.commit_number();
                    world.note(|| format!("owner {} begins with commit {number}", self.name));
                    world.check_opened(number)?;
                    if number > 0 {
                        world.seen.add(Happening::Restored);
                        self.check_windowed(world)?;
                    }
                }
                CommitOutput::Stop(StopReason::Damaged(reason)) => return Err(reason),
                other => self.ask_all(vec![other]),
            }
        }
        Ok(())
    }

    fn write(&mut self, writer: ProducerId, writes: Writes, world: &mut World) -> Check {
        let mut outcomes = Vec::new();
        for (name, parts) in writes {
            let mut of_topic = Vec::new();
            for (_, records) in parts {
                let unclear = world.chance(12);
                if unclear && world.chance(50) {
                    world.seen.add(Happening::UnclearResults);
                    let adrift = super::world::Adrift::Write(name.clone(), writer, records);
                    world.adrift.push(adrift);
                    of_topic.push(Err(no_answer()));
                    continue;
                }
                let end = world.topics.produce(&name, writer, &records);
                world.note(|| format!("owner {} writes {name} up to {end}", self.name));
                let to = WrittenTo {
                    end: Some(end),
                    refused: Vec::new(),
                };
                of_topic.push(if unclear { Err(no_answer()) } else { Ok(to) });
            }
            outcomes.push(of_topic);
        }
        let todo = self.core.done(Done::Written(outcomes));
        self.go_on(todo, world)
    }

    fn append(&mut self, epoch: OwnerEpoch, piece: Bytes, world: &mut World) -> Check {
        let answer = if world.chance(8) {
            // It was not appended, or will be.
            world.seen.add(Happening::UnclearAppend);
            world.set_adrift(Request::Append(epoch, piece));
            Err("no answer".to_owned())
        } else {
            let Some(at) = world.log.append(epoch, piece) else {
                let outputs = self.core.step(CommitInput::OwnerMet);
                self.ask_all(outputs);
                return Ok(());
            };
            world.note(|| format!("owner {} appends at {at}", self.name));
            match world.chance(8) {
                true => Err("no answer".to_owned()),
                false => Ok(at),
            }
        };
        let todo = self.core.done(Done::Appended(answer));
        self.go_on(todo, world)
    }

    fn flush(&mut self, changes: &Layer, tag: Tag, world: &mut World) -> Check {
        let input = if world.chance(15) {
            world.seen.add(Happening::FailedFlush);
            let random = world.random.random();
            CommitInput::FlushFailed { random }
        } else if !world.database.flush(self.opened, changes, tag) {
            CommitInput::OwnerMet
        } else {
            world.seen.add(Happening::Flush);
            world.note(|| format!("owner {} has flushed {tag:?}", self.name));
            // The flush is durable, but its answer may be lost.
            match world.chance(5) {
                true => CommitInput::FlushFailed {
                    random: world.random.random(),
                },
                false => CommitInput::Flushed,
            }
        };
        let outputs = self.core.step(input);
        self.ask_all(outputs);
        Ok(())
    }
}

fn no_answer() -> StreamsError {
    StreamsError::Unavailable {
        reason: format!("no answer for {}", topic("t")),
    }
}
