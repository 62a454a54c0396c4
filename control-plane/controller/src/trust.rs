//! How long a node believes what it knows of keys when it hears of no controller (log.md 43); pure.

use std::time::Duration;

/// With another controller alive in the store, a revocation may have been missed after so long.
const UNREACHED_MAX: Duration = Duration::from_secs(60);

/// While the store is down nobody can have revoked anything; but nobody believes that for longer.
const STORE_DOWN_MAX: Duration = Duration::from_secs(3600);

/// What a look at the store showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// This process is the controller, and has just said so in the store.
    Reached,
    /// The store does not answer, or nobody decides.
    Nobody,
    /// Another process is the controller, and this one does not follow it.
    Another,
}

/// Whether this node may let in whom it knows.
#[derive(Clone, Copy, Debug)]
pub struct Trust {
    reached_ms: u64,
    is_over: bool,
}

impl Trust {
    /// Of a process that starts now.
    pub fn new(now_ms: u64) -> Trust {
        Trust {
            reached_ms: now_ms,
            is_over: false,
        }
    }

    /// Takes in what was seen at `now_ms` of a clock that only goes forward; whether the trust is over. Once it is, only
    /// a controller that is reached restores it.
    pub fn observe(&mut self, now_ms: u64, seen: Seen) -> bool {
        let silent_ms = now_ms.saturating_sub(self.reached_ms);
        let over = |most: Duration| u128::from(silent_ms) >= most.as_millis();
        match seen {
            Seen::Reached => {
                *self = Trust::new(now_ms);
            }
            Seen::Nobody => self.is_over |= over(STORE_DOWN_MAX),
            Seen::Another => self.is_over |= over(UNREACHED_MAX),
        }
        self.is_over
    }
}
