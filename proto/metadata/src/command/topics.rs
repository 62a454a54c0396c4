//! Commands about topics.

use millstream_model::TenantId;
use std::collections::BTreeMap;

/// Make a topic; the reply is the topic as it is or (validate only) would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTopic {
    /// For whom.
    pub tenant: TenantId,
    /// Its name, not yet checked.
    pub name: String,
    /// How many partitions; -1 = the tenant's default.
    pub partitions: i32,
    /// How many replicas; -1 = the default (what the nodes allow, at most three).
    pub replication: i16,
    /// Kafka's topic configs.
    pub config: BTreeMap<String, String>,
    /// Only say whether it could be made, and how.
    pub validate_only: bool,
}

/// Delete a topic; the reply is its tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteTopic {
    /// Whose.
    pub tenant: TenantId,
    /// Its name.
    pub name: String,
}

/// Add partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatePartitions {
    /// Whose.
    pub tenant: TenantId,
    /// The topic's name.
    pub name: String,
    /// How many it shall have in all.
    pub total: i32,
    /// Only say whether it could be done.
    pub validate_only: bool,
}

/// Set or (with none) unset configs of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlterTopicConfig {
    /// Whose.
    pub tenant: TenantId,
    /// The topic's name.
    pub name: String,
    /// Config by config.
    pub changes: BTreeMap<String, Option<String>>,
    /// Only say whether it could be done.
    pub validate_only: bool,
}

/// Put these configs of a topic in place of all that were set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplaceTopicConfig {
    /// Whose.
    pub tenant: TenantId,
    /// The topic's name.
    pub name: String,
    /// All configs that are set from now on.
    pub config: BTreeMap<String, String>,
    /// Only say whether it could be done.
    pub validate_only: bool,
}

/// Make the internal topics that are not there yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnsureInternalTopics;

/// Make the internal topic of a tenant's SQL changelogs unless it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnsureSqlChangelog {
    /// Whose.
    pub tenant: TenantId,
}
