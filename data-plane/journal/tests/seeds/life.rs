//! One life of a journal: what happens to it, and the checks after each restart.

use crate::mender;
use crate::model::{GROUPS, State};
use millstream_journal::sim::SimDisk;
use millstream_journal::{
    CommitError, Disk, Ending, Framed, Journal, OpenError, Planted, Position, Preparer, Record, Settings,
};
use millstream_model::{GroupId, Lsn};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fmt::Write;
use std::sync::Arc;

const STEPS: usize = 80;
/// The smallest that may be, and one that a start on a full disk can divide.
const FILE_BYTES: [u32; 2] = [64 * 1024, 128 * 1024];

/// What a life was like.
pub struct Life {
    /// Everything that happened, to compare two runs.
    pub trace: String,
    pub seen: Seen,
}

/// What happened, to know that the tests test something.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    commits: usize,
    crashes: usize,
    kills: usize,
    closes: usize,
    full: usize,
    failed: usize,
    flips: usize,
    spoils: usize,
    damages: usize,
    mended: usize,
    filled: usize,
    mended_again: usize,
    mended_unanswered: usize,
    unanswered_kept: usize,
    unanswered_lost: usize,
    recycled: usize,
}

impl Seen {
    pub fn add(&mut self, other: &Seen) {
        self.commits += other.commits;
        self.crashes += other.crashes;
        self.kills += other.kills;
        self.closes += other.closes;
        self.full += other.full;
        self.failed += other.failed;
        self.flips += other.flips;
        self.spoils += other.spoils;
        self.damages += other.damages;
        self.mended += other.mended;
        self.filled += other.filled;
        self.mended_again += other.mended_again;
        self.mended_unanswered += other.mended_unanswered;
        self.unanswered_kept += other.unanswered_kept;
        self.unanswered_lost += other.unanswered_lost;
        self.recycled += other.recycled;
    }

    pub fn assert_everything_happened(&self) {
        println!("{self:?}");
        let all = [
            self.commits,
            self.crashes,
            self.kills,
            self.closes,
            self.full,
            self.failed,
            self.flips,
            self.spoils,
            self.damages,
            self.mended,
            self.filled,
            self.mended_again,
            self.unanswered_kept,
            self.unanswered_lost,
            self.recycled,
        ];
        assert!(
            all.iter().all(|count| *count > 10),
            "something hardly happens: {self:?}"
        );
    }
}

/// Lives one life; an error is what the checker found.
pub fn live(seed: u64, planted: Planted) -> Result<Life, String> {
    let random = StdRng::seed_from_u64(seed);
    let mut world = World {
        random,
        disk: SimDisk::new(u64::MAX),
        planted,
        file_bytes: FILE_BYTES[usize::from(seed % 4 == 3)],
        sure: State::default(),
        maybe: None,
        mended: None,
        places: Vec::new(),
        last_commit: 0,
        flipped: false,
        spoilt: false,
        trace: String::new(),
        seen: Seen::default(),
    };
    match world.run() {
        Ok(()) => {}
        Err(what) => return Err(format!("{what}\n{}", world.trace)),
    }
    for (name, _) in world.disk.files() {
        let sum = crc_fast::crc32_iscsi(&world.disk.contents(&name).unwrap_or_default());
        let _ = writeln!(world.trace, "{name} {sum:08x}");
    }
    Ok(Life {
        trace: world.trace,
        seen: world.seen,
    })
}

struct World {
    random: StdRng,
    disk: SimDisk,
    planted: Planted,
    file_bytes: u32,
    /// What was acknowledged or reported.
    sure: State,
    /// What the unanswered commit would make of it.
    maybe: Option<State>,
    /// What the unanswered mending would make of it: all of it or nothing.
    mended: Option<State>,
    /// Entries' places and commits, for flips.
    places: Vec<(u64, Position)>,
    last_commit: u64,
    flipped: bool,
    /// Sectors stay bad until they are written: behind a torn commit, where nobody knows what they held, also later on.
    spoilt: bool,
    trace: String,
    seen: Seen,
}

/// The process that runs the journal.
struct Process {
    journal: Journal<SimDisk>,
    preparer: Preparer<SimDisk>,
}

