//! Everything the catalog knows at one version, in maps that share what did not change.
//!
//! A clone costs a few reference counts and applying a change costs a path of the tree, whatever the number of
//! topics: a node keeps the newest image, requests keep the one they began with.

mod difference;
mod recent;
#[cfg(test)]
mod tests;

pub use difference::Difference;

use crate::change::Change;
use crate::rows::{
    ClusterRow, EnvironmentId, EnvironmentRow, GroupRow, KeyRow, KeyState, NodeRow, OrganisationId,
    OrganisationRow, PartitionRow, Quota, QuotaRow, QuotaScope, Row, RowKey, SqlRow, Tables, TopicRow,
    TopicState, VirtualClusterRow,
};
use crate::topic_defaults::TopicDefaults;
use millstream_model::{GroupId, JournalId, KeyId, NodeId, PartitionId, TenantId, TopicId, TopicName};
use recent::Recent;
use std::sync::Arc;

/// What the catalog knows at one version.
#[derive(Clone, Debug, Default)]
pub struct Image {
    tables: Tables,
    /// This node can no longer know that a key in it was not revoked meanwhile.
    is_stale: bool,
    /// What changed last of what nodes follow.
    recent: Recent,
}

/// The same rows are the same image, whatever came and went before.
impl PartialEq for Image {
    fn eq(&self, other: &Image) -> bool {
        (self.is_stale, &self.tables) == (other.is_stale, &other.tables)
    }
}

impl Image {
    /// Of an empty catalog.
    pub fn new() -> Image {
        Image::default()
    }

    /// Whether a key may have been revoked without this node hearing of it: then nobody new is let in (log.md 43).
    pub fn is_stale(&self) -> bool {
        self.is_stale
    }

    /// The same rows, of which this node no longer knows whether they still hold.
    pub fn as_stale(&self) -> Image {
        Image {
            is_stale: true,
            ..self.clone()
        }
    }

