//! The command line over the public API: administration, records, the SQL shell and the demo.
//!
//! In: parsed arguments ([`Command`]) and a [`Connection`] (flags, environment or a profile). Out: tables or JSON on
//! standard output, one line on standard error when something fails. Nothing here uses a private API: what the
//! command line can do, any client can.

mod commands;
mod connection;
pub mod demo;
mod failure;
pub mod kafka;
mod output;
mod profile;
mod script;
mod shell;

pub use commands::{Command, run};
pub use connection::{Connection, ConnectionArgs};
pub use failure::Failure;
pub use output::OutputFormat;
