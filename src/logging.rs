//! Log lines on standard error: text for people, JSON for machines.

use crate::settings::{LogFormat, Settings};
use millstream_cli::Failure;
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging.
///
/// # Errors
/// When the filter does not read.
pub fn init(settings: &Settings) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&settings.log)
        .map_err(|error| Failure::new(format!("--log '{}' is not a filter: {error}", settings.log)))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        // A log that nobody reads any more is no reason to stop serving, which complaining of it there would be.
        .log_internal_errors(false)
        .with_writer(std::io::stderr);
    let started = match settings.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| Failure::new(format!("logging cannot be started: {error}")))
}
