//! Quotas.

#[cfg(test)]
use crate::kind::Draw;
use crate::kind::{Kind, StoredKey, take};
use millstream_model::{KeyId, TenantId};
use rpds::RedBlackTreeMapSync as Map;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Whom a quota binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaScope {
    /// A whole virtual cluster.
    Tenant(TenantId),
    /// One key.
    Key(KeyId),
}

/// Caps; none where a field is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Bytes per second produced.
    pub produce_bytes_per_second: Option<u64>,
    /// Bytes per second fetched.
    pub fetch_bytes_per_second: Option<u64>,
    /// Requests per second.
    pub requests_per_second: Option<u64>,
    /// Connections at once.
    pub connections: Option<u32>,
    /// Partitions in all.
    pub partitions: Option<u32>,
    /// Bytes stored.
    pub storage_bytes: Option<u64>,
    /// SQL compute: milliseconds of CPU per second.
    pub sql_cpu_ms_per_second: Option<u32>,
}

/// A quota and whom it binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaRow {
    /// Whom it binds.
    pub scope: QuotaScope,
    /// The caps.
    pub quota: Quota,
}

impl Kind for QuotaRow {
    const TAG: u8 = 9;
    const VERSION: u8 = 1;
    type Key = QuotaScope;
    type Table = Map<QuotaScope, Arc<QuotaRow>>;

    fn key(&self) -> QuotaScope {
        self.scope
    }

    #[cfg(test)]
    fn sample(draw: &Draw) -> QuotaRow {
        QuotaRow {
            scope: if draw.flag {
                QuotaScope::Tenant(draw.tenant())
            } else {
                QuotaScope::Key(draw.key())
            },
            quota: Quota {
                produce_bytes_per_second: Some(draw.number),
                fetch_bytes_per_second: draw.flag.then_some(draw.number),
                requests_per_second: Some(draw.number),
                connections: Some(draw.small()),
                partitions: Some(draw.small()),
                storage_bytes: None,
                sql_cpu_ms_per_second: Some(draw.small()),
            },
        }
    }
}

/// A byte says which kind of scope follows.
impl StoredKey for QuotaScope {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            QuotaScope::Tenant(tenant) => {
                out.push(0);
                tenant.put(out);
            }
            QuotaScope::Key(key) => {
                out.push(1);
                key.put(out);
            }
        }
    }

    fn take(bytes: &mut &[u8]) -> Option<QuotaScope> {
        match take(bytes)? {
            [0] => StoredKey::take(bytes).map(QuotaScope::Tenant),
            [1] => StoredKey::take(bytes).map(QuotaScope::Key),
            _ => None,
        }
    }
}
