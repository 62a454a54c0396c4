//! Keeping the node's copy of the catalog up to date on its disk: at a bounded rate, and at once when a key is revoked.

use millstream_catalog::CatalogCopy;
use millstream_metadata::ImageWatch;
use millstream_model::{Backoff, Waits};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The shortest time between two copies that nothing urges, unless the settings say otherwise.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// A disk that fails is left alone for so long at least, whatever is urgent.
const FAILED_REST: Duration = Duration::from_secs(1);

/// A copy of many rows takes its time: the disk is left to others for so many times as long.
const REST_FACTOR: u32 = 20;

/// How long a disk that fails is left alone.
const AGAIN: Waits = Waits::new(Duration::from_secs(5), Duration::from_secs(30));

/// Where the copy lies, and what it says of the cluster.
#[derive(Clone, Debug)]
pub struct CopySettings {
    /// The file.
    pub path: PathBuf,
    /// The cluster's name.
    pub name: String,
    /// The shortest time between two copies that nothing urges.
    pub interval_min: Duration,
}

impl CopySettings {
    /// At the usual pace.
    pub fn new(path: PathBuf, name: String) -> CopySettings {
        CopySettings {
            path,
            name,
            interval_min: INTERVAL_MIN,
        }
    }
}

/// Writes copies until shutdown, and a last one then.
pub(crate) struct Copier {
    pub settings: CopySettings,
    pub cluster: Uuid,
    pub images: ImageWatch,
    /// The version of the last transaction that cannot wait.
    pub urgent: watch::Receiver<u64>,
    /// The version of the copy on disk.
    pub copied: watch::Sender<u64>,
    pub shutdown: CancellationToken,
}

impl Copier {
    pub async fn run(mut self) {
        let mut not_before = Instant::now();
        // What cannot wait goes before `not_before`, but a disk that fails is not asked without end.
        let mut soonest = not_before;
        let mut backoff = Backoff::new(AGAIN);
        loop {
            let last = tokio::select! {
                changed = self.images.changed() => changed.is_err(),
                () = self.shutdown.cancelled() => true,
            };
            while self.is_behind() {
                if !last {
                    self.wait(soonest, not_before).await;
                }
                let begun = Instant::now();
                let saved = self.save().await;
                not_before = Instant::now() + self.settings.interval_min.max(begun.elapsed() * REST_FACTOR);
                if let Err(reason) = saved {
                    let again_in = backoff.next(rand::random());
                    tracing::warn!(%reason, ?again_in, "no local copy of the catalog");
                    if last || self.shutdown.is_cancelled() {
                        return;
                    }
                    soonest = Instant::now() + FAILED_REST;
                    not_before = Instant::now() + again_in;
                } else {
                    backoff.reset();
                }
            }
            if last {
                return;
            }
        }
    }

    fn is_behind(&self) -> bool {
        self.images.image().version() > *self.copied.borrow()
    }

    /// Waits for the next copy's time, or for something that cannot wait; until `soonest` in any case.
    async fn wait(&mut self, soonest: Instant, not_before: Instant) {
        let copied = *self.copied.borrow();
        let urged = async {
            let _ = self.urgent.wait_for(|version| *version > copied).await;
            sleep_until(soonest).await;
        };
        tokio::select! {
            () = sleep_until(not_before) => {}
            () = urged => {}
            () = self.shutdown.cancelled() => {}
        }
    }

    async fn save(&self) -> Result<(), String> {
        let image = self.images.image();
        let version = image.version();
        let copy = CatalogCopy {
            cluster: self.cluster,
            name: self.settings.name.clone(),
            image: Arc::unwrap_or_clone(image),
        };
        let path = self.settings.path.clone();
        let saved = tokio::task::spawn_blocking(move || copy.save(&path)).await;
        match saved {
            Ok(Ok(())) => {
                self.copied.send_replace(version);
                Ok(())
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }
}
