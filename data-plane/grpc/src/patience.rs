//! How long a call may wait for its caller's debts.

use millstream_model::limits::DEBT_WAIT_MS_MAX;
use std::time::Duration;

/// How long a call may wait for its caller's debts.
pub(crate) const PATIENCE: Duration = Duration::from_millis(DEBT_WAIT_MS_MAX);
