//! Everything the catalog knows at one version, in maps that share what did not change.
//!
//! A clone costs a few reference counts and applying a change costs a path of the tree, whatever the number of
//! topics: a node keeps the newest image, requests keep the one they began with.

use crate::row::{Change, Row, RowKey};
use crate::rows::{
    ClusterRow, EnvironmentId, EnvironmentRow, GroupRow, KeyRow, KeyState, NodeRow, OrganisationId,
    OrganisationRow, PartitionRow, Quota, QuotaRow, QuotaScope, SqlRow, TopicRow, TopicState,
    VirtualClusterRow,
};
use crate::topic_defaults::TopicDefaults;
use millstream_model::{GroupId, JournalId, KeyId, NodeId, PartitionId, TenantId, TopicId, TopicName};
use rpds::RedBlackTreeMapSync as Map;
use std::sync::Arc;

/// What the catalog knows at one version.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Image {
    cluster: ClusterRow,
    organisations: Map<OrganisationId, Arc<OrganisationRow>>,
    environments: Map<EnvironmentId, Arc<EnvironmentRow>>,
    virtual_clusters: Map<TenantId, Arc<VirtualClusterRow>>,
    keys: Map<KeyId, Arc<KeyRow>>,
    topics: Map<TopicId, Arc<TopicRow>>,
    /// Active topics only: a tombstone has given up its name.
    topic_names: Map<TenantId, Map<TopicName, Arc<TopicRow>>>,
    groups: Map<GroupId, Arc<GroupRow>>,
    nodes: Map<NodeId, Arc<NodeRow>>,
    quotas: Map<QuotaScope, Arc<QuotaRow>>,
    sql: Map<TenantId, Map<(String, String), Arc<SqlRow>>>,
    /// This node can no longer know that a key in it was not revoked meanwhile.
    is_stale: bool,
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
            Change::Put(row) => self.put(row),
            Change::Remove(key) => self.remove(key),
        }
    }

    /// Every row, cluster row first: what a node that joins is sent. Audit events are not among them.
    pub fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        std::iter::once(Row::Cluster(self.cluster.clone()))
            .chain(self.organisations.values().cloned().map(Row::Organisation))
            .chain(self.environments.values().cloned().map(Row::Environment))
            .chain(self.virtual_clusters.values().cloned().map(Row::VirtualCluster))
            .chain(self.keys.values().cloned().map(Row::Key))
            .chain(self.groups.values().cloned().map(Row::Group))
            .chain(self.nodes.values().cloned().map(Row::Node))
            .chain(self.topics.values().cloned().map(Row::Topic))
            .chain(self.quotas.values().cloned().map(Row::Quota))
            .chain(
                self.sql
                    .values()
                    .flat_map(|rows| rows.values())
                    .cloned()
                    .map(Row::Sql),
            )
    }

    /// The number of the last transaction that it shows.
    pub fn version(&self) -> u64 {
        self.cluster.version
    }

    /// The controller's term.
    pub fn term(&self) -> u64 {
        self.cluster.term
    }

    /// The newest forms that may be written (log.md 41).
    pub fn feature_level(&self) -> u32 {
        self.cluster.feature_level
    }

    /// The row about the whole cluster.
    pub fn cluster(&self) -> &ClusterRow {
        &self.cluster
    }

    /// An organisation.
    pub fn organisation(&self, id: OrganisationId) -> Option<&Arc<OrganisationRow>> {
        self.organisations.get(&id)
    }

    /// Every organisation.
    pub fn organisations(&self) -> impl Iterator<Item = &Arc<OrganisationRow>> {
        self.organisations.values()
    }

    /// An environment.
    pub fn environment(&self, id: EnvironmentId) -> Option<&Arc<EnvironmentRow>> {
        self.environments.get(&id)
    }

    /// Every environment.
    pub fn environments(&self) -> impl Iterator<Item = &Arc<EnvironmentRow>> {
        self.environments.values()
    }

    /// A virtual cluster.
    pub fn virtual_cluster(&self, id: TenantId) -> Option<&Arc<VirtualClusterRow>> {
        self.virtual_clusters.get(&id)
    }

    /// What the tenant's topics get that their makers did not say: its own choice, then the service's.
    pub fn topic_defaults(&self, tenant: TenantId) -> TopicDefaults {
        let own = self
            .virtual_clusters
            .get(&tenant)
            .map(|cluster| cluster.topic_defaults);
        own.unwrap_or_default().or(self.cluster.topic_defaults)
    }

    /// Every virtual cluster.
    pub fn virtual_clusters(&self) -> impl Iterator<Item = &Arc<VirtualClusterRow>> {
        self.virtual_clusters.values()
    }

    /// A key, revoked or not.
    pub fn key(&self, id: &KeyId) -> Option<&Arc<KeyRow>> {
        self.keys.get(id)
    }

    /// A key that can be used.
    pub fn active_key(&self, id: &KeyId) -> Option<&Arc<KeyRow>> {
        self.keys.get(id).filter(|key| key.state == KeyState::Active)
    }

    /// Every key.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<KeyRow>> {
        self.keys.values()
    }

    /// A tenant's topic by name; not one being deleted.
    pub fn topic(&self, tenant: TenantId, name: &TopicName) -> Option<&Arc<TopicRow>> {
        self.topic_names.get(&tenant)?.get(name)
    }

    /// A topic by id, also one being deleted. Doors must compare its tenant with the caller's:
    /// [`Image::topic_of`].
    pub fn topic_by_id(&self, id: TopicId) -> Option<&Arc<TopicRow>> {
        self.topics.get(&id)
    }

    /// A tenant's topic by id; not one being deleted, and not another tenant's.
    pub fn topic_of(&self, tenant: TenantId, id: TopicId) -> Option<&Arc<TopicRow>> {
        self.topics
            .get(&id)
            .filter(|topic| topic.tenant == tenant && topic.state == TopicState::Active)
    }

    /// A tenant's topics by name, without those being deleted.
    pub fn topics_of(&self, tenant: TenantId) -> impl Iterator<Item = &Arc<TopicRow>> {
        self.topic_names
            .get(&tenant)
            .into_iter()
            .flat_map(|topics| topics.values())
    }

    /// Every topic of every tenant, also those being deleted.
    pub fn topics(&self) -> impl Iterator<Item = &Arc<TopicRow>> {
        self.topics.values()
    }

    /// Where a partition lives, also one being deleted.
    pub fn partition(&self, id: PartitionId) -> Option<(&Arc<TopicRow>, &PartitionRow)> {
        let topic = self.topics.get(&id.topic)?;
        Some((topic, topic.partition(id.index)?))
    }

    /// A replica group.
    pub fn group(&self, id: GroupId) -> Option<&Arc<GroupRow>> {
        self.groups.get(&id)
    }

    /// Every replica group.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<GroupRow>> {
        self.groups.values()
    }

    /// A node by broker id.
    pub fn node(&self, id: NodeId) -> Option<&Arc<NodeRow>> {
        self.nodes.get(&id)
    }

    /// A node by its journal.
    pub fn node_of(&self, journal: JournalId) -> Option<&Arc<NodeRow>> {
        self.nodes.values().find(|node| node.journal == journal)
    }

    /// Whether no living node holds a replica of the group: the sessions of all its members have ended.
    pub fn is_gone(&self, group: &GroupRow) -> bool {
        let lost = |journal: &JournalId| self.node_of(*journal).is_none_or(|node| node.lost);
        group.members.iter().all(lost)
    }

    /// How many partitions of topics the group holds.
    pub fn partitions_in(&self, group: GroupId) -> usize {
        let here = |topic: &Arc<TopicRow>| topic.partitions.iter().filter(|row| row.group == group).count();
        self.topics().map(here).sum()
    }

    /// Every node, lost ones too.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<NodeRow>> {
        self.nodes.values()
    }

    /// The caps that were set for a tenant or key.
    pub fn quota(&self, scope: QuotaScope) -> Quota {
        self.quotas.get(&scope).map(|row| row.quota).unwrap_or_default()
    }

    /// Every quota.
    pub fn quotas(&self) -> impl Iterator<Item = &Arc<QuotaRow>> {
        self.quotas.values()
    }

    /// A SQL row.
    pub fn sql(&self, tenant: TenantId, kind: &str, name: &str) -> Option<&Arc<SqlRow>> {
        self.sql.get(&tenant)?.get(&(kind.to_owned(), name.to_owned()))
    }

    /// A tenant's SQL rows, by kind and name.
    pub fn sql_of(&self, tenant: TenantId) -> impl Iterator<Item = &Arc<SqlRow>> {
        self.sql.get(&tenant).into_iter().flat_map(|rows| rows.values())
    }

    /// The tenants that have SQL rows.
    pub fn sql_tenants(&self) -> impl Iterator<Item = TenantId> + '_ {
        self.sql.keys().copied()
    }

    fn put(&mut self, row: &Row) {
        match row {
            Row::Cluster(row) => self.cluster = row.clone(),
            Row::Organisation(row) => self.organisations.insert_mut(row.id, Arc::clone(row)),
            Row::Environment(row) => self.environments.insert_mut(row.id, Arc::clone(row)),
            Row::VirtualCluster(row) => self.virtual_clusters.insert_mut(row.id, Arc::clone(row)),
            Row::Key(row) => self.keys.insert_mut(row.id, Arc::clone(row)),
            Row::Topic(row) => self.put_topic(row),
            Row::Group(row) => self.groups.insert_mut(row.id, Arc::clone(row)),
            Row::Node(row) => self.nodes.insert_mut(row.id, Arc::clone(row)),
            Row::Quota(row) => self.quotas.insert_mut(row.scope, Arc::clone(row)),
            Row::Sql(row) => {
                let key = (row.kind.clone(), row.name.clone());
                let mut rows = self.sql.get(&row.tenant).cloned().unwrap_or_default();
                rows.insert_mut(key, Arc::clone(row));
                self.sql.insert_mut(row.tenant, rows);
            }
            Row::Audit(_) => {}
        }
    }

    fn remove(&mut self, key: &RowKey) {
        match key {
            RowKey::Cluster => self.cluster = ClusterRow::default(),
            RowKey::Organisation(id) => drop(self.organisations.remove_mut(id)),
            RowKey::Environment(id) => drop(self.environments.remove_mut(id)),
            RowKey::VirtualCluster(id) => drop(self.virtual_clusters.remove_mut(id)),
            RowKey::Key(id) => drop(self.keys.remove_mut(id)),
            RowKey::Topic(id) => {
                self.forget_name(*id);
                self.topics.remove_mut(id);
            }
            RowKey::Group(id) => drop(self.groups.remove_mut(id)),
            RowKey::Node(id) => drop(self.nodes.remove_mut(id)),
            RowKey::Quota(scope) => drop(self.quotas.remove_mut(scope)),
            RowKey::Sql { tenant, kind, name } => {
                let Some(mut rows) = self.sql.get(tenant).cloned() else {
                    return;
                };
                rows.remove_mut(&(kind.clone(), name.clone()));
                if rows.is_empty() {
                    self.sql.remove_mut(tenant);
                } else {
                    self.sql.insert_mut(*tenant, rows);
                }
            }
            RowKey::Audit(_) => {}
        }
    }

    fn put_topic(&mut self, row: &Arc<TopicRow>) {
        self.forget_name(row.id);
        self.topics.insert_mut(row.id, Arc::clone(row));
        if row.state == TopicState::Active {
            let mut names = self.topic_names.get(&row.tenant).cloned().unwrap_or_default();
            names.insert_mut(row.name.clone(), Arc::clone(row));
            self.topic_names.insert_mut(row.tenant, names);
        }
    }

    /// Takes the topic out of the index by name, if it is the one that has the name.
    fn forget_name(&mut self, id: TopicId) {
        let Some(old) = self.topics.get(&id) else { return };
        let Some(names) = self.topic_names.get(&old.tenant) else {
            return;
        };
        if names.get(&old.name).is_none_or(|named| named.id != id) {
            return;
        }
        let mut names = names.clone();
        names.remove_mut(&old.name);
        if names.is_empty() {
            self.topic_names.remove_mut(&old.tenant);
        } else {
            self.topic_names.insert_mut(old.tenant, names);
        }
    }
}
