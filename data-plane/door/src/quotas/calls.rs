//! What a call takes from its caller's meters before it is begun, whatever the door.
//!
//! | call | waits for | at most | when its patience ends |
//! |---|---|---|---|
//! | moves no bytes | debts of requests | 2 s | goes on, the debt stays |
//! | logs in | debts of requests | 1 s | goes on, the debt stays |
//! | produces | debts of requests, then of bytes produced | 10 s | is refused, nothing was begun |
//! | fetches | debts of requests, then of bytes fetched | its own wait, 10 s | reads nothing |

use super::{Meter, Owes, Quotas};
use crate::permissions::Action;
use millstream_access::Principal;
use millstream_model::limits::{DEBT_WAIT_MS_MAX, MEMBER_DEBT_WAIT_MS_MAX};
use std::time::Duration;
use tokio::time::Instant;

/// How long a fetch of who owes is held at least: it may ask again at once, whatever it is told.
const HELD_MIN: Duration = Duration::from_millis(500);

/// How much a fetch may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// Nothing limits it.
    Unlimited,
    /// So many bytes; 1 stands for one batch, however large: else a reader would never get on.
    AtMost(usize),
    /// Nothing: the caller owes, and has waited already.
    Nothing(Owes),
}

impl Allowance {
    /// The bytes of an answer that would have so many.
    pub fn cut(self, bytes: usize) -> usize {
        match self {
            Allowance::Unlimited => bytes,
            Allowance::AtMost(left) => bytes.min(left),
            Allowance::Nothing(_) => 0,
        }
    }

    /// What the caller is told to wait for, if it may read nothing.
    pub fn owes(self) -> Option<Owes> {
        match self {
            Allowance::Nothing(owes) => Some(owes),
            Allowance::Unlimited | Allowance::AtMost(_) => None,
        }
    }
}

impl Quotas {
    /// Counts a call that may be begun in any case: who owes requests waits until then, and goes on. Answers how long
    /// the caller owes.
    pub async fn begin_call(&self, who: &Principal, until: Instant) -> Duration {
        match self.begin(who, Meter::Requests, 1, until).await {
            Ok(owed) => owed,
            Err(_) => self.take(who, Meter::Requests, 1),
        }
    }

    /// Counts a call of this kind; one that moves bytes is not begun while its caller owes requests. Answers how long
    /// the caller owes.
    ///
    /// # Errors
    /// When the call moves bytes, and its caller still owes at `until`. Nothing was taken.
    pub async fn begin_action(
        &self,
        action: Action,
        who: &Principal,
        until: Instant,
    ) -> Result<Duration, Owes> {
        if !action.moves_bytes() {
            return Ok(self.begin_call(who, until).await);
        }
        let begun = self.begin(who, Meter::Requests, 1, until).await;
        begun.inspect_err(|owes| self.refused(owes.meter))
    }

    /// Counts the bytes of a produce that was counted as a request. Answers how long the caller owes.
    ///
    /// # Errors
    /// When the caller still owes at `until`. Nothing was taken.
    pub async fn begin_produce(&self, who: &Principal, bytes: u64, until: Instant) -> Result<Duration, Owes> {
        let begun = self.begin(who, Meter::Produce, bytes, until).await;
        begun.inspect_err(|owes| self.refused(owes.meter))
    }

    /// What a fetch that was counted as a request may read; what it has read is taken afterwards.
    pub async fn begin_fetch(&self, who: &Principal, until: Instant) -> Allowance {
        match self.left(who, Meter::Fetch, until).await {
            Ok(None) => Allowance::Unlimited,
            Ok(Some(left)) => Allowance::AtMost(usize::try_from(left).unwrap_or(usize::MAX).max(1)),
            Err(owes) => {
                self.refused(owes.meter);
                Allowance::Nothing(owes)
            }
        }
    }
}

/// How long a call of this kind may wait for its caller's debts, from when it was received, whatever the door.
pub fn patience(action: Action) -> Duration {
    Duration::from_millis(match action.moves_bytes() {
        true => DEBT_WAIT_MS_MAX,
        false => MEMBER_DEBT_WAIT_MS_MAX,
    })
}

/// Until when a fetch that was received then waits for its caller's debts: as long as it would wait for records, at most
/// for the patience of any call.
pub fn fetch_patience(received: Instant, wait: Duration, patience: Duration) -> Instant {
    received + wait.max(HELD_MIN).min(patience)
}
