//! Commands about quotas.

use crate::rows::{Quota, QuotaScope};

/// Set a quota, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetQuota {
    /// Whom it binds.
    pub scope: QuotaScope,
    /// The caps; all absent removes it.
    pub quota: Quota,
}
