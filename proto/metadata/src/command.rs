//! The one path by which anybody asks the control plane for a change.

use crate::refusal::Refusal;
use crate::rows::{
    EnvironmentId, EnvironmentRow, Grants, GroupPurpose, HostPort, KeyRow, NodeRow, OrganisationId,
    OrganisationRow, Quota, QuotaRow, QuotaScope, Replica, SnapshotRef, TopicRow, VirtualClusterRow,
};
use crate::topic_defaults::TopicDefaults;
use async_trait::async_trait;
use millstream_model::{
    Epoch, GroupId, JournalId, KeyId, NodeId, PartitionIndex, ProducerId, Registration, TenantId, TopicId,
};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Where commands go: the controller in this process, or a client of the one that is elsewhere.
#[async_trait]
pub trait Commands: Send + Sync {
    /// Carries out a command, or says why not. The reply comes once the decision is durable; the caller's own
    /// image may still be older ([`crate::ImageWatch::wait_for_version`]).
    async fn submit(&self, actor: Actor, command: Command) -> Result<Committed, Refusal>;
}

/// A command that was carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    /// The first version of the image that shows it.
    pub version: u64,
    /// What it made.
    pub reply: Reply,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A client, authenticated by a key or a token of one ([`KeyId::NONE`]: by a token of the tenant itself).
    Key {
        /// The virtual cluster it speaks for.
        tenant: TenantId,
        /// The organisation of that.
        organisation: OrganisationId,
        /// The key.
        key: KeyId,
        /// What it may do.
        grants: Grants,
    },
    /// A broker.
    Node(NodeId),
    /// The service itself.
    System,
}

/// A topic to make.
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

/// A process start of a node (log.md 13, 14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterNode {
    /// The journal it holds locked.
    pub journal: JournalId,
    /// The number that the journal knows from its last start; none on an empty disk.
    pub registration_last: Option<Registration>,
    /// Where Kafka clients reach it.
    pub kafka: HostPort,
    /// Where gRPC and HTTP clients reach it.
    pub http: HostPort,
    /// The newest feature level that its release knows.
    pub feature_level_max: u32,
    /// The journal is damaged: it may have lost the number that it confirmed, and takes nothing (log.md 5).
    pub damaged: bool,
}

/// A SQL row to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutSql {
    /// What it is.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The statement that made it.
    pub text: String,
    /// The SQL engine's form of it.
    pub body: String,
    /// Topics whose number of partitions it relies on (sql.md 5): they do not grow while it is there.
    pub pinned_topics: Vec<String>,
}

