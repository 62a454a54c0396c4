//! The `millstream` binary: arguments in, a running service or one client command out.
//!
//! Nothing is decided here: `settings` puts defaults, file, environment and flags together, `service` wires the
//! planes, and everything else lives in their crates.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod announce;
mod arguments;
mod backends;
mod calls;
mod certificate;
mod cluster;
mod code;
mod data_folder;
mod demo;
mod descriptors;
mod door;
mod early;
mod environment;
mod gauges;
mod guard;
mod health;
mod http;
mod logging;
mod memory;
mod process;
mod ready_file;
mod service;
mod settings;
mod signals;
mod sql_test;
mod store_check;
mod waiting;

use arguments::{Arguments, TopCommand};
use clap::Parser;
use millstream_cli::Failure;
use std::io::Write;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    memory::keep_freed();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error),
    };
    // Before anything speaks TLS.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Failure::new(format!("threads cannot be started: {error}"))).into(),
    };
    let ended = runtime.block_on(run(arguments));
    let code = ended.map_or_else(|failure| fail(&failure), |()| 0);
    // The runtime is not shut down: threads of their own, which nothing may wake (a line being typed into the shell) or
    // which were not waited for (SQL's shards, on a second Ctrl-C), would panic without it. They end with the process.
    std::process::exit(i32::from(code))
}

/// What the process ends with.
fn fail(failure: &Failure) -> u8 {
    let (code, told) = failure.exit();
    if told {
        let _ = writeln!(std::io::stderr(), "millstream: {failure}");
    }
    code
}

/// What does not parse: help and version as they are, a mistake as one line.
fn refuse(error: &clap::Error) -> ExitCode {
    match arguments::mistake(error) {
        Some(line) => {
            let _ = writeln!(std::io::stderr(), "millstream: {line}");
        }
        None => {
            let _ = error.print();
        }
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    match arguments.command {
        TopCommand::Start(args) => {
            let settings = args.settings()?;
            logging::init(&settings)?;
            environment::warn();
            service::serve(settings).await
        }
        TopCommand::Demo(args) => demo::run(args, arguments.connection.output).await,
        TopCommand::AdminKey(args) => {
            let settings = args.settings()?;
            service::replace_admin_key(&settings).await
        }
        TopCommand::Store { command } => store_check::run(command, arguments.connection.output).await,
        TopCommand::Client(command) => match command.sql_cases() {
            Some(files) => {
                // The runner has a runtime of its own, which needs a thread outside of this one.
                let files = files.to_vec();
                let ran = tokio::task::spawn_blocking(move || sql_test::run(&files)).await;
                ran.unwrap_or_else(|error| Err(Failure::new(error.to_string())))
            }
            None => millstream_cli::run(command, arguments.connection).await,
        },
    }
}
