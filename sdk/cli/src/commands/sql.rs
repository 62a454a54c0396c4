//! `millstream sql`: statements from -e, -f, standard input, or typed into the shell.

use crate::failure::Failure;
use crate::output::OutputFormat;
use crate::shell::{self, Session};
use clap::{Args, Subcommand};
use millstream_rust::Client;
use std::io::{IsTerminal, Read, stdin};
use std::path::PathBuf;

/// `millstream sql`.
#[derive(Args, Clone, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SqlArgs {
    /// Runs these statements and ends; may be repeated
    #[arg(short = 'e', long = "execute", value_name = "SQL", allow_hyphen_values = true)]
    execute: Vec<String>,
    /// Runs the statements of a file and ends; nothing runs if one is wrong, up to 256 KiB (a longer file goes in parts)
    #[arg(short = 'f', long = "file", value_name = "FILE", conflicts_with = "execute")]
    file: Option<PathBuf>,
    /// A session property, such as auto.offset.reset=earliest; may be repeated
    #[arg(long, value_parser = super::name_value, value_name = "NAME=VALUE")]
    set: Vec<(String, String)>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand, Clone, Debug)]
enum Action {
    /// Runs SQL cases from text files in this process, without a service
    Test {
        /// The case files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
}

impl SqlArgs {
    /// The case files of `millstream sql test`, which the binary runs itself.
    pub(super) fn cases(&self) -> Option<&[PathBuf]> {
        self.action
            .as_ref()
            .map(|Action::Test { files }| files.as_slice())
    }
}

pub(super) async fn run(client: &Client, args: SqlArgs, output: OutputFormat) -> Result<(), Failure> {
    let mut session = Session::new(client.clone(), output, args.set.into_iter().collect());
    if !args.execute.is_empty() {
        for text in &args.execute {
            session.execute(text).await?;
        }
        return Ok(());
    }
    if let Some(file) = args.file {
        let text = std::fs::read_to_string(&file)
            .map_err(|error| Failure::new(format!("cannot read {}: {error}", file.display())))?;
        return session.execute(&text).await;
    }
    if !stdin().is_terminal() {
        let mut text = String::new();
        stdin().read_to_string(&mut text)?;
        return session.execute(&text).await;
    }
    shell::interactive(session).await
}