    /// Takes in one change. Never fails; the same changes give the same image.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Put(row) => self.tables.put(row),
            Change::Remove(key) => self.tables.remove(key),
        }
        let key = change.key();
        if matches!(key, RowKey::Topic(_) | RowKey::Group(_) | RowKey::Node(_)) {
            self.recent.push(key);
        }
    }

    /// Every row, cluster row first: what a node that joins is sent. Audit events are not among them.
    pub fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        self.tables.rows()
    }

    /// The number of the last transaction that it shows.
    pub fn version(&self) -> u64 {
        self.tables.cluster.version
    }

    /// The controller's term.
    pub fn term(&self) -> u64 {
        self.tables.cluster.term
    }

    /// The newest forms that may be written (log.md 41).
    pub fn feature_level(&self) -> u32 {
        self.tables.cluster.feature_level
    }

    /// The row about the whole cluster.
    pub fn cluster(&self) -> &ClusterRow {
        &self.tables.cluster
    }

    /// An organisation.
    pub fn organisation(&self, id: OrganisationId) -> Option<&Arc<OrganisationRow>> {
        self.tables.organisations.get(&id)
    }

    /// Every organisation.
    pub fn organisations(&self) -> impl Iterator<Item = &Arc<OrganisationRow>> {
        self.tables.organisations.values()
    }

    /// An environment.
    pub fn environment(&self, id: EnvironmentId) -> Option<&Arc<EnvironmentRow>> {
        self.tables.environments.get(&id)
    }

    /// Every environment.
    pub fn environments(&self) -> impl Iterator<Item = &Arc<EnvironmentRow>> {
        self.tables.environments.values()
    }

    /// A virtual cluster.
    pub fn virtual_cluster(&self, id: TenantId) -> Option<&Arc<VirtualClusterRow>> {
        self.tables.virtual_clusters.get(&id)
    }

    /// What the tenant's topics get that their makers did not say: its own choice, then the service's.
    pub fn topic_defaults(&self, tenant: TenantId) -> TopicDefaults {
        let own = self
            .tables
            .virtual_clusters
            .get(&tenant)
            .map(|cluster| cluster.topic_defaults);
        own.unwrap_or_default().or(self.tables.cluster.topic_defaults)
    }

    /// Every virtual cluster.
    pub fn virtual_clusters(&self) -> impl Iterator<Item = &Arc<VirtualClusterRow>> {
        self.tables.virtual_clusters.values()
    }

    /// A key, revoked or not.
    pub fn key(&self, id: &KeyId) -> Option<&Arc<KeyRow>> {
        self.tables.keys.get(id)
    }

    /// A key that can be used.
    pub fn active_key(&self, id: &KeyId) -> Option<&Arc<KeyRow>> {
        self.tables
            .keys
            .get(id)
            .filter(|key| key.state == KeyState::Active)
    }

    /// Every key.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<KeyRow>> {
        self.tables.keys.values()
    }

    /// A tenant's topic by name; not one being deleted.
    pub fn topic(&self, tenant: TenantId, name: &TopicName) -> Option<&Arc<TopicRow>> {
        self.tables.topics.named(tenant, name)
    }

    /// A topic by id, also one being deleted. Doors must compare its tenant with the caller's:
    /// [`Image::topic_of`].
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicRow>> {
        self.tables.topics.get(id)
    }

    /// A tenant's topic by id; not one being deleted, and not another tenant's.
    pub fn topic_of(&self, tenant: TenantId, id: TopicId) -> Option<&Arc<TopicRow>> {
        self.tables
            .topics
            .get(id)
            .filter(|topic| topic.tenant == tenant && topic.state == TopicState::Active)
    }

    /// A tenant's topics by name, without those being deleted.
    pub fn topics_of(&self, tenant: TenantId) -> impl Iterator<Item = &Arc<TopicRow>> {
        self.tables.topics.of(tenant)
    }

    /// Every topic of every tenant, also those being deleted.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicRow>> {
        self.tables.topics.values()
    }

    /// Where a partition lives, also one being deleted.
    pub fn partition(&self, id: PartitionId) -> Option<(&Arc<TopicRow>, &PartitionRow)> {
        let topic = self.tables.topics.get(id.topic)?;
        Some((topic, topic.partition(id.index)?))
    }

    /// A replica group.
    pub fn group(&self, id: GroupId) -> Option<&Arc<GroupRow>> {
        self.tables.groups.get(&id)
    }

    /// Every replica group.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<GroupRow>> {
        self.tables.groups.values()
    }

    /// A node by broker id.
    pub fn node(&self, id: NodeId) -> Option<&Arc<NodeRow>> {
        self.tables.nodes.get(&id)
    }

    /// A node by its journal.
    pub fn node_of(&self, journal: JournalId) -> Option<&Arc<NodeRow>> {
        self.tables.nodes.values().find(|node| node.journal == journal)
    }

    /// Whether no living node holds a replica of the group: the sessions of all its members have ended.
    pub fn is_gone(&self, group: &GroupRow) -> bool {
        let lost = |journal: &JournalId| self.node_of(*journal).is_none_or(|node| node.lost);
        group.members.iter().all(lost)
    }

    /// The topics that have partitions in the group, also those being deleted.
    pub fn topics_in(&self, group: GroupId) -> impl Iterator<Item = &Arc<TopicRow>> {
        self.tables.topics.within(group)
    }

    /// How many partitions of topics the group holds.
    pub fn partitions_in(&self, group: GroupId) -> usize {
        let here = |topic: &Arc<TopicRow>| topic.partitions.iter().filter(|row| row.group == group).count();
        self.topics_in(group).map(here).sum()
    }

    /// Every node, lost ones too.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<NodeRow>> {
        self.tables.nodes.values()
    }

    /// The caps that were set for a tenant or key.
    pub fn quota(&self, scope: QuotaScope) -> Quota {
        self.tables
            .quotas
            .get(&scope)
            .map(|row| row.quota)
            .unwrap_or_default()
    }

    /// Every quota.
    pub fn quotas(&self) -> impl Iterator<Item = &Arc<QuotaRow>> {
        self.tables.quotas.values()
    }

    /// A SQL row.
    pub fn sql(&self, tenant: TenantId, kind: &str, name: &str) -> Option<&Arc<SqlRow>> {
        self.tables.sql.get(tenant, kind, name)
    }

    /// A tenant's SQL rows, by kind and name.
    pub fn sql_of(&self, tenant: TenantId) -> impl Iterator<Item = &Arc<SqlRow>> {
        self.tables.sql.of(tenant)
    }

    /// The tenants that have SQL rows.
    pub fn sql_tenants(&self) -> impl Iterator<Item = TenantId> + '_ {
        self.tables.sql.tenants()
    }
}
