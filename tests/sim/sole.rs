//! The only replica of its groups, and a journal that rots: a life on one simulated disk, damage in several places, the
//! operator who goes on (`broker::mend`), a process that may die in the middle of that. What was acknowledged is there, or
//! is told to be lost and was in a block that was hurt; nothing is given out again.

#[path = "sole/check.rs"]
mod check;
#[path = "sole/truth.rs"]
mod truth;

use millstream_broker::mend::{self, Before, Known, Report};
use millstream_broker::replica::Recovery;
use millstream_journal::sim::SimDisk;
use millstream_journal::{Ending, Framed, Journal, Position, Record, Recovered};
use millstream_model::{GroupId, Lsn, PartitionId, Registration, TenantId};
use millstream_partition::GroupState;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use truth::Truth;

const GROUPS: u32 = 3;
const STEPS: usize = 90;
const PAGE: u64 = 4096;
/// What the controller knows to be confirmed: without it the next start would be taken for one that was rolled back.
const CONFIRMED: Registration = Registration(3);

/// Bugs put in on purpose.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plant {
    pub mend: mend::Planted,
    pub journal: millstream_journal::Planted,
}

/// What happened, to know that the test tests something.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub damaged: usize,
    pub undamaged: usize,
    pub died: usize,
    pub lost: usize,
    pub unknown: usize,
    pub opened: usize,
    pub deleted: usize,
    pub producers: usize,
    pub beyond_snapshot: usize,
    pub within_snapshot: usize,
}

impl Seen {
    fn add(&mut self, other: Seen) {
        self.damaged += other.damaged;
        self.undamaged += other.undamaged;
        self.died += other.died;
        self.lost += other.lost;
        self.unknown += other.unknown;
        self.opened += other.opened;
        self.deleted += other.deleted;
        self.producers += other.producers;
        self.beyond_snapshot += other.beyond_snapshot;
        self.within_snapshot += other.within_snapshot;
    }
}

/// A block and the entries in it.
struct Block {
    entries: Vec<(GroupId, Lsn, Position)>,
}

struct Sole {
    random: StdRng,
    plant: Plant,
    disk: SimDisk,
    truths: BTreeMap<GroupId, Truth>,
    blocks: Vec<Block>,
    /// Entries that may be lost.
    hurt: BTreeSet<(GroupId, Lsn)>,
    spoilt: bool,
    /// What is lost, as the disk has it since it was mended: nobody was told.
    untold: Option<Report>,
    seen: Seen,
}

/// What a start finds.
struct Found {
    journal: Journal<SimDisk>,
    recovered: Recovered,
    recoveries: BTreeMap<GroupId, Recovery>,
}

impl Sole {
    fn settings(&mut self) -> millstream_journal::Settings {
        millstream_journal::Settings {
            size_bytes: 24 * 64 * 1024,
            file_bytes: 64 * 1024,
            commit_bytes_max: 16 * 1024,
            prepared_files: 1,
            seed: Some(self.random.random()),
            planted: self.plant.journal,
        }
    }

    fn open(&mut self) -> Result<Found, String> {
        let settings = self.settings();
        let snapshots = self.truths.iter();
        let mut recoveries: BTreeMap<GroupId, Recovery> = snapshots
            .map(|(id, truth)| (*id, Recovery::new(truth.snapshot.clone(), true)))
            .collect();
        let mut wrong = None;
        let disk = Arc::new(self.disk.clone());
        let opened = Journal::open(disk, settings, |_, record| {
            if let Some(recovery) = record.group().and_then(|id| recoveries.get_mut(&id))
                && let Err(error) = recovery.record(record)
            {
                wrong = Some(error.to_string());
            }
        });
        let (journal, recovered) = opened.map_err(|error| error.to_string())?;
        match wrong {
            Some(wrong) => Err(wrong),
            None => Ok(Found {
                journal,
                recovered,
                recoveries,
            }),
        }
    }

    fn live(&mut self) -> Result<(), String> {
        let mut journal = self.open()?.journal;
        for _ in 0..STEPS {
            match self.random.random_range(0..20) {
                0 => {
                    if self.random.random() {
                        journal.close().map_err(|error| error.to_string())?;
                    } else {
                        drop(journal);
                    }
                    self.disk = self.disk.kill();
                    self.truths.values_mut().for_each(Truth::restart);
                    journal = self.open()?.journal;
                }
                1 | 2 => {
                    let id = GroupId(self.random.random_range(0..GROUPS));
                    let truth = self.truths.entry(id).or_insert_with(|| Truth::new(id));
                    truth.snapshot = truth.state.clone();
                    let up_to = truth.snapshot.tiered_lsn();
                    journal.release(id, up_to).map_err(|error| error.to_string())?;
                }
                _ => self.commit(&mut journal)?,
            }
        }
        // What was written last can be told from a tear.
        journal.idle().map_err(|error| error.to_string())?;
        drop(journal);
        self.disk = self.disk.kill();
        Ok(())
    }

