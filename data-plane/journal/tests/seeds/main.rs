//! Random lives of a journal on the simulated disk, each from a seed: appends, truncations, releases, crashes, kills,
//! failing writes, full disks and flipped bits. The checker knows what was acknowledged.
#![allow(clippy::unwrap_used)]

mod life;
#[path = "../mender/plan.rs"]
mod mender;
mod model;

use life::live;
use millstream_journal::Planted;

/// The seeds of an ordinary run.
const SEEDS: u64 = 300;

#[test]
fn nothing_acknowledged_is_lost() {
    let mut seen = life::Seen::default();
    for seed in seeds() {
        match live(seed, Planted::None) {
            Ok(life) => seen.add(&life.seen),
            Err(what) => panic!("seed {seed}: {what}"),
        }
    }
    if std::env::var_os("JOURNAL_SEED").is_none() {
        seen.assert_everything_happened();
    }
}

#[test]
fn a_seed_replays_exactly() {
    for seed in 0..20 {
        assert_eq!(
            live(seed, Planted::None).unwrap().trace,
            live(seed, Planted::None).unwrap().trace
        );
    }
}

#[test]
fn every_planted_bug_is_found() {
    for planted in Planted::ALL {
        if planted == Planted::None {
            continue;
        }
        let found = (0..SEEDS).find_map(|seed| live(seed, planted).err().map(|what| (seed, what)));
        match found {
            Some((seed, what)) => println!("{planted:?} by seed {seed}: {what}"),
            None => panic!("{planted:?} is not found in {SEEDS} seeds"),
        }
    }
}

/// All seeds, or the one in `JOURNAL_SEED`, or as many as `JOURNAL_SEEDS` says.
fn seeds() -> std::ops::Range<u64> {
    match std::env::var("JOURNAL_SEED").map(|seed| seed.parse::<u64>()) {
        Ok(Ok(seed)) => seed..seed + 1,
        _ => {
            let count = std::env::var("JOURNAL_SEEDS")
                .ok()
                .and_then(|count| count.parse().ok());
            0..count.unwrap_or(SEEDS)
        }
    }
}
