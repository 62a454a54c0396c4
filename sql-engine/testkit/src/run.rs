//! Runs cases, each in every mode.

use crate::Report;
use crate::case::{Case, Step};
use crate::check;
use crate::world::{Broken, World};
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
    /// In random small turns, committed often.
    Split,
    /// The same, killed at random moments and restored from its last checkpoint.
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

/// What may be seen of the changes of a key in a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outputs {
    /// All, once.
    Exact,
    /// All, some again.
    Repeated,
    /// Some, the last one always.
    Coalesced,
}

/// How long a step may take: far more than any needs.
const STEP_MAX: Duration = Duration::from_secs(60);

/// Kills during one input, at most.
const KILLS_MAX: u32 = 3;

pub(crate) async fn all(cases: &[(PathBuf, Case)], seed: u64) -> Report {
    let mut report = Report::default();
    for (path, case) in cases {
        let runs = |mode: &&Mode| {
            case.modes
                .as_ref()
                .is_none_or(|modes| modes.iter().any(|m| m == mode.word()))
        };
        for mode in Mode::ALL.iter().filter(runs) {
            match one(path, case, *mode, seed).await {
                Ok(()) => report.passed += 1,
                Err(told) => report.failed.push(told),
            }
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
    let mut random = StdRng::seed_from_u64(seed);
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
    let coalesce = random.random();
    let settings = ShardSettings {
        coalesce,
        commit_interval: Duration::from_millis(random.random_range(1..5)),
        commit_rows: random.random_range(1..8),
        turn_rows: random.random_range(1..5),
        // About one record at a time, or several.
        fetch_bytes: random.random_range(1..200),
    };
    let outputs = match (mode, coalesce) {
        (_, true) => Outputs::Coalesced,
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
            world.produce(records).await?;
            if mode == Mode::Kill {
                for _ in 0..random.random_range(1..=KILLS_MAX) {
                    // Any moment will do: before the first row, between two commits, or when all is done.
                    tokio::time::sleep(Duration::from_micros(random.random_range(0..6_000))).await;
                    world.kill().await?;
                }
            } else if mode == Mode::Split && random.random_bool(0.2) {
                world.restart().await?;
            }
            world.settle().await
        }
        Step::Records { topic, records } => {
            world.settle().await?;
            check::records(records, &world.records(topic).await?, outputs)
        }
        // Its counts begin again at a restore.
        Step::Report { .. } if mode == Mode::Kill => Ok(()),
        Step::Report { sink, errors, late } => check::report(&world.reports().await?, sink, *errors, *late),
    }
}