    fn commit(&mut self, journal: &mut Journal<SimDisk>) -> Result<(), String> {
        let mut entries = Vec::new();
        for _ in 0..self.random.random_range(1..5) {
            let id = GroupId(self.random.random_range(0..GROUPS));
            let truth = self.truths.entry(id).or_insert_with(|| Truth::new(id));
            entries.push(truth.next(&mut self.random));
        }
        let framed: Vec<Framed> = entries
            .iter()
            .map(|entry| Framed::new(Record::Entry(entry.clone())))
            .collect();
        let committed = journal.commit(&framed).map_err(|error| error.to_string())?;
        let places = entries.iter().zip(committed.positions);
        self.blocks.push(Block {
            entries: places
                .map(|(entry, place)| (entry.header.group, entry.header.lsn, place))
                .collect(),
        });
        Ok(())
    }

    /// Hurts one place; what may be lost with it is noted.
    fn hurt(&mut self) {
        let at = self.random.random_range(0..self.blocks.len());
        let block = &self.blocks[at];
        let (group, lsn, place) = block.entries[self.random.random_range(0..block.entries.len())];
        let Some(name) = self.file_of(place.generation) else {
            return;
        };
        let block = &self.blocks[at];
        let all = block.entries.iter().map(|(group, lsn, _)| (*group, *lsn));
        let (from, length) = (u64::from(place.offset), u64::from(place.length));
        match self.random.random_range(0..8) {
            0 => {
                // A page: what any block has on it.
                let page = (from + self.random.random_range(0..length)) / PAGE;
                self.hurt.extend(all);
                self.spoilt |= self.disk.spoil(&name, page * PAGE);
            }
            1 => {
                // The head of the block.
                let start = u64::from(block.entries[0].2.offset) - 64;
                self.hurt.extend(all);
                self.disk.flip(&name, start + self.random.random_range(0..64), 1);
            }
            2 => {
                // Both copies of the file's header: the blocks say what it was.
                for copy in [0, 2048] {
                    self.disk.flip(&name, copy + self.random.random_range(8..80), 1);
                }
            }
            3 => {
                // The record's frame and the head of its body: the rest of the block may go with it.
                self.hurt.extend(all);
                self.disk.flip(&name, from + self.random.random_range(0..96), 1);
            }
            _ if length > 96 => {
                // No more than its payload.
                self.hurt.insert((group, lsn));
                self.disk
                    .flip(&name, from + self.random.random_range(96..length), 1);
            }
            _ => {}
        }
    }

    fn file_of(&self, generation: u64) -> Option<String> {
        let names = self.disk.files().into_iter().map(|(name, _)| name);
        names.filter(|name| name.starts_with("file-")).find(|name| {
            let head = self.disk.contents(name).unwrap_or_default();
            let copy = |at: usize| head.get(at..at + 8) == Some(&generation.to_le_bytes()[..]);
            copy(24) || copy(2048 + 24)
        })
    }

    /// Goes on behind the damage, however often the process dies on the way; gives what is lost, nothing when there was no
    /// damage. A process that dies behind the write that decides has told nobody: the next one does.
    fn go_on(&mut self) -> Result<Option<Report>, String> {
        let mut was_damaged = false;
        loop {
            let found = self.open()?;
            if found.recovered.unfinished {
                self.untold = None;
            }
            if !matches!(found.recovered.ending, Ending::Damaged(_)) {
                drop(found);
                self.disk = self.disk.kill();
                return match (was_damaged, self.untold.take()) {
                    (true, None) => {
                        Err("it was mended, and nobody will ever be told what is lost".to_owned())
                    }
                    (_, untold) => Ok(untold),
                };
            }
            self.seen.damaged += usize::from(!was_damaged);
            was_damaged = true;
            let mended = self.mend(found);
            self.disk.clear_faults();
            if mended.is_ok() {
                self.disk = self.disk.kill();
                return Ok(self.untold.take());
            }
            self.seen.died += 1;
            self.disk = self.disk.crash(&mut self.random);
        }
    }

