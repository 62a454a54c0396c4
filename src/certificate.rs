//! The certificate while the service runs: read again on SIGHUP, and told when it has expired.

use crate::health::{now_s, of_certificate, span};
use crate::signals::Hangups;
use millstream_listener::{Certificates, Validity};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the clock is looked at. It may be set while the process runs, so that no sleep up to the end would do.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// Reads the certificate again on each SIGHUP, and says so when it is not valid, until `stop`.
pub async fn watch(certificates: Option<Arc<Certificates>>, mut hangups: Hangups, stop: CancellationToken) {
    let mut told = false;
    loop {
        if let Some(certificates) = &certificates {
            told = tell(certificates, told);
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
            () = hangups.received() => {
                reload(certificates.as_deref());
                told = false;
            }
        }
    }
}

/// Says, once, that the certificate does not hold; whether it has been said.
fn tell(certificates: &Certificates, told: bool) -> bool {
    let file = certificates.file().display().to_string();
    let reason = of_certificate(certificates.validity(), now_s(), &file);
    if let Some(reason) = reason.as_ref().filter(|_| !told) {
        tracing::warn!("{}", reason.text);
    }
    reason.is_some()
}

fn reload(certificates: Option<&Certificates>) {
    let Some(certificates) = certificates else {
        tracing::info!("SIGHUP: there is no certificate to be read again");
        return;
    };
    match certificates.reload() {
        Ok(Validity { until, .. }) => tracing::info!(
            file = %certificates.file().display(), holds_for = span(until.saturating_sub(now_s())),
            "SIGHUP: new connections are shown the certificate as it is now"
        ),
        Err(error) => tracing::error!(%error, "SIGHUP: the certificate stays the last one"),
    }
}
