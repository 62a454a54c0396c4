//! The command line as clap reads it.

use crate::settings::StartArgs;
use clap::{Args, Parser, Subcommand};
use millstream_cli::{Command, ConnectionArgs, demo};

/// Kafka's protocol in front, continuous SQL inside, an object store underneath.
#[derive(Parser, Debug)]
#[command(name = "millstream", version, propagate_version = true)]
pub struct Arguments {
    #[command(flatten, next_help_heading = "Client options")]
    pub connection: ConnectionArgs,
    #[command(subcommand)]
    pub command: TopCommand,
}

#[derive(Subcommand, Debug)]
pub enum TopCommand {
    /// Starts the service
    Start(StartArgs),
    /// Starts the service and shows it at work on a month of real flights
    Demo(DemoCommand),
    /// Makes a new administrator's key for a service that is not running, when the first one was lost
    AdminKey(StartArgs),
    #[command(flatten)]
    Client(Command),
}

/// `millstream demo`: the demo's own flags and the service's.
#[derive(Args, Debug)]
pub struct DemoCommand {
    #[command(flatten)]
    pub demo: demo::DemoArgs,
    #[command(flatten, next_help_heading = "Service options")]
    pub start: StartArgs,
}

#[cfg(test)]
mod tests {
    use super::Arguments;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
