//! API keys.

use super::ids::OrganisationId;
#[cfg(test)]
use crate::kind::Draw;
use crate::kind::{Kind, StoredKey, take};
use millstream_model::{KeyId, TenantId, TimestampMs};
use rpds::RedBlackTreeMapSync as Map;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// Everything in the cluster: makes organisations.
    Operator,
    /// Everything in its organisation: environments, virtual clusters, keys, quotas.
    Organisation,
    /// Everything in its virtual cluster: topics, consumer groups, SQL.
    Admin,
    /// Write records.
    Produce,
    /// Read records, use consumer groups.
    Consume,
    /// Ask in SQL: read streams, tables and topics of its virtual cluster, and change nothing.
    SqlRead,
}

/// A key's grants.
pub type Grants = BTreeSet<Grant>;

/// Whether a key can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It can.
    Active,
    /// Never again; since when.
    Revoked {
        /// When it was revoked.
        at: TimestampMs,
    },
}

/// An API key, of one virtual cluster. Its secret is derived, never stored (log.md 43).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// Its public half.
    pub id: KeyId,
    /// The virtual cluster it speaks for.
    pub tenant: TenantId,
    /// The organisation of that virtual cluster.
    pub organisation: OrganisationId,
    /// A name for people.
    pub name: String,
    /// What it may do.
    pub grants: Grants,
    /// The salt from which its secret is derived.
    pub salt: [u8; 16],
    /// The version of the root key from which its secret is derived.
    pub root_version: u32,
    /// Whether it can be used.
    pub state: KeyState,
    /// When it was made.
    pub created: TimestampMs,
}

impl Kind for KeyRow {
    const TAG: u8 = 5;
    const VERSION: u8 = 1;
    type Key = KeyId;
    type Table = Map<KeyId, Arc<KeyRow>>;

    fn key(&self) -> KeyId {
        self.id
    }

    #[cfg(test)]
    fn sample(draw: &Draw) -> KeyRow {
        KeyRow {
            id: draw.key(),
            tenant: draw.tenant(),
            organisation: OrganisationId(draw.uuid()),
            name: draw.text.clone(),
            grants: [Grant::Admin, Grant::Consume].into(),
            salt: [7; 16],
            root_version: draw.small(),
            state: if draw.flag {
                KeyState::Active
            } else {
                KeyState::Revoked { at: draw.time() }
            },
            created: draw.time(),
        }
    }
}

impl StoredKey for KeyId {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.as_bytes());
    }

    fn take(bytes: &mut &[u8]) -> Option<KeyId> {
        let text = take::<{ KeyId::LENGTH }>(bytes)?;
        std::str::from_utf8(&text).ok()?.parse().ok()
    }
}
