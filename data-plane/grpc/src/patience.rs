//! How long a call may wait for its caller's debts.

use millstream_model::limits::DEBT_WAIT_MS_MAX;
use std::time::Duration;
use tokio::time::Instant;

/// Until when a call that begins now may wait for its caller's debts.
pub(crate) fn patience() -> Instant {
    Instant::now() + Duration::from_millis(DEBT_WAIT_MS_MAX)
}
