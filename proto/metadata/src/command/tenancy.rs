//! Commands about organisations, environments, virtual clusters and their keys.

use crate::rows::{EnvironmentId, Grants, OrganisationId};
use crate::topic_defaults::TopicDefaults;
use millstream_model::{KeyId, TenantId};

/// Make an organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateOrganisation {
    /// Its name.
    pub name: String,
}

/// Make an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateEnvironment {
    /// In which organisation.
    pub organisation: OrganisationId,
    /// Its name.
    pub name: String,
}

/// Make a virtual cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateVirtualCluster {
    /// In which environment.
    pub environment: EnvironmentId,
    /// Its name.
    pub name: String,
    /// Whether unknown topics are made when asked for.
    pub auto_create_topics: bool,
}

/// Set what a virtual cluster's topics get that their makers did not say, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetTopicDefaults {
    /// Whose.
    pub tenant: TenantId,
    /// All of them: what is absent is the service's choice again.
    pub defaults: TopicDefaults,
}

/// Set the same for all virtual clusters that do not say, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetServiceTopicDefaults {
    /// All of them.
    pub defaults: TopicDefaults,
}

/// Make a key. The caller derives the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateKey {
    /// For which virtual cluster.
    pub tenant: TenantId,
    /// A name for people.
    pub name: String,
    /// What it may do.
    pub grants: Grants,
    /// The root key's version with which the caller will derive the secret.
    pub root_version: u32,
}

/// End a key's life; doing it twice is not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokeKey {
    /// The tenant whose key it must be.
    pub tenant: TenantId,
    /// The key.
    pub key: KeyId,
}

/// On an empty catalog: make the first organisation, environment, virtual cluster and admin key; on any other: nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap {
    /// The root key's version.
    pub root_version: u32,
}

/// Make another admin key of the first virtual cluster, for who lost theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplaceBootstrapKey {
    /// The root key's version.
    pub root_version: u32,
}
