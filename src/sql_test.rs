//! `millstream sql test FILE…`: runs SQL cases from text files in this process.

use millstream_cli::Failure;
use std::path::PathBuf;

/// Runs the cases and says which fail.
///
/// # Errors
/// When a file does not read or a case fails.
pub fn run(files: &[PathBuf]) -> Result<(), Failure> {
    let report = millstream_testkit::run_files(files).map_err(|error| Failure::new(error.to_string()))?;
    for failed in &report.failed {
        println!("{failed}\n");
    }
    println!("{} passed, {} failed", report.passed, report.failed.len());
    match report.failed.len() {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} cases failed"))),
    }
}
