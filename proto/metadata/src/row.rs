//! A row of any kind, its key, and a change to it.

use crate::rows::{
    AuditRow, ClusterRow, EnvironmentId, EnvironmentRow, GroupRow, KeyRow, NodeRow, OrganisationId,
    OrganisationRow, QuotaRow, QuotaScope, SqlRow, TopicRow, VirtualClusterRow,
};
use millstream_model::{GroupId, KeyId, NodeId, TenantId, TopicId};
use std::sync::Arc;

/// A row of any kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Row {
    /// The cluster's one row.
    Cluster(ClusterRow),
    /// An organisation.
    Organisation(Arc<OrganisationRow>),
    /// An environment.
    Environment(Arc<EnvironmentRow>),
    /// A virtual cluster.
    VirtualCluster(Arc<VirtualClusterRow>),
    /// A key.
    Key(Arc<KeyRow>),
    /// A topic.
    Topic(Arc<TopicRow>),
    /// A replica group.
    Group(Arc<GroupRow>),
    /// A node.
    Node(Arc<NodeRow>),
    /// A quota.
    Quota(Arc<QuotaRow>),
    /// A SQL row.
    Sql(Arc<SqlRow>),
    /// An audit event.
    Audit(Arc<AuditRow>),
}

/// What names a row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKey {
    /// The cluster's one row.
    Cluster,
    /// An organisation.
    Organisation(OrganisationId),
    /// An environment.
    Environment(EnvironmentId),
    /// A virtual cluster.
    VirtualCluster(TenantId),
    /// A key.
    Key(KeyId),
    /// A topic.
    Topic(TopicId),
    /// A replica group.
    Group(GroupId),
    /// A node.
    Node(NodeId),
    /// A quota.
    Quota(QuotaScope),
    /// A SQL row.
    Sql {
        /// Whose.
        tenant: TenantId,
        /// What it is.
        kind: String,
        /// Its name.
        name: String,
    },
    /// An audit event.
    Audit(u64),
}

impl Row {
    /// What names this row.
    pub fn key(&self) -> RowKey {
        match self {
            Row::Cluster(_) => RowKey::Cluster,
            Row::Organisation(row) => RowKey::Organisation(row.id),
            Row::Environment(row) => RowKey::Environment(row.id),
            Row::VirtualCluster(row) => RowKey::VirtualCluster(row.id),
            Row::Key(row) => RowKey::Key(row.id),
            Row::Topic(row) => RowKey::Topic(row.id),
            Row::Group(row) => RowKey::Group(row.id),
            Row::Node(row) => RowKey::Node(row.id),
            Row::Quota(row) => RowKey::Quota(row.scope),
            Row::Sql(row) => RowKey::Sql {
                tenant: row.tenant,
                kind: row.kind.clone(),
                name: row.name.clone(),
            },
            Row::Audit(row) => RowKey::Audit(row.sequence),
        }
    }
}

/// A change to one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The row is now so.
    Put(Row),
    /// The row is gone.
    Remove(RowKey),
}

impl Change {
    /// The row that it changes.
    pub fn key(&self) -> RowKey {
        match self {
            Change::Put(row) => row.key(),
            Change::Remove(key) => key.clone(),
        }
    }
}
