//! Runs cases, each in every mode.

use crate::Report;
use crate::case::{Case, Record, Step};
use crate::check::{self, Outputs};
use crate::world::{Broken, World};
use futures::StreamExt;
use millstream_runtime::ShardSettings;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How a case runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// As it comes, every change of a table written.
    Plain,
    /// Its records in random batches, small turns and fetches, many commits; restarted now and then.
    Split,
    /// The same, killed at random moments and restored from its last checkpoint; changes coalesced or not.
    Kill,
}

impl Mode {
    const ALL: [Mode; 3] = [Mode::Plain, Mode::Split, Mode::Kill];

    fn word(self) -> &'static str {
        match self {
            Mode::Plain => "plain",
            Mode::Split => "split",
            Mode::Kill => "kill",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Runs side by side: most of a run is waiting for a commit.
const RUNS_AT_ONCE: usize = 8;

/// How long a step may take: far more than any needs.
const STEP_MAX: Duration = Duration::from_secs(60);

/// Kills behind one batch, at most.
const KILLS_MAX: u32 = 3;

pub(crate) async fn all(cases: &[(PathBuf, Case)], seed: u64) -> Report {
    let mut runs = Vec::new();
    for (path, case) in cases {
        let wanted = |mode: &Mode| {
            let modes = case.modes.as_ref();
            modes.is_none_or(|modes| modes.iter().any(|m| m == mode.word()))
        };
        runs.extend(
            Mode::ALL
                .into_iter()
                .filter(wanted)
                .map(|mode| one(path, case, mode, seed)),
        );
    }
    let mut report = Report::default();
    let mut outcomes = futures::stream::iter(runs).buffered(RUNS_AT_ONCE);
    while let Some(outcome) = outcomes.next().await {
        match outcome {
            Ok(()) => report.passed += 1,
            Err(told) => report.failed.push(told),
        }
    }
    report
}

async fn one(path: &Path, case: &Case, mode: Mode, seed: u64) -> Result<(), String> {
    let head = |line: usize| {
        format!(
            "case '{}', {}:{line}, mode {mode}, seed {seed}",
            case.name,
            path.display()
        )
    };
    // Cases of one seed draw differently, and as they would alone.
    let own = case.name.bytes().fold(seed ^ mode as u64, |hash, byte| {
        hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte)
    });
    let mut random = StdRng::seed_from_u64(own);
    let (settings, outputs) = settings(mode, &mut random);
    let mut world = World::open(settings)
        .await
        .map_err(|broken| format!("{}\n  {broken}", head(case.line)))?;
    let mut failed = None;
    for (line, step) in &case.steps {
        let made = tokio::time::timeout(STEP_MAX, make(&mut world, step, mode, outputs, &mut random)).await;
        let made = made.unwrap_or_else(|_| Err("it does not end".to_owned()));
        if let Err(told) = made {
            let parked = world
                .parked()
                .await
                .iter()
                .map(|text| format!("\n  {text}"))
                .collect::<String>();
            failed = Some(format!("{}\n  {told}{parked}", head(*line)));
            break;
        }
    }
    world.close().await;
    failed.map_or(Ok(()), Err)
}

fn settings(mode: Mode, random: &mut StdRng) -> (ShardSettings, Outputs) {
    let usual = ShardSettings {
        coalesce: false,
        commit_interval: Duration::from_millis(10),
        ..ShardSettings::default()
    };
    if mode == Mode::Plain {
        return (usual, Outputs::Exact);
    }
    let coalesce = mode == Mode::Kill && random.random();
    let settings = ShardSettings {
        coalesce,
        commit_interval: Duration::from_millis(random.random_range(1..5)),
        commit_rows: random.random_range(1..8),
        turn_rows: random.random_range(1..5),
        // About one record at a time, or several.
        fetch_bytes: random.random_range(1..200),
        ..usual
    };
    let outputs = match (mode, coalesce) {
        (Mode::Kill, true) => Outputs::Coalesced,
        (Mode::Kill, false) => Outputs::Repeated,
        _ => Outputs::Exact,
    };
    (settings, outputs)
}

async fn make(
    world: &mut World,
    step: &Step,
    mode: Mode,
    outputs: Outputs,
    random: &mut StdRng,
) -> Result<(), Broken> {
    match step {
        Step::Ask(asked) => {
            world.settle().await?;
            let answered = world.ask(&asked.text).await;
            check::answer(asked, &answered)
        }
        Step::Produce(records) => {
            produce(world, records, mode, random).await?;
            world.settle().await
        }
        Step::Records { topic, records } => {
            world.settle().await?;
            check::records(records, &world.records(topic).await?, outputs)
        }
        // An engine's counts begin with it.
        Step::Report { .. } if world.was_reopened() => Ok(()),
        Step::Report {
            sink,
            errors,
            late,
            keyless,
        } => check::report(&world.reports().await?, sink, [*errors, *late, *keyless]),
    }
}

/// Brings records in: at once, or in random batches with kills and restarts behind them.
async fn produce(
    world: &mut World,
    records: &[Record],
    mode: Mode,
    random: &mut StdRng,
) -> Result<(), Broken> {
    if mode == Mode::Plain {
        return world.produce(records).await;
    }
    let mut rest = records;
    while !rest.is_empty() {
        let (batch, more) = rest.split_at(random.random_range(1..=rest.len()));
        rest = more;
        world.produce(batch).await?;
        if mode == Mode::Kill {
            for _ in 0..random.random_range(0..=KILLS_MAX) {
                // Any moment will do: before the first row, between two commits, or when all is done.
                tokio::time::sleep(Duration::from_micros(random.random_range(0..6_000))).await;
                world.kill().await?;
            }
        } else if random.random_bool(0.2) {
            world.restart().await?;
        }
        // The next batch finds all of this one done, or not.
        if random.random() {
            world.settle().await?;
        }
    }
    if mode == Mode::Kill {
        world.kill().await?;
    }
    Ok(())
}
