//! The command line as clap reads it.

use crate::settings::StartArgs;
use crate::store_check::StoreCommand;
use clap::error::ErrorKind;
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
    /// The object store behind a node
    Store {
        #[command(subcommand)]
        command: StoreCommand,
    },
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

/// A mistake in the arguments as one line that says what to do; none for help and version, which are none.
pub fn mistake(error: &clap::Error) -> Option<String> {
    let help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if help || !error.use_stderr() {
        return None;
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    // Paragraphs: what is wrong, tips, usage, where help is.
    let paragraphs = text.split("\n\n").map(|paragraph| {
        let lines: Vec<&str> = paragraph.lines().map(str::trim).collect();
        let line = lines.join(" ");
        match line.strip_prefix("Usage: ") {
            Some(usage) => format!("usage: {usage}"),
            None => line,
        }
    });
    let told: Vec<String> = paragraphs
        .map(|it| it.trim_end_matches('.').to_owned())
        .filter(|it| !it.is_empty())
        .collect();
    Some(told.join("; "))
}

#[cfg(test)]
mod tests {
    use super::{Arguments, mistake};
    use clap::{CommandFactory, Parser};

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn help_documents_every_flag_of_every_command() {
        let mut command = Arguments::command();
        command.build();
        let mut left = vec![&command];
        while let Some(command) = left.pop() {
            assert!(
                command.get_about().is_some() && !command.is_hide_set(),
                "{}",
                command.get_name()
            );
            for argument in command.get_arguments() {
                let name = format!("{} {}", command.get_name(), argument.get_id());
                assert!(argument.get_help().is_some(), "{name} has no help");
                assert!(!argument.is_hide_set(), "{name} is hidden");
            }
            left.extend(command.get_subcommands());
        }
    }

    #[test]
    fn a_mistake_is_one_line_and_help_is_none() {
        let table: [(&[&str], &[&str]); 4] = [
            (&["start", "--no-such"], &["--no-such", "usage: "]),
            (&["topic", "create"], &["<NAME>", "--help"]),
            (&["topik"], &["topik", "'topic'"]),
            (&["demo", "--speed", "0"], &["--speed", "0"]),
        ];
        for (words, told) in table {
            let words = ["millstream"].iter().chain(words);
            let error = Arguments::try_parse_from(words).err().and_then(|it| mistake(&it));
            let line = error.unwrap_or_default();
            assert!(
                !line.contains('\n') && told.iter().all(|it| line.contains(it)),
                "{line}"
            );
        }
        for words in [
            &["millstream", "--help"][..],
            &["millstream", "topic"],
            &["millstream"],
        ] {
            let error = Arguments::try_parse_from(words).err().map(|it| mistake(&it));
            assert_eq!(error, Some(None), "{words:?}");
        }
    }
}
