//! Every case file of this crate, in every mode.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

fn case_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .collect();
    files.sort();
    files
}

/// With `SQL_CASES=name` only the files whose names contain it; with `SQL_SEED=n` other batches and kills.
#[test]
fn every_case_gives_what_it_must() {
    let only = std::env::var("SQL_CASES").unwrap_or_default();
    let seed = std::env::var("SQL_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or(0);
    let mut files = case_files();
    files.retain(|path| path.display().to_string().contains(&only));
    let report = millstream_testkit::run_files_with_seed(&files, seed).unwrap();
    assert!(
        report.failed.is_empty(),
        "{} runs passed, {} failed:\n\n{}\n",
        report.passed,
        report.failed.len(),
        report.failed.join("\n\n")
    );
    assert!(report.passed > 0, "no case has run");
}

#[test]
fn there_are_enough_cases() {
    let (mut all, mut negative) = (0, 0);
    for path in case_files() {
        let text = std::fs::read_to_string(&path).unwrap();
        let (cases, fail) = millstream_testkit::count_cases(&text).unwrap();
        all += cases;
        negative += fail;
    }
    assert!(negative >= 40, "{negative} negative cases");
    assert!(
        all - negative >= 110,
        "{} cases that are not negative",
        all - negative
    );
}
