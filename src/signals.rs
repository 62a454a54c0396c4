//! What the process is told by signals: to stop, or to read its certificates again.

use millstream_cli::Failure;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What SIGHUP means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// A service reads its certificates again ([`Hangups`]) and serves on.
    Reloads,
    /// What runs in a terminal ends with it.
    Stops,
}

/// Signals that stop, listened for from the moment that it is made: a stop right after "ready" is a clean one.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Hangups,
    hangup_means: Hangup,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// When signals cannot be received.
    pub fn listen(hangup_means: Hangup) -> Result<Signals, Failure> {
        Ok(Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: Hangups::listen()?,
            hangup_means,
        })
    }

    /// Waits for one.
    pub async fn received(&mut self) {
        let stops = self.hangup_means == Hangup::Stops;
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            () = self.hangup.received(), if stops => {}
        }
    }
}

/// SIGHUP.
pub struct Hangups(Signal);

impl Hangups {
    /// Listens from now on: nothing else ends the process by it any more.
    ///
    /// # Errors
    /// When signals cannot be received.
    pub fn listen() -> Result<Hangups, Failure> {
        Ok(Hangups(signal(SignalKind::hangup())?))
    }

    /// Waits for the next one.
    pub async fn received(&mut self) {
        if self.0.recv().await.is_none() {
            // The runtime ends.
            std::future::pending::<()>().await;
        }
    }
}