impl World {
    fn run(&mut self) -> Result<(), String> {
        let mut process = self.open()?;
        for _ in 0..STEPS {
            process = self.step(process)?;
        }
        drop(process);
        self.disk = self.disk.crash(&mut self.random);
        self.open().map(|_| ())
    }

    fn step(&mut self, mut process: Process) -> Result<Process, String> {
        match self.random.random_range(0..100) {
            0..50 => self.commit(&mut process)?,
            50..60 => self.release(&mut process),
            60..64 => drop(process.journal.idle()),
            64..74 => {
                let _ = process.preparer.step();
            }
            74..80 => self.check(&process)?,
            80..83 => self.disk.fail_sync(self.random.random_range(1..6)),
            83..85 => self.disk.fail_write(self.random.random_range(1..6)),
            85..90 => self.disk.cut_power(self.random.random_range(1..12)),
            90..92 => {
                let room: u64 = self.disk.files().iter().map(|(_, length)| length).sum();
                let more = if self.random.random() {
                    u64::MAX / 2
                } else {
                    u64::from(self.file_bytes) / 2
                };
                self.disk.resize(room + more);
            }
            92..98 => return self.restart(process),
            _ => {
                self.flip(&process);
                return self.restart(process);
            }
        }
        if process.journal.damage().is_some() {
            self.seen.failed += 1;
            return self.restart(process);
        }
        Ok(process)
    }

    fn commit(&mut self, process: &mut Process) -> Result<(), String> {
        let mut after = self.sure.clone();
        let count = self.random.random_range(1..4);
        let records: Vec<Framed> = (0..count)
            .map(|_| Framed::new(after.next(&mut self.random)))
            .collect();
        match process.journal.commit(&records) {
            Ok(committed) => {
                self.seen.commits += 1;
                self.sure = after;
                self.last_commit += 1;
                for (framed, position) in records.iter().zip(committed.positions) {
                    if let Record::Entry(_) = framed.record() {
                        self.places.push((self.last_commit, position));
                    }
                }
            }
            Err(CommitError::Full) => self.seen.full += 1,
            Err(CommitError::Damaged(_)) => self.maybe = Some(after),
            Err(error) => return Err(format!("a commit is refused: {error}")),
        }
        Ok(())
    }

    fn release(&mut self, process: &mut Process) {
        let id = GroupId(self.random.random_range(0..GROUPS));
        let group = self.sure.group(id);
        let end = group.entries.len() as u64;
        let up_to = self.random.random_range(group.released..=end);
        // Whatever comes of it, it may have been released.
        group.released = up_to;
        let before = process.journal.space().used;
        let _ = process.journal.release(id, Lsn(up_to));
        self.seen.recycled += usize::from(process.journal.space().used < before);
    }

    fn check(&mut self, process: &Process) -> Result<(), String> {
        self.disk.clear_faults();
        if process.journal.damage().is_some() || self.disk.list().is_err() {
            return Ok(());
        }
        self.sure.compare(&process.journal.reader())
    }

    /// Flips a bit in an entry behind which a later commit is durable, or makes its sector unreadable.
    fn flip(&mut self, process: &Process) {
        if process.journal.damage().is_some() {
            return;
        }
        let candidates: Vec<Position> = self
            .places
            .iter()
            .filter(|(at, _)| *at < self.last_commit)
            .map(|(_, place)| *place)
            .collect();
        if candidates.is_empty() {
            return;
        }
        let place = candidates[self.random.random_range(0..candidates.len())];
        let offset = u64::from(place.offset + self.random.random_range(0..place.length));
        for (name, _) in self.disk.files() {
            let head = self.disk.contents(&name).unwrap_or_default();
            let generation = head
                .get(24..32)
                .map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
            if name.starts_with("file-") && generation == Some(place.generation) {
                if self.random.random_range(0..4) == 0 {
                    self.seen.spoils += 1;
                    self.spoilt |= self.disk.spoil(&name, offset);
                } else {
                    self.seen.flips += 1;
                    self.flipped = self.disk.flip(&name, offset, self.random.random_range(0..8));
                }
            }
        }
    }