/// What can be asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Make an organisation. Replies [`Reply::Organisation`].
    CreateOrganisation {
        /// Its name.
        name: String,
    },
    /// Make an environment. Replies [`Reply::Environment`].
    CreateEnvironment {
        /// In which organisation.
        organisation: OrganisationId,
        /// Its name.
        name: String,
    },
    /// Make a virtual cluster. Replies [`Reply::VirtualCluster`].
    CreateVirtualCluster {
        /// In which environment.
        environment: EnvironmentId,
        /// Its name.
        name: String,
        /// Whether unknown topics are made when asked for.
        auto_create_topics: bool,
    },
    /// Set what a virtual cluster's topics get that their makers did not say, whole. Replies [`Reply::VirtualCluster`].
    SetTopicDefaults {
        /// Whose.
        tenant: TenantId,
        /// All of them: what is absent is the service's choice again.
        defaults: TopicDefaults,
    },
    /// Set the same for all virtual clusters that do not say, whole. Replies [`Reply::Done`].
    SetServiceTopicDefaults {
        /// All of them.
        defaults: TopicDefaults,
    },
    /// Make a key. Replies [`Reply::Key`]; the caller derives the secret.
    CreateKey {
        /// For which virtual cluster.
        tenant: TenantId,
        /// A name for people.
        name: String,
        /// What it may do.
        grants: Grants,
        /// The root key's version with which the caller will derive the secret.
        root_version: u32,
    },
    /// End a key's life; doing it twice is not an error. Replies [`Reply::Key`].
    RevokeKey {
        /// The tenant whose key it must be.
        tenant: TenantId,
        /// The key.
        key: KeyId,
    },
    /// Make a topic. Replies [`Reply::Topic`].
    CreateTopic(CreateTopic),
    /// Delete a topic. Replies [`Reply::Topic`] with the tombstone.
    DeleteTopic {
        /// Whose.
        tenant: TenantId,
        /// Its name.
        name: String,
    },
    /// Add partitions. Replies [`Reply::Topic`].
    CreatePartitions {
        /// Whose.
        tenant: TenantId,
        /// The topic's name.
        name: String,
        /// How many it shall have in all.
        total: i32,
        /// Only say whether it could be done.
        validate_only: bool,
    },
    /// Set or (with none) unset configs of a topic. Replies [`Reply::Topic`].
    AlterTopicConfig {
        /// Whose.
        tenant: TenantId,
        /// The topic's name.
        name: String,
        /// Config by config.
        changes: BTreeMap<String, Option<String>>,
        /// Only say whether it could be done.
        validate_only: bool,
    },
    /// Put these configs of a topic in place of all that were set. Replies [`Reply::Topic`].
    ReplaceTopicConfig {
        /// Whose.
        tenant: TenantId,
        /// The topic's name.
        name: String,
        /// All configs that are set from now on.
        config: BTreeMap<String, String>,
        /// Only say whether it could be done.
        validate_only: bool,
    },
    /// Set a quota, whole. Replies [`Reply::Quota`].
    SetQuota {
        /// Whom it binds.
        scope: QuotaScope,
        /// The caps; all absent removes it.
        quota: Quota,
    },
    /// Write and delete SQL rows, all or none. Replies [`Reply::Done`].
    WriteSql {
        /// Whose.
        tenant: TenantId,
        /// Rows to write.
        put: Vec<PutSql>,
        /// Rows to delete, by kind and name; one that is not there is no error.
        delete: Vec<(String, String)>,
        /// Refuse if a SQL row of the tenant was written or deleted after this version; none = whatever.
        expected: Option<u64>,
    },
    /// A process start. Replies [`Reply::Node`].
    RegisterNode(RegisterNode),
    /// The journal has the registration's number on disk (fsynced): from here on an older number proves that the
    /// journal was rolled back. To be acknowledged before the node serves. Replies [`Reply::Done`].
    ConfirmRegistration {
        /// Whose.
        journal: JournalId,
        /// The number.
        registration: Registration,
    },
    /// A node lives, and its image has come so far. Changes no row, unless the
    /// node was taken for lost. Replies [`Reply::Done`].
    Heartbeat {
        /// The process start.
        registration: Registration,
        /// The version of its image.
        version: u64,
    },
    /// A node's session has ended (the controller says so). Replies [`Reply::Done`].
    EndSession {
        /// Whose.
        journal: JournalId,
        /// The process start that was judged; a newer one is spared.
        registration: Registration,
    },
    /// A leader proposes a new set of in-sync replicas. Replies [`Reply::Done`]; [`Refusal::VersionConflict`] when the
    /// group's row has changed since, be it by an earlier copy of the same proposal (log.md 14).
    ProposeIsr {
        /// The group.
        group: GroupId,
        /// The epoch in which the proposer leads.
        epoch: Epoch,
        /// The version of the group's row that it changes: a copy that comes late must not undo what came after.
        base_version: u64,
        /// The new set, with the incarnation of each.
        isr: Vec<Replica>,
    },
    /// A leader has stored a snapshot of its group. Replies [`Reply::Done`].
    ReportSnapshot {
        /// The group.
        group: GroupId,
        /// The epoch in which the reporter leads.
        epoch: Epoch,
        /// Where it lies.
        snapshot: SnapshotRef,
    },
    /// A leader's group has committed the deletion of a topic's partitions in it. Replies [`Reply::Done`].
    ReportDeleted {
        /// The group.
        group: GroupId,
        /// The topic.
        topic: TopicId,
        /// The partitions.
        partitions: Vec<PartitionIndex>,
    },
    /// The operator's decision that journals which no living node has are lost: every group all of whose members
    /// are gone is led from its last snapshot by this journal alone (log.md 17). Replies [`Reply::Recovered`].
    RecoverGroups {
        /// Who takes them over.
        journal: JournalId,
    },
    /// Reserve a block of producer ids. Replies [`Reply::ProducerIds`].
    AllocateProducerIds,
    /// Raise the feature level (log.md 41). Replies [`Reply::Done`].
    RaiseFeatureLevel {
        /// To which.
        level: u32,
    },
    /// Make the internal topics that are not there yet. Replies [`Reply::Done`].
    EnsureInternalTopics,
    /// Make the internal topic of a tenant's SQL changelogs unless it is there. Replies [`Reply::Topic`].
    EnsureSqlChangelog {
        /// Whose.
        tenant: TenantId,
    },
    /// On an empty catalog: make the first organisation, environment, virtual cluster and admin key. Replies
    /// [`Reply::Key`], or [`Reply::Done`] when the catalog is not empty.
    Bootstrap {
        /// The root key's version.
        root_version: u32,
    },
    /// Make another admin key of the first virtual cluster, for who lost theirs. Replies [`Reply::Key`].
    ReplaceBootstrapKey {
        /// The root key's version.
        root_version: u32,
    },
}

