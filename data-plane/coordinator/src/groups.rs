//! What survives of groups: metadata and offsets, changed by applying committed records, never otherwise.

use crate::command::GroupKey;
use crate::fact::Fact;
use crate::record::{Applied, Record};
use crate::stored::{CommittedOffset, GroupMetadata};
use bytes::Bytes;
use millstream_model::{PartitionId, TenantId};
use std::collections::BTreeMap;

/// A group as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredGroup {
    /// Its metadata; none for a group that only ever committed offsets.
    pub metadata: Option<GroupMetadata>,
    /// Its offsets.
    pub offsets: BTreeMap<PartitionId, CommittedOffset>,
}

/// All groups of one slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredGroups {
    groups: BTreeMap<GroupKey, StoredGroup>,
}

impl StoredGroups {
    /// Knows nothing.
    pub fn new() -> StoredGroups {
        StoredGroups::default()
    }

    /// Applies one committed record. Infallible: a record that cannot be read changes nothing, on any replica.
    pub fn apply(&mut self, key: &[u8], value: Option<&Bytes>) -> Applied {
        match Fact::decode(key, value) {
            Ok(fact) => {
                self.accept(fact);
                Applied::Done
            }
            Err(error) => Applied::Skipped(error),
        }
    }

    /// The whole state as records: what a snapshot holds. Applied to none they give these.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        self.groups.iter().flat_map(|(key, group)| {
            let metadata = group
                .metadata
                .clone()
                .map(|metadata| Fact::Group(key.clone(), Some(metadata)));
            let offsets = group
                .offsets
                .iter()
                .map(|(partition, offset)| Fact::Offset(key.clone(), *partition, Some(offset.clone())));
            metadata.into_iter().chain(offsets).map(|fact| fact.encode())
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// One group.
    pub fn group(&self, key: &GroupKey) -> Option<&StoredGroup> {
        self.groups.get(key)
    }

    /// All groups, in key order.
    pub fn groups(&self) -> impl Iterator<Item = (&GroupKey, &StoredGroup)> {
        self.groups.iter()
    }

    /// One tenant's groups, in key order.
    pub fn groups_of(&self, tenant: TenantId) -> impl Iterator<Item = (&GroupKey, &StoredGroup)> {
        self.groups
            .range(GroupKey::first(tenant)..)
            .take_while(move |(key, _)| key.tenant == tenant)
    }

    fn accept(&mut self, fact: Fact) {
        match fact {
            Fact::Group(key, Some(metadata)) => self.groups.entry(key).or_default().metadata = Some(metadata),
            Fact::Group(key, None) => self.change(&key, |group| group.metadata = None),
            Fact::Offset(key, partition, Some(offset)) => {
                self.groups
                    .entry(key)
                    .or_default()
                    .offsets
                    .insert(partition, offset);
            }
            Fact::Offset(key, partition, None) => self.change(&key, |group| {
                group.offsets.remove(&partition);
            }),
        }
    }

    /// Takes something from a group, and the group with its last fact.
    fn change(&mut self, key: &GroupKey, take: impl FnOnce(&mut StoredGroup)) {
        if let Some(group) = self.groups.get_mut(key) {
            take(group);
            if group.metadata.is_none() && group.offsets.is_empty() {
                self.groups.remove(key);
            }
        }
    }
}
