//! Virtual clusters: the tenants.

use super::ids::{EnvironmentId, OrganisationId};
#[cfg(test)]
use crate::kind::Draw;
use crate::kind::{Kind, StoredKey, take};
use crate::topic_defaults::TopicDefaults;
use millstream_model::{TenantId, TimestampMs};
use rpds::RedBlackTreeMapSync as Map;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A virtual cluster: the tenant, with names of its own for everything in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualClusterRow {
    /// Its account id.
    pub id: TenantId,
    /// Whose it is.
    pub organisation: OrganisationId,
    /// The environment it lies in.
    pub environment: EnvironmentId,
    /// Its name, unique in the environment.
    pub name: String,
    /// Whether a client that asks for an unknown topic gets it made.
    pub auto_create_topics: bool,
    /// What its topics get that their makers did not say.
    #[serde(default)]
    pub topic_defaults: TopicDefaults,
    /// The highest leader epoch that a deleted topic of this tenant ever showed: a topic made again under the
    /// same name starts above it, for clients ignore lower epochs (log.md 26).
    pub leader_epoch_floor: i32,
    /// The catalog version that last wrote or deleted one of its SQL rows: for compare-and-set.
    pub sql_version: u64,
    /// When it was made.
    pub created: TimestampMs,
}

impl Kind for VirtualClusterRow {
    const TAG: u8 = 4;
    const VERSION: u8 = 1;
    type Key = TenantId;
    type Table = Map<TenantId, Arc<VirtualClusterRow>>;

    fn key(&self) -> TenantId {
        self.id
    }

    #[cfg(test)]
    fn sample(draw: &Draw) -> VirtualClusterRow {
        VirtualClusterRow {
            id: draw.tenant(),
            organisation: OrganisationId(draw.uuid()),
            environment: EnvironmentId(draw.uuid()),
            name: draw.text.clone(),
            auto_create_topics: draw.flag,
            topic_defaults: TopicDefaults {
                partitions: draw.flag.then_some(draw.small()),
                retention_ms: Some(draw.time().0),
                replication_factor: None,
            },
            leader_epoch_floor: 4,
            sql_version: draw.number,
            created: draw.time(),
        }
    }
}

impl StoredKey for TenantId {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }

    fn take(bytes: &mut &[u8]) -> Option<TenantId> {
        take(bytes).map(u64::from_be_bytes).map(TenantId)
    }
}
