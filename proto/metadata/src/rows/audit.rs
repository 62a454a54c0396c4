//! The audit: who changed what.

#[cfg(test)]
use crate::kind::Draw;
use crate::kind::{Kind, NotKept, StoredKey, take};
use millstream_model::{TenantId, TimestampMs};
use serde::{Deserialize, Serialize};

/// Who changed what, written with the change itself (log.md 39). Not part of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// Its number.
    pub sequence: u64,
    /// When it was decided.
    pub time: TimestampMs,
    /// The tenant that it concerns, if one.
    pub tenant: Option<TenantId>,
    /// Who asked: a key id, `node <id>` or `system`.
    pub actor: String,
    /// The command's name.
    pub action: String,
    /// What it was done to.
    pub resource: String,
}

/// The first byte of audit events' keys: what a reader of the image skips, and where it ends.
pub const AUDIT_TABLE: u8 = AuditRow::TAG;

impl Kind for AuditRow {
    const TAG: u8 = 11;
    const VERSION: u8 = 1;
    type Key = u64;
    type Table = NotKept;

    fn key(&self) -> u64 {
        self.sequence
    }

    #[cfg(test)]
    fn sample(draw: &Draw) -> AuditRow {
        AuditRow {
            sequence: draw.number,
            time: draw.time(),
            tenant: draw.flag.then_some(draw.tenant()),
            actor: draw.text.clone(),
            action: "CreateTopic".to_owned(),
            resource: draw.text.clone(),
        }
    }
}

impl StoredKey for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_be_bytes());
    }

    fn take(bytes: &mut &[u8]) -> Option<u64> {
        take(bytes).map(u64::from_be_bytes)
    }
}
