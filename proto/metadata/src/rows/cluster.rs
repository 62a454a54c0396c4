//! The one row about the whole cluster.

#[cfg(test)]
use crate::kind::Draw;
use crate::kind::{Kind, StoredKey, Table};
use crate::topic_defaults::TopicDefaults;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The one row about the whole cluster; rewritten by every transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRow {
    /// The number of transactions committed so far: the version of an image.
    pub version: u64,
    /// Raised by every take-over (log.md 36).
    pub term: u64,
    /// The newest stored and sent forms that may be written (log.md 41).
    pub feature_level: u32,
    /// The next process start's number (log.md 13).
    pub registration_next: u64,
    /// The next broker id.
    pub node_next: i32,
    /// The next replica group.
    pub group_next: u32,
    /// The first producer id that no block contains.
    pub producer_next: i64,
    /// The oldest audit event kept.
    pub audit_first: u64,
    /// The next audit event's number.
    pub audit_next: u64,
    /// What topics get that their makers did not say, where their virtual clusters do not say either.
    #[serde(default)]
    pub topic_defaults: TopicDefaults,
}

impl Kind for ClusterRow {
    const TAG: u8 = 1;
    const VERSION: u8 = 1;
    type Key = ();
    type Table = Arc<ClusterRow>;

    fn key(&self) {}

    #[cfg(test)]
    fn sample(draw: &Draw) -> ClusterRow {
        ClusterRow {
            version: draw.number,
            term: draw.number / 2,
            feature_level: draw.small(),
            registration_next: draw.number,
            node_next: i32::try_from(draw.small()).unwrap(),
            group_next: draw.small(),
            producer_next: draw.time().0,
            audit_first: draw.number / 2,
            audit_next: draw.number,
            topic_defaults: TopicDefaults {
                partitions: Some(draw.small()),
                retention_ms: None,
                replication_factor: draw.flag.then_some(2),
            },
        }
    }
}

/// There is one row: it needs no more name than its tag.
impl StoredKey for () {
    fn put(&self, _out: &mut Vec<u8>) {}

    fn take(_bytes: &mut &[u8]) -> Option<()> {
        Some(())
    }
}

impl Table<ClusterRow> for Arc<ClusterRow> {
    fn put(&mut self, row: &Arc<ClusterRow>) {
        *self = Arc::clone(row);
    }

    fn remove(&mut self, (): &()) {
        *self = Arc::default();
    }

    fn rows(&self) -> impl Iterator<Item = Arc<ClusterRow>> {
        std::iter::once(Arc::clone(self))
    }
}
