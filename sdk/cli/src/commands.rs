//! The commands: one file per noun.

mod consume;
mod group;
mod key;
mod org;
mod produce;
mod profile;
mod quota;
mod sql;
mod topic;
mod whoami;

use crate::connection::ConnectionArgs;
use crate::failure::Failure;
use clap::Subcommand;

/// What a client can ask for.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Organisations, environments and virtual clusters
    Org(org::OrgArgs),
    /// API keys
    Key(key::KeyArgs),
    /// Topics
    Topic(topic::TopicArgs),
    /// Consumer groups
    Group(group::GroupArgs),
    /// Quotas
    Quota(quota::QuotaArgs),
    /// Sends lines of standard input as records
    Produce(produce::ProduceArgs),
    /// Prints a topic's records
    Consume(consume::ConsumeArgs),
    /// The SQL shell; -e and -f run statements instead
    Sql(sql::SqlArgs),
    /// Named addresses and keys, kept in ~/.config/millstream/config.toml (or $MILLSTREAM_CONFIG)
    Profile(profile::ProfileArgs),
    /// Says who the key is
    Whoami,
}

impl Command {
    /// The case files of `millstream sql test`: they need no service, and an engine that only the binary has.
    pub fn sql_cases(&self) -> Option<&[std::path::PathBuf]> {
        match self {
            Command::Sql(args) => args.cases(),
            _ => None,
        }
    }
}

/// Runs a client command.
///
/// # Errors
/// One line for the person at the terminal.
pub async fn run(command: Command, connection: ConnectionArgs) -> Result<(), Failure> {
    let output = connection.output;
    if let Command::Profile(args) = command {
        return profile::run(&args, &connection, output);
    }
    let resolved = connection.resolve()?;
    let client = resolved.client()?;
    let ended = match command {
        Command::Org(args) => org::run(&client, args, output).await,
        Command::Key(args) => key::run(&client, args, output).await,
        Command::Topic(args) => topic::run(&client, args, output).await,
        Command::Group(args) => group::run(&client, args, output).await,
        Command::Quota(args) => quota::run(&client, args, output).await,
        Command::Produce(args) => produce::run(&client, args, output).await,
        Command::Consume(args) => consume::run(&client, args, output).await,
        Command::Sql(args) => sql::run(&client, args, output).await,
        Command::Whoami => whoami::run(&client, output).await,
        // Answered above: it needs no key.
        Command::Profile(_) => Ok(()),
    };
    ended.map_err(|failure| failure.at(&resolved.address))
}

/// Parses `name=value`.
fn name_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.to_owned())),
        _ => Err(format!("'{text}' is not NAME=VALUE")),
    }
}
