//! `millstream demo`: a service of its own on embedded defaults, and the demo against it.

use crate::arguments::DemoCommand;
use crate::environment;
use crate::logging;
use crate::ready_file;
use crate::service;
use crate::signals::{Hangup, Signals};
use millstream_cli::{Failure, OutputFormat, demo};
use std::io::{Write, stderr};
use std::path::PathBuf;

/// Runs the demo; serves on until a signal unless told otherwise.
///
/// # Errors
/// One line that says what to do.
pub async fn run(args: DemoCommand, output: OutputFormat) -> Result<(), Failure> {
    let DemoCommand {
        demo: demo_args,
        mut start,
    } = args;
    let fresh = start.data_dir.is_none().then(temporary_folder).transpose()?;
    if let Some(folder) = &fresh {
        start.data_dir = Some(folder.0.clone());
    }
    // Free ports unless told otherwise: a demo stands in nobody's way.
    start.kafka_listen.get_or_insert_with(|| "127.0.0.1:0".into());
    start.http_listen.get_or_insert_with(|| "127.0.0.1:0".into());
    start.admin_listen.get_or_insert_with(|| "127.0.0.1:0".into());
    start.log.get_or_insert_with(|| "warn".into());
    let settings = start.settings()?;
    if settings.tls.is_some() || !settings.sql {
        return Err(Failure::new(
            "the demo runs SQL and talks to its doors without TLS; leave out --tls-certificate, --tls-key and --roles, or use millstream start",
        ));
    }
    logging::init(&settings)?;
    environment::warn();
    let ready_file = settings.ready_file.clone();
    let mut signals = Signals::listen(Hangup::Stops)?;
    let running = tokio::select! {
        started = service::start(settings) => started?,
        () = signals.received() => return Ok(()),
    };
    if let Some(path) = &ready_file {
        ready_file::write(path, &running.doors, running.key.as_ref())?;
    }
    let key = running.operator_key().await?;
    let target = demo::Service {
        kafka: running.doors.kafka.clone(),
        http: running.doors.http.clone(),
        key: key.id,
        secret: key.secret,
        // The first key is the folder's own and stays; one made for this run goes with it.
        revoke_key: running.key.is_none(),
    };
    let once = demo_args.once;
    let ended = tokio::select! {
        ended = demo::run(&target, &demo_args, output) => ended.map(|()| true),
        () = signals.received() => Ok(false),
    };
    if let Ok(true) = ended
        && !once
    {
        signals.received().await;
    }
    if !once {
        let _ = writeln!(stderr(), "Draining; a second Ctrl-C does not wait for it.");
    }
    let stopped = running.stop(&mut signals).await;
    ended.and(stopped)
}

/// A folder that goes when the demo ends.
struct Temporary(PathBuf);

fn temporary_folder() -> Result<Temporary, Failure> {
    let base = std::env::temp_dir();
    let path = base.join(format!(
        "millstream-demo-{}-{}",
        std::process::id(),
        uuid::Uuid::new_v4().simple()
    ));
    std::fs::create_dir_all(&path).map_err(|error| {
        Failure::new(format!(
            "cannot make {}: {error}; pass --data-dir",
            path.display()
        ))
    })?;
    Ok(Temporary(path))
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What cannot be removed is the system's to clean: it lies among its temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