/// What a command made.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Nothing to tell.
    Done,
    /// The organisation.
    Organisation(Arc<OrganisationRow>),
    /// The environment.
    Environment(Arc<EnvironmentRow>),
    /// The virtual cluster.
    VirtualCluster(Arc<VirtualClusterRow>),
    /// The key.
    Key(Arc<KeyRow>),
    /// The topic, as it is or (validate only) would be.
    Topic(Arc<TopicRow>),
    /// The quota.
    Quota(Arc<QuotaRow>),
    /// The node, with its registration.
    Node(Arc<NodeRow>),
    /// The groups that were taken over.
    Recovered(GroupsRecovered),
    /// A block of producer ids: from `first`, `count` of them.
    ProducerIds {
        /// The first.
        first: ProducerId,
        /// How many.
        count: u32,
    },
}

/// What [`Command::RecoverGroups`] has done, and what it left alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupsRecovered {
    /// What was taken over.
    pub groups: Vec<RecoveredGroup>,
    /// Journals whose groups were left alone, for their nodes' sessions have not ended.
    pub alive: Vec<JournalId>,
}

/// A group whose journals are lost and which goes on from its last snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoveredGroup {
    /// The group.
    pub group: GroupId,
    /// Whose partitions it holds.
    pub purpose: GroupPurpose,
    /// The epoch in which it goes on.
    pub epoch: Epoch,
    /// The journals that held it.
    pub lost: Vec<JournalId>,
    /// Where it goes on: what was written later is lost. None: all that it held is lost.
    pub snapshot: Option<SnapshotRef>,
    /// Partitions of topics in it.
    pub partitions: usize,
}

impl fmt::Display for RecoveredGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (group, partitions) = (self.group, self.partitions);
        match (&self.snapshot, partitions) {
            (Some(snapshot), _) => write!(
                f,
                "group {group} ({partitions} partitions) goes on from its snapshot at LSN {}: whatever was written \
                 after it is lost",
                snapshot.lsn
            ),
            (None, 0) => write!(f, "group {group} held no partitions: nothing is lost"),
            (None, _) => write!(
                f,
                "group {group} ({partitions} partitions) has no snapshot in the store: ALL RECORDS of these \
                 partitions are lost, they begin again empty"
            ),
        }
    }
}

impl Command {
    /// Its name, for the audit and for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Command::CreateOrganisation { .. } => "CreateOrganization",
            Command::CreateEnvironment { .. } => "CreateEnvironment",
            Command::CreateVirtualCluster { .. } => "CreateVirtualCluster",
            Command::SetTopicDefaults { .. } => "SetTopicDefaults",
            Command::SetServiceTopicDefaults { .. } => "SetServiceTopicDefaults",
            Command::CreateKey { .. } => "CreateKey",
            Command::RevokeKey { .. } => "RevokeKey",
            Command::CreateTopic(_) => "CreateTopic",
            Command::DeleteTopic { .. } => "DeleteTopic",
            Command::CreatePartitions { .. } => "CreatePartitions",
            Command::AlterTopicConfig { .. } => "AlterTopicConfig",
            Command::ReplaceTopicConfig { .. } => "ReplaceTopicConfig",
            Command::SetQuota { .. } => "SetQuota",
            Command::WriteSql { .. } => "WriteSql",
            Command::RegisterNode(_) => "RegisterNode",
            Command::ConfirmRegistration { .. } => "ConfirmRegistration",
            Command::Heartbeat { .. } => "Heartbeat",
            Command::EndSession { .. } => "EndSession",
            Command::ProposeIsr { .. } => "ProposeIsr",
            Command::ReportSnapshot { .. } => "ReportSnapshot",
            Command::ReportDeleted { .. } => "ReportDeleted",
            Command::RecoverGroups { .. } => "RecoverGroups",
            Command::AllocateProducerIds => "AllocateProducerIds",
            Command::RaiseFeatureLevel { .. } => "RaiseFeatureLevel",
            Command::EnsureInternalTopics => "EnsureInternalTopics",
            Command::EnsureSqlChangelog { .. } => "EnsureSqlChangelog",
            Command::Bootstrap { .. } => "Bootstrap",
            Command::ReplaceBootstrapKey { .. } => "ReplaceBootstrapKey",
        }
    }
}
