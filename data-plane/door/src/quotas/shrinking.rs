//! Until when a call waits for its caller's debts.

use parking_lot::Mutex;
use std::sync::Arc;
use tokio::time::Instant;

/// When a wait for a debt ends, asked anew at each look.
pub trait Patience: Send + Sync {
    /// When it ends, as is known now.
    fn ends(&self) -> Instant;
}

impl Patience for Instant {
    fn ends(&self) -> Instant {
        *self
    }
}

/// An end that others may draw nearer while somebody waits for it: who stands behind may not wait for as long. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct Shrinking(Arc<Mutex<Instant>>);

impl Shrinking {
    /// Ends then, if nobody draws it nearer.
    pub fn new(until: Instant) -> Shrinking {
        Shrinking(Arc::new(Mutex::new(until)))
    }

    /// Ends then, unless it ended sooner.
    pub fn shorten(&self, until: Instant) {
        let mut ends = self.0.lock();
        *ends = until.min(*ends);
    }
}

impl Patience for &Shrinking {
    fn ends(&self) -> Instant {
        *self.0.lock()
    }
}