    fn restart(&mut self, process: Process) -> Result<Process, String> {
        let Process { journal, preparer } = process;
        drop(preparer);
        let way = self.random.random_range(0..10);
        if way < 2 && self.maybe.is_none() {
            self.seen.closes += 1;
            let _ = journal.close();
        } else {
            drop(journal);
        }
        if way < 6 {
            self.seen.crashes += 1;
            self.disk = self.disk.crash(&mut self.random);
        } else {
            self.seen.kills += 1;
            self.disk = self.disk.kill();
        }
        let _ = writeln!(
            self.trace,
            "restart {way} after {} operations",
            self.disk.operations()
        );
        self.open()
    }

    /// Opens the journal, through failures if need be, and checks what it has.
    fn open(&mut self) -> Result<Process, String> {
        if self.random.random_range(0..6) == 0 {
            self.disk.cut_power(self.random.random_range(1..60));
        }
        for _ in 0..20 {
            let settings = Settings {
                size_bytes: 6 * u64::from(self.file_bytes),
                file_bytes: self.file_bytes,
                commit_bytes_max: self.file_bytes as usize / 2,
                prepared_files: 1,
                seed: Some(self.random.random()),
                planted: self.planted,
            };
            let mut replayed = 0;
            match Journal::open(Arc::new(self.disk.clone()), settings, |_, _| replayed += 1) {
                Ok((journal, recovered)) => {
                    if replayed != recovered.records {
                        return Err(format!("{replayed} records replayed of {}", recovered.records));
                    }
                    let _ = writeln!(self.trace, "{recovered:?}");
                    let preparer = journal.preparer();
                    return self.judge(Process { journal, preparer }, &recovered.ending);
                }
                Err(OpenError::Full { .. }) => {
                    self.seen.full += 1;
                    self.disk.resize(u64::MAX);
                    self.disk = self.disk.kill();
                }
                Err(OpenError::Io { .. }) => self.disk = self.disk.crash(&mut self.random),
                Err(error) => return Err(format!("cannot be opened: {error}")),
            }
        }
        Err("cannot be opened at all".to_owned())
    }

    fn judge(&mut self, process: Process, ending: &Ending) -> Result<Process, String> {
        self.disk.clear_faults();
        let reader = process.journal.reader();
        if let Ending::Damaged(damage) = ending {
            if !self.flipped && !self.spoilt {
                return Err(format!("damaged although nothing was flipped: {damage}"));
            }
            self.seen.damages += 1;
            self.maybe = None;
            self.places.clear();
            return self.go_on(process);
        }
        if let Some(mended) = self.mended.take() {
            // The process died between the write that decides and the answer.
            self.seen.mended_unanswered += 1;
            self.sure = mended;
        }
        self.flipped = false;
        let maybe = self.maybe.take();
        match (self.sure.compare(&reader), maybe) {
            (Ok(()), maybe) => self.seen.unanswered_lost += usize::from(maybe.is_some()),
            (Err(_), Some(maybe)) if maybe.compare(&reader).is_ok() => {
                self.seen.unanswered_kept += 1;
                self.sure = maybe;
            }
            (Err(what), _) => return Err(format!("after a restart ({ending:?}): {what}")),
        }
        Ok(process)
    }

    /// Goes on with what precedes the damage, or with what is whole behind it, too.
    fn go_on(&mut self, mut process: Process) -> Result<Process, String> {
        let prefix = State::of(&process.journal.reader(), &self.sure);
        self.seen.mended_again += usize::from(self.mended.take().is_some());
        if self.random.random_range(0..3) == 0 {
            self.sure = prefix;
            if let Err(error) = process.journal.accept_loss() {
                if error == CommitError::Full {
                    self.disk.resize(u64::MAX);
                }
                return self.restart(process);
            }
            self.flipped = false;
            return Ok(process);
        }
        let plan = mender::plan(&process.journal).map_err(|error| error.to_string())?;
        let mut mended = prefix;
        plan.records.iter().for_each(|record| mended.apply(record));
        if self.random.random_range(0..3) == 0 {
            self.disk.cut_power(self.random.random_range(1..40));
        }
        if let Err(error) = plan.carry_out(&mut process.journal) {
            self.mended = Some(mended);
            if error == CommitError::Full {
                self.disk.resize(u64::MAX);
            }
            return self.restart(process);
        }
        self.disk.clear_faults();
        self.seen.mended += 1;
        self.seen.filled += plan.filled;
        self.flipped = false;
        self.sure = mended;
        self.sure.compare(&process.journal.reader())?;
        Ok(process)
    }
}
