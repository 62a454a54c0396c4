//! Environments.

use super::ids::{EnvironmentId, OrganisationId};
#[cfg(test)]
use crate::kind::Draw;
use crate::kind::Kind;
use millstream_model::TimestampMs;
use rpds::RedBlackTreeMapSync as Map;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An environment of an organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentRow {
    /// Its id.
    pub id: EnvironmentId,
    /// Whose it is.
    pub organisation: OrganisationId,
    /// Its name, unique in the organisation.
    pub name: String,
    /// When it was made.
    pub created: TimestampMs,
}

impl Kind for EnvironmentRow {
    const TAG: u8 = 3;
    const VERSION: u8 = 1;
    type Key = EnvironmentId;
    type Table = Map<EnvironmentId, Arc<EnvironmentRow>>;

    fn key(&self) -> EnvironmentId {
        self.id
    }

    #[cfg(test)]
    fn sample(draw: &Draw) -> EnvironmentRow {
        EnvironmentRow {
            id: EnvironmentId(draw.uuid()),
            organisation: OrganisationId(draw.uuid()),
            name: draw.text.clone(),
            created: draw.time(),
        }
    }
}