    /// Mends it, in a process that may die in the middle.
    fn mend(&mut self, found: Found) -> Result<(), String> {
        let Found {
            mut journal,
            recoveries,
            ..
        } = found;
        let before = |recovery: &Recovery| {
            let settled = recovery.settled();
            Before {
                is_blind: settled.is_none(),
                state: settled.unwrap_or_else(|| recovery.snapshot().clone()),
            }
        };
        let groups = recoveries.iter().map(|(id, it)| (*id, before(it))).collect();
        let catalog = |id: PartitionId| -> Option<(TenantId, i32)> {
            self.truths
                .values()
                .find_map(|truth| truth.opened.get(&id).copied())
        };
        let known = Known {
            groups,
            catalog: &catalog,
            registration: Some(CONFIRMED),
            planted: self.plant.mend,
        };
        if self.random.random_range(0..2) == 0 {
            self.disk.cut_power(self.random.random_range(1..400));
        }
        // In another file of the disk, beside what was mended before and not told.
        let untold = &mut self.untold;
        let keep = |report: &Report| {
            let mut all = untold.take().unwrap_or_default();
            let standing = report.standing.clone();
            all.extend(report.clone());
            *untold = Some(Report { standing, ..all });
            Ok(())
        };
        let mended = mend::mend(&mut journal, known, |_| {}, keep);
        mended.map(drop).map_err(|error| error.to_string())
    }

    fn run(&mut self) -> Result<(), String> {
        self.live()?;
        for _ in 0..self.random.random_range(1..5) {
            self.hurt();
        }
        self.disk = self.disk.kill();
        let told = self.go_on()?;
        let Some(told) = told else {
            self.seen.undamaged += 1;
            return Ok(());
        };
        let mut found = self.open()?;
        // A sector that cannot be read where the next block would be may have been one, until it is written.
        let is_damaged = |found: &Found| matches!(found.recovered.ending, Ending::Damaged(_));
        for _ in 0..3 {
            if is_damaged(&found) && self.spoilt {
                drop(found);
                self.disk = self.disk.kill();
                self.go_on()?;
                found = self.open()?;
            }
        }
        if is_damaged(&found) {
            return Err(format!("still damaged: {:?}", found.recovered.ending));
        }
        if found.recovered.registration != Some(CONFIRMED) {
            return Err(format!("the registration is {:?}", found.recovered.registration));
        }
        check::check(self, found, &told)
    }
}

/// Runs one seed.
pub fn run(seed: u64, plant: Plant) -> Result<Seen, String> {
    let mut sole = Sole {
        random: StdRng::seed_from_u64(seed),
        plant,
        disk: SimDisk::new(u64::MAX),
        truths: BTreeMap::new(),
        blocks: Vec::new(),
        hurt: BTreeSet::new(),
        spoilt: false,
        untold: None,
        seen: Seen::default(),
    };
    sole.run().map(|()| sole.seen)
}

/// A group's state as a start has it.
fn settled(recovery: Recovery) -> Result<GroupState, String> {
    let recovery = recovery.finish().map_err(|error| error.to_string())?;
    recovery
        .settled()
        .ok_or_else(|| "the journal does not reach back to the snapshot".to_owned())
}

/// How many seeds an ordinary run has.
const SEEDS: u64 = 200;

#[test]
fn a_sole_replica_goes_on_behind_damage() {
    let (first, count) = match std::env::var("MILLSTREAM_SIM_SEED").map(|seed| seed.parse()) {
        Ok(Ok(seed)) => (seed, 1),
        _ => (0, crate::number("MILLSTREAM_SIM_SEEDS").unwrap_or(SEEDS)),
    };
    let mut seen = Seen::default();
    for seed in first..first + count {
        match run(seed, Plant::default()) {
            Ok(more) => seen.add(more),
            Err(why) => panic!("seed {seed}: {why}"),
        }
    }
    println!("{seen:?}");
    let all = [
        seen.damaged,
        seen.died,
        seen.lost,
        seen.unknown,
        seen.opened,
        seen.producers,
        seen.beyond_snapshot,
        seen.within_snapshot,
    ];
    assert!(count < SEEDS || all.iter().all(|count| *count > 5), "{seen:?}");
    // Of many entries few delete something, and few of those are hurt.
    assert!(count < SEEDS || seen.deleted > 0, "{seen:?}");
}

#[test]
fn bugs_in_mending_are_found() {
    let plant = |mend| Plant {
        mend,
        ..Plant::default()
    };
    let none = mend::Planted::default();
    let plants = [
        plant(mend::Planted {
            tail_is_given_again: true,
            ..none
        }),
        plant(mend::Planted {
            known_batches_are_left_out: true,
            ..none
        }),
        plant(mend::Planted {
            gap_is_passed_over: true,
            ..none
        }),
        plant(mend::Planted {
            report_is_kept_last: true,
            ..none
        }),
        Plant {
            journal: millstream_journal::Planted::DraftCountsAtOnce,
            ..Plant::default()
        },
    ];
    for plant in plants {
        let found = (0..SEEDS).find_map(|seed| run(seed, plant).err().map(|why| (seed, why)));
        match found {
            Some((seed, why)) => println!("{plant:?} is found by seed {seed}: {why}"),
            None => panic!("{plant:?} is not found by {SEEDS} seeds"),
        }
    }
}
