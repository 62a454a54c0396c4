//! The commits of a SQL shard: the production code (`runtime`'s shard core, `state`'s machine) with its queries, over a
//! changelog, a database and topics by contract; killed between any two steps, taken over while it is paused, with
//! answers that get lost and requests that arrive late.

#[path = "sql/outside.rs"]
mod outside;
#[path = "sql/owner.rs"]
mod owner;
#[path = "sql/queries.rs"]
mod queries;
#[path = "sql/world.rs"]
mod world;

use crate::plant::Plant;
use crate::{number, planted};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::World;

/// How many seeds an ordinary run has.
const SEEDS: u64 = 100;

/// Something that must happen in a hundred runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Happening {
    Kill,
    TakeOver,
    Fenced,
    Commit,
    UnclearAppend,
    LateAppend,
    RefusedAppend,
    UnclearResults,
    LateResults,
    Repeats,
    Flush,
    FailedFlush,
    Trim,
    Restored,
    Pull,
}

const HAPPENINGS: [Happening; 15] = [
    Happening::Kill,
    Happening::TakeOver,
    Happening::Fenced,
    Happening::Commit,
    Happening::UnclearAppend,
    Happening::LateAppend,
    Happening::RefusedAppend,
    Happening::UnclearResults,
    Happening::LateResults,
    Happening::Repeats,
    Happening::Flush,
    Happening::FailedFlush,
    Happening::Trim,
    Happening::Restored,
    Happening::Pull,
];

/// What happened, and how often.
#[derive(Debug, Default)]
pub struct Seen(BTreeMap<Happening, u64>);

impl Seen {
    pub fn add(&mut self, happening: Happening) {
        *self.0.entry(happening).or_default() += 1;
    }
}

/// What went wrong, the trace, and what happened.
fn run(seed: u64, plant: Plant, trace: bool) -> (Result<(), String>, String, Seen) {
    let mut world = World::new(seed, plant.shard(), plant.commits(), trace);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    let outcome = outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    });
    (outcome, world.take_trace(), world.seen)
}

#[test]
fn random_seeds_of_sql_commits() {
    let plant = planted();
    if let Some(seed) = number("MILLSTREAM_SIM_SEED") {
        let (outcome, trace, _) = run(seed, plant, true);
        println!("{trace}");
        return assert_eq!(outcome, Ok(()), "seed {seed}");
    }
    let first = number("MILLSTREAM_SIM_FIRST").unwrap_or(0);
    let count = number("MILLSTREAM_SIM_SEEDS").unwrap_or(SEEDS);
    let (mut bad, mut seen) = (Vec::new(), Seen::default());
    for seed in first..first + count {
        let (outcome, _, happened) = run(seed, plant, false);
        bad.extend(outcome.err().map(|why| format!("seed {seed}: {why}")));
        for (happening, times) in happened.0 {
            *seen.0.entry(happening).or_default() += times;
        }
    }
    assert!(
        bad.is_empty(),
        "{} of {count} seeds fail:\n{}\nreplay: MILLSTREAM_SIM_SEED=<seed> cargo test --test sim random_seeds_of_sql -- --nocapture",
        bad.len(),
        bad.join("\n")
    );
    println!("{seen:?}");
    if count >= SEEDS {
        let missing: Vec<&Happening> = HAPPENINGS.iter().filter(|it| !seen.0.contains_key(it)).collect();
        assert!(missing.is_empty(), "never happens, so is not tested: {missing:?}");
    }
}

#[test]
fn one_seed_of_sql_commits_twice_is_the_same_run() {
    let (first, again) = (run(7, Plant::None, true), run(7, Plant::None, true));
    assert_eq!(first.0, Ok(()));
    assert!(first.1.lines().count() > 100, "a run does something");
    assert!(first.1 == again.1, "it ran differently the second time");
}

/// Ordinary seeds and the ordinary checks must find the bug.
pub fn finds(plant: Plant, within: u64) {
    let found = (0..within).find_map(|seed| run(seed, plant, false).0.err().map(|why| (seed, why)));
    let Some((seed, why)) = found else {
        panic!("{plant:?} was not found by {within} seeds")
    };
    println!("{plant:?} is found by seed {seed}: {why}");
}
