//! What a start says while it waits for another node's controller to end.

use crate::cluster::told;
use millstream_cli::Failure;
use millstream_controller::{Handle, LeaseSeen};
use std::io::Write;
use std::time::Duration;
use tokio::time::Instant;

/// How often it is said again.
const AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Waits until this process decides; says at once on standard error for whom it waits, and again while it lasts.
///
/// # Errors
/// When it never will.
pub async fn active(controller: &Handle) -> Result<(), Failure> {
    let mut lease = controller.lease();
    let telling = async {
        loop {
            let waiting = lease.wait_for(|seen| seen.waiting_since.is_some()).await;
            let Ok(line) = waiting.map(|seen| line(&seen, Instant::now())) else {
                // It ends, and says why.
                return std::future::pending().await;
            };
            let _ = writeln!(std::io::stderr(), "millstream: {line}");
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    };
    tokio::select! {
        active = controller.active() => active.map(drop).map_err(told),
        () = telling => Ok(()),
    }
}

fn line(seen: &LeaseSeen, now: Instant) -> String {
    let since = |then: Option<Instant>| then.map_or(0, |then| now.saturating_duration_since(then).as_secs());
    format!(
        "waits for {}, the controller of this cluster in term {} (last seen {} s ago; waited {} s): this node goes on when \
         that one has stopped, within some 10 s; nodes that serve side by side come with replication",
        seen.address.as_deref().unwrap_or("another node"),
        seen.term,
        since(seen.renewed),
        since(seen.waiting_since),
    )
}

#[cfg(test)]
mod tests {
    use super::line;
    use millstream_controller::LeaseSeen;
    use std::time::Duration;
    use tokio::time::Instant;

    #[test]
    fn it_is_said_for_whom_and_how_long() {
        let now = Instant::now() + Duration::from_secs(60);
        let seen = LeaseSeen {
            is_held: false,
            lasts: Duration::ZERO,
            term: 3,
            address: Some("10.0.0.1:8080".into()),
            renewed: Some(now - Duration::from_secs(2)),
            waiting_since: Some(now - Duration::from_secs(31)),
        };
        let line = line(&seen, now);
        for part in ["10.0.0.1:8080", "term 3", "2 s ago", "waited 31 s"] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}
