//! All open connections: how many there are, and how to close those of a revoked key.

use crate::session::Shared;
use millstream_access::{Principal, recheck};
use millstream_door::Connected;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The least time between two looks at all connections: images may come faster.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Authenticated connections.
#[derive(Default)]
pub(crate) struct Connections {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Open>>,
}

struct Open {
    who: Principal,
    close: CancellationToken,
}

/// Takes the connection off the list when it ends.
pub(crate) struct Entered {
    connections: Arc<Connections>,
    id: u64,
    /// Counted over all doors.
    _connected: Connected,
}

impl Connections {
    /// Puts an authenticated connection on the list; `None` when its tenant or key has as many as it may have.
    pub(crate) fn enter(
        self: &Arc<Self>,
        shared: &Shared,
        who: &Principal,
        close: &CancellationToken,
    ) -> Option<Entered> {
        let connected = shared.quotas.connect(who).ok()?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let open = Open {
            who: who.clone(),
            close: close.clone(),
        };
        self.open.lock().insert(id, open);
        // Whoever looks for revoked keys may have looked just before.
        if recheck(&shared.broker.image(), who).is_err() {
            close.cancel();
        }
        Some(Entered {
            connections: Arc::clone(self),
            id,
            _connected: connected,
        })
    }

    /// Closes connections whose key was revoked, as soon as this node's image says so.
    pub(crate) async fn watch(self: Arc<Self>, shared: Arc<Shared>) {
        let mut images = shared.broker.image_watch();
        while let Ok(image) = images.changed().await {
            for open in self.open.lock().values() {
                if let Err(error) = recheck(&image, &open.who) {
                    tracing::info!(key = %open.who.key, %error, "closing the connection of a key that may no longer");
                    open.close.cancel();
                }
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.connections.open.lock().remove(&self.id);
    }
}
