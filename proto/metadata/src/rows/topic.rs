//! Topics, and where their partitions live.

use super::class::Class;
#[cfg(test)]
use crate::kind::Draw;
use crate::kind::{Kind, StoredKey, Table, take};
use millstream_model::{
    Epoch, GroupId, LeaderEpoch, PartitionIndex, TenantId, TimestampMs, TopicId, TopicName,
};
use rpds::{RedBlackTreeMapSync as Map, RedBlackTreeSetSync as Set};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// Where a partition lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionRow {
    /// The group whose log holds it.
    pub group: GroupId,
    /// Clients see this + the group's epoch as leader epoch (log.md 26).
    pub base_epoch: i32,
    /// Of a topic being deleted: the group has committed the partition's deletion.
    #[serde(default)]
    pub deleted: bool,
}

impl PartitionRow {
    /// The leader epoch that clients see while the group is in `epoch`.
    pub fn leader_epoch(&self, epoch: Epoch) -> LeaderEpoch {
        let epoch = i32::try_from(epoch.0).unwrap_or(i32::MAX);
        LeaderEpoch(self.base_epoch.saturating_add(epoch))
    }
}

/// Where a topic is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopicState {
    /// In use.
    Active,
    /// A tombstone: deleted for clients, kept until every group has committed the deletion (log.md 34).
    Deleting,
}

/// A topic and where its partitions live.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicRow {
    /// Its id, for ever.
    pub id: TopicId,
    /// Whose it is; [`TenantId::SYSTEM`] for internal topics.
    pub tenant: TenantId,
    /// Its name, unique in the tenant.
    pub name: TopicName,
    /// Its partitions, by index.
    pub partitions: Vec<PartitionRow>,
    /// Replicas and minimum, as the topic's creator chose them.
    pub class: Class,
    /// What was set explicitly, by Kafka's names.
    pub config: BTreeMap<String, String>,
    /// Made by the service itself, unseen by clients.
    pub internal: bool,
    /// Where it is in its life.
    pub state: TopicState,
    /// When it was made.
    pub created: TimestampMs,
}

impl TopicRow {
    /// The partition with this index.
    pub fn partition(&self, index: PartitionIndex) -> Option<&PartitionRow> {
        self.partitions.get(usize::try_from(index.0).ok()?)
    }

    /// A config that was set explicitly.
    pub fn config(&self, name: &str) -> Option<&str> {
        self.config.get(name).map(String::as_str)
    }
}

impl Kind for TopicRow {
    const TAG: u8 = 6;
    const VERSION: u8 = 1;
    type Key = TopicId;
    type Table = Topics;

    fn key(&self) -> TopicId {
        self.id
    }

    #[cfg(test)]
    fn sample(draw: &Draw) -> TopicRow {
        TopicRow {
            id: TopicId(draw.uuid()),
            tenant: draw.tenant(),
            name: format!("t{}", draw.small()).parse().unwrap(),
            partitions: vec![
                PartitionRow {
                    group: GroupId(draw.small()),
                    base_epoch: 5,
                    deleted: draw.flag
                };
                3
            ],
            class: Class::THREE,
            config: [("retention.ms".to_owned(), draw.text.clone())].into(),
            internal: draw.flag,
            state: if draw.flag {
                TopicState::Active
            } else {
                TopicState::Deleting
            },
            created: draw.time(),
        }
    }
}

impl StoredKey for TopicId {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_bytes());
    }

    fn take(bytes: &mut &[u8]) -> Option<TopicId> {
        take(bytes).map(TopicId::from_bytes)
    }
}

/// The topics of an image, by id, by name and by the groups that their partitions live in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topics {
    by_id: Map<TopicId, Arc<TopicRow>>,
    by_group: Set<(GroupId, TopicId)>,
    /// Active topics only: a tombstone has given up its name.
    by_name: Map<TenantId, Map<TopicName, Arc<TopicRow>>>,
}

impl Topics {
    /// A topic, also one being deleted.
    pub(crate) fn get(&self, id: TopicId) -> Option<&Arc<TopicRow>> {
        self.by_id.get(&id)
    }

    /// Every topic, also those being deleted.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Arc<TopicRow>> {
        self.by_id.values()
    }

    /// A tenant's topic by name; not one being deleted.
    pub(crate) fn named(&self, tenant: TenantId, name: &TopicName) -> Option<&Arc<TopicRow>> {
        self.by_name.get(&tenant)?.get(name)
    }

    /// A tenant's topics by name, without those being deleted.
    pub(crate) fn of(&self, tenant: TenantId) -> impl Iterator<Item = &Arc<TopicRow>> {
        let topics = self.by_name.get(&tenant).into_iter();
        topics.flat_map(|topics| topics.values())
    }

    /// The topics that have partitions in a group, also those being deleted.
    pub(crate) fn within(&self, group: GroupId) -> impl Iterator<Item = &Arc<TopicRow>> {
        let of_group = (group, TopicId(Uuid::nil()))..=(group, TopicId(Uuid::max()));
        self.by_group
            .range(of_group)
            .filter_map(|(_, id)| self.by_id.get(id))
    }

    /// The groups that a topic is known to live in.
    fn groups_of(&self, id: TopicId) -> BTreeSet<GroupId> {
        let partitions = self.by_id.get(&id).into_iter().flat_map(|row| &row.partitions);
        partitions.map(|partition| partition.group).collect()
    }

    /// Takes the topic out of the index by name, if it is the one that has the name.
    fn forget_name(&mut self, id: TopicId) {
        let Some(old) = self.by_id.get(&id) else { return };
        let Some(names) = self.by_name.get(&old.tenant) else {
            return;
        };
        if names.get(&old.name).is_none_or(|named| named.id != id) {
            return;
        }
        let mut names = names.clone();
        names.remove_mut(&old.name);
        if names.is_empty() {
            self.by_name.remove_mut(&old.tenant);
        } else {
            self.by_name.insert_mut(old.tenant, names);
        }
    }
}

impl Table<TopicRow> for Topics {
    fn put(&mut self, row: &Arc<TopicRow>) {
        self.forget_name(row.id);
        let before = self.groups_of(row.id);
        self.by_id.insert_mut(row.id, Arc::clone(row));
        let now = self.groups_of(row.id);
        for group in before.difference(&now) {
            self.by_group.remove_mut(&(*group, row.id));
        }
        for group in now.difference(&before) {
            self.by_group.insert_mut((*group, row.id));
        }
        if row.state == TopicState::Active {
            let mut names = self.by_name.get(&row.tenant).cloned().unwrap_or_default();
            names.insert_mut(row.name.clone(), Arc::clone(row));
            self.by_name.insert_mut(row.tenant, names);
        }
    }

    fn remove(&mut self, id: &TopicId) {
        self.forget_name(*id);
        for group in self.groups_of(*id) {
            self.by_group.remove_mut(&(group, *id));
        }
        self.by_id.remove_mut(id);
    }

    fn rows(&self) -> impl Iterator<Item = Arc<TopicRow>> {
        self.by_id.values().cloned()
    }
}
