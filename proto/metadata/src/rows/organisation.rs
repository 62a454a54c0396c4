//! Organisations.

use super::ids::OrganisationId;
#[cfg(test)]
use crate::kind::Draw;
use crate::kind::Kind;
use millstream_model::TimestampMs;
use rpds::RedBlackTreeMapSync as Map;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// A customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganisationRow {
    /// Its id.
    pub id: OrganisationId,
    /// Its name, unique in the cluster.
    pub name: String,
    /// When it was made.
    pub created: TimestampMs,
}

impl Kind for OrganisationRow {
    const TAG: u8 = 2;
    const VERSION: u8 = 1;
    type Key = OrganisationId;
    type Table = Map<OrganisationId, Arc<OrganisationRow>>;

    fn key(&self) -> OrganisationId {
        self.id
    }

    #[cfg(test)]
    fn sample(draw: &Draw) -> OrganisationRow {
        OrganisationRow {
            id: OrganisationId(draw.uuid()),
            name: draw.text.clone(),
            created: draw.time(),
        }
    }
}
