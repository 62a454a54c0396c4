//! Runs SQL cases from text files in process.
//!
//! A case file holds statements, inputs and the answers they must give; [`run_files`] runs each case whole, with its
//! input in random batches, and through kills and restores, and says where an answer differs.
//!
//! ```text
//! -- case: what it shows                    begins a case; other lines that begin with -- are remarks
//! -- modes: plain split                     not in all of: plain, split, kill
//! CREATE …;                                 a statement, to the line that ends with ; (auto.offset.reset is earliest)
//! = "a" | 1 | null                          … a row that it answers, in any order      =! in this order
//! # 3                                       … so many rows
//! ~ piece                                   … it says that
//! ! 1:8 piece                               … it fails at line 1, column 8, with a message that has the piece (- : no place)
//! > topic key="a" ts=10 partition=0 value={"V":1}      a record in; all are taken in before the next step
//! < TOPIC key="a"@0 ts=10 value={"N":1}     a record out: all of a topic, in order of each key
//! % SINK errors=1 late=2 keyless=0          what the query that writes it reports
//! ```
//! A key is `null`, `"text"`, `int:1`, `bigint:1`, `double:1.5`, `hex:00ff` or JSON as it is; `@1000` behind it is a
//! window's start. The value `null` is a tombstone. `partition` and, for what comes in, `ts` may be left out.
//!
//! Modes: `plain`, all records of a step at once; `split`, in random batches, turns, fetches and commits; `kill`, the
//! same with the engine killed between and at random moments, changes coalesced or not. Tables must be equal in all;
//! topics too, except that after a kill a change may be there again or be coalesced with the next.
//!
//! Invariants: nothing but the file says what is right (worked out by hand from ksqlDB's rules, or by the batch
//! computation of `tests/oracle.rs`, never taken from an answer); a failure names the seed that shows it again.
//! Not here: the engine (`server`).

mod case;
mod cell;
mod check;
mod run;
mod world;

use std::path::PathBuf;

/// What a run of case files came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How many runs (a case in one mode) gave what was expected.
    pub passed: usize,
    /// One text for each run that did not: the case, file and line, mode and seed, expected and got.
    pub failed: Vec<String>,
}

/// Why case files could not be run at all.
#[derive(Debug, thiserror::Error)]
pub enum RunFilesError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not in the format of case files.
    #[error("{path}:{line}: {problem}", path = .path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// The machine gives no thread for a runtime.
    #[error("no thread to run on: {0}")]
    Runtime(std::io::Error),
}

/// Runs every case of these files in every mode, with a seed of the day.
///
/// # Errors
///
/// Fails only if a file cannot be read or is not in the format; a case that fails is in the report.
pub fn run_files(paths: &[PathBuf]) -> Result<Report, RunFilesError> {
    run_files_with_seed(paths, rand::random())
}

/// As [`run_files`], with a seed that a failure named.
///
/// # Errors
///
/// As [`run_files`].
pub fn run_files_with_seed(paths: &[PathBuf], seed: u64) -> Result<Report, RunFilesError> {
    let read = |path: &PathBuf| {
        let text = std::fs::read_to_string(path);
        text.map(|text| (path.clone(), text))
            .map_err(|source| RunFilesError::Read {
                path: path.clone(),
                source,
            })
    };
    run_texts(&paths.iter().map(read).collect::<Result<Vec<_>, _>>()?, seed)
}

/// As [`run_files`], for texts that are at hand, each with the name to tell.
///
/// # Errors
///
/// Fails only if a text is not in the format.
pub fn run_texts(texts: &[(PathBuf, String)], seed: u64) -> Result<Report, RunFilesError> {
    let mut cases = Vec::new();
    for (path, text) in texts {
        let read = case::read(text).map_err(|wrong| RunFilesError::Format {
            path: path.clone(),
            line: wrong.line,
            problem: wrong.problem,
        })?;
        cases.extend(read.into_iter().map(|case| (path.clone(), case)));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(RunFilesError::Runtime)?;
    Ok(runtime.block_on(run::all(&cases, seed)))
}

/// How many cases a text holds, and how many of them expect a statement to fail.
///
/// # Errors
///
/// Fails if the text is not in the format.
pub fn count_cases(text: &str) -> Result<(usize, usize), RunFilesError> {
    let cases = case::read(text).map_err(|wrong| RunFilesError::Format {
        path: PathBuf::new(),
        line: wrong.line,
        problem: wrong.problem,
    })?;
    let fails = |case: &&case::Case| {
        case.steps
            .iter()
            .any(|(_, step)| matches!(step, case::Step::Ask(asked) if asked.fails.is_some()))
    };
    Ok((cases.len(), cases.iter().filter(fails).count()))
}
