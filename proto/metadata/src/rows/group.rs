//! Replica groups.

use super::class::Class;
#[cfg(test)]
use crate::kind::Draw;
use crate::kind::{Kind, StoredKey, take};
use millstream_model::segment::ObjectRef;
use millstream_model::{Epoch, GroupId, JournalId, Lsn, Registration};
use rpds::RedBlackTreeMapSync as Map;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One incarnation of a replica: its journal and the number of the process start (log.md 14).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Replica {
    /// The journal that holds it.
    pub journal: JournalId,
    /// The process start.
    pub registration: Registration,
}

/// Whose partitions a group holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GroupPurpose {
    /// Tenants' partitions.
    Tenants,
    /// Internal topics' (log.md 29).
    Internal,
}

/// A group's last snapshot (log.md 30).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotRef {
    /// The state after this entry.
    pub lsn: Lsn,
    /// The epoch of that entry.
    pub epoch: Epoch,
    /// Where it lies.
    pub object: ObjectRef,
    /// Its size, bytes.
    pub length: u64,
    /// CRC-32C of its bytes.
    pub checksum: u32,
}

/// A replica group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRow {
    /// Its id.
    pub id: GroupId,
    /// Whose partitions it holds.
    pub purpose: GroupPurpose,
    /// How many replicas it has.
    pub class: Class,
    /// The current leadership's number.
    pub epoch: Epoch,
    /// Raised at every change of leadership, members or in-sync replicas: what a proposal of other in-sync replicas says
    /// that it is based on. Rises with every epoch too, and never falls.
    #[serde(default)]
    pub version: u64,
    /// Who leads in this epoch; none while nobody can.
    pub leader: Option<JournalId>,
    /// The committed in-sync replicas, each with the incarnation that was accepted.
    pub isr: Vec<Replica>,
    /// Every replica.
    pub members: Vec<JournalId>,
    /// The last snapshot.
    pub snapshot: Option<SnapshotRef>,
    /// The snapshot before it, still retained (log.md 33).
    pub snapshot_previous: Option<SnapshotRef>,
}

impl Kind for GroupRow {
    const TAG: u8 = 7;
    const VERSION: u8 = 1;
    type Key = GroupId;
    type Table = Map<GroupId, Arc<GroupRow>>;

    fn key(&self) -> GroupId {
        self.id
    }

    #[cfg(test)]
    fn sample(draw: &Draw) -> GroupRow {
        GroupRow {
            id: GroupId(draw.small()),
            purpose: if draw.flag {
                GroupPurpose::Tenants
            } else {
                GroupPurpose::Internal
            },
            class: Class::TWO,
            epoch: Epoch(draw.small()),
            version: draw.number,
            leader: draw.flag.then_some(JournalId(draw.uuid())),
            isr: vec![Replica {
                journal: JournalId(draw.uuid()),
                registration: Registration(draw.number),
            }],
            members: vec![JournalId(draw.uuid())],
            snapshot: draw.flag.then_some(SnapshotRef {
                lsn: Lsn(draw.number),
                epoch: Epoch(draw.small()),
                object: draw.object(true),
                length: draw.number,
                checksum: draw.small(),
            }),
            snapshot_previous: Some(SnapshotRef {
                lsn: Lsn(draw.number),
                epoch: Epoch(draw.small()),
                object: draw.object(false),
                length: draw.number,
                checksum: draw.small(),
            }),
        }
    }
}

impl StoredKey for GroupId {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }

    fn take(bytes: &mut &[u8]) -> Option<GroupId> {
        take(bytes).map(u32::from_be_bytes).map(GroupId)
    }
}
