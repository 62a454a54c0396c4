//! What the catalog knows, row by row, as plain data.
//!
//! ```text
//! organisation → environment → virtual cluster (the tenant) → keys, topics, quotas, SQL rows
//! topic → partitions → replica group → members (journals) ← nodes
//! ```

use crate::topic_defaults::TopicDefaults;
use millstream_model::segment::ObjectRef;
use millstream_model::{
    Epoch, GroupId, JournalId, KeyId, LeaderEpoch, Lsn, NodeId, PartitionIndex, Registration, TenantId,
    TimestampMs, TopicId, TopicName,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.simple().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id!(
    /// A customer: owns environments and pays.
    OrganisationId
);
uuid_id!(
    /// A named part of an organisation (production, staging) that holds virtual clusters.
    EnvironmentId
);

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

/// A customer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrganisationRow {
    /// Its id.
    pub id: OrganisationId,
    /// Its name, unique in the cluster.
    pub name: String,
    /// When it was made.
    pub created: TimestampMs,
}

/// An environment of an organisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentRow {
    /// Its id.
    pub id: EnvironmentId,
    /// Whose it is.
    pub organisation: OrganisationId,
    /// Its name, unique in the organisation.
    pub name: String,
    /// When it was made.
    pub created: TimestampMs,
}

/// A virtual cluster: the tenant, with names of its own for everything in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualClusterRow {
    /// Its account id.
    pub id: TenantId,
    /// Whose it is.
    pub organisation: OrganisationId,
    /// The environment it lies in.
    pub environment: EnvironmentId,
    /// Its name, unique in the environment.
    pub name: String,
    /// Whether a client that asks for an unknown topic gets it made.
    pub auto_create_topics: bool,
    /// What its topics get that their makers did not say.
    #[serde(default)]
    pub topic_defaults: TopicDefaults,
    /// The highest leader epoch that a deleted topic of this tenant ever showed: a topic made again under the
    /// same name starts above it, for clients ignore lower epochs (log.md 26).
    pub leader_epoch_floor: i32,
    /// The catalog version that last wrote or deleted one of its SQL rows: for compare-and-set.
    pub sql_version: u64,
    /// When it was made.
    pub created: TimestampMs,
}

/// What a key may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// Everything in the cluster: makes organisations.
    Operator,
    /// Everything in its organisation: environments, virtual clusters, keys, quotas.
    Organisation,
    /// Everything in its virtual cluster: topics, consumer groups, SQL.
    Admin,
    /// Write records.
    Produce,
    /// Read records, use consumer groups.
    Consume,
    /// Ask in SQL: read streams, tables and topics of its virtual cluster, and change nothing.
    SqlRead,
}

/// A key's grants.
pub type Grants = BTreeSet<Grant>;

/// Whether a key can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyState {
    /// It can.
    Active,
    /// Never again; since when.
    Revoked {
        /// When it was revoked.
        at: TimestampMs,
    },
}

/// An API key, of one virtual cluster. Its secret is derived, never stored (log.md 43).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// Its public half.
    pub id: KeyId,
    /// The virtual cluster it speaks for.
    pub tenant: TenantId,
    /// The organisation of that virtual cluster.
    pub organisation: OrganisationId,
    /// A name for people.
    pub name: String,
    /// What it may do.
    pub grants: Grants,
    /// The salt from which its secret is derived.
    pub salt: [u8; 16],
    /// The version of the root key from which its secret is derived.
    pub root_version: u32,
    /// Whether it can be used.
    pub state: KeyState,
    /// When it was made.
    pub created: TimestampMs,
}

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

/// How many replicas a group has and how many must have a write before it commits (log.md 17).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Class {
    /// Replicas.
    pub replicas: u8,
    /// The ISR never shrinks below this.
    pub minimum: u8,
}

impl Class {
    /// One replica.
    pub const ONE: Class = Class {
        replicas: 1,
        minimum: 1,
    };
    /// Two replicas, one suffices.
    pub const TWO: Class = Class {
        replicas: 2,
        minimum: 1,
    };
    /// Three replicas, two suffice.
    pub const THREE: Class = Class {
        replicas: 3,
        minimum: 2,
    };

    /// The class with so many replicas.
    pub fn of_replicas(replicas: i16) -> Option<Class> {
        match replicas {
            1 => Some(Class::ONE),
            2 => Some(Class::TWO),
            3 => Some(Class::THREE),
            _ => None,
        }
    }
}

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

/// An address as clients dial it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostPort {
    /// A name or an IP address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A broker: a journal and the process that serves it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRow {
    /// The broker id that clients see; a journal keeps its own for ever.
    pub id: NodeId,
    /// Its identity (log.md 12).
    pub journal: JournalId,
    /// The number of its last process start.
    pub registration: Registration,
    /// The newest number that its journal is known to have on disk: an older one proves a rollback (log.md 13).
    pub registration_confirmed: Registration,
    /// Where Kafka clients reach it.
    pub kafka: HostPort,
    /// Where gRPC and HTTP clients reach it.
    pub http: HostPort,
    /// The newest feature level that its release knows.
    pub feature_level_max: u32,
    /// Whether its session has ended (it missed heartbeats).
    pub lost: bool,
    /// When this process registered.
    pub registered: TimestampMs,
}

/// Whom a quota binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaScope {
    /// A whole virtual cluster.
    Tenant(TenantId),
    /// One key.
    Key(KeyId),
}

/// Caps; none where a field is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Bytes per second produced.
    pub produce_bytes_per_second: Option<u64>,
    /// Bytes per second fetched.
    pub fetch_bytes_per_second: Option<u64>,
    /// Requests per second.
    pub requests_per_second: Option<u64>,
    /// Connections at once.
    pub connections: Option<u32>,
    /// Partitions in all.
    pub partitions: Option<u32>,
    /// Bytes stored.
    pub storage_bytes: Option<u64>,
    /// SQL compute: milliseconds of CPU per second.
    pub sql_cpu_ms_per_second: Option<u32>,
}

/// A quota and whom it binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaRow {
    /// Whom it binds.
    pub scope: QuotaScope,
    /// The caps.
    pub quota: Quota,
}

/// Something that the SQL engine keeps in the catalog: a source, a query, a shard. The control plane does not
/// read the body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlRow {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is, in the SQL engine's words.
    pub kind: String,
    /// Its name, unique in (tenant, kind).
    pub name: String,
    /// The statement that made it.
    pub text: String,
    /// What the engine resolved, in its own versioned form.
    pub body: String,
    /// Topics whose number of partitions it relies on: they do not grow while it is there.
    pub pinned_topics: Vec<String>,
    /// The catalog version that last wrote it.
    pub version: u64,
    /// The key that wrote it last.
    pub owner: KeyId,
    /// When it was first written.
    pub created: TimestampMs,
    /// When it was written last.
    pub updated: TimestampMs,
}

/// Who changed what, written with the change itself (log.md 39). Not part of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRow {
    /// Its number.
    pub sequence: u64,
    /// When it was decided.
    pub time: TimestampMs,
    /// The tenant that it concerns, if one.
    pub tenant: Option<TenantId>,
    /// Who asked: a key id, `node <id>` or `system`.
    pub actor: String,
    /// The command's name.
    pub action: String,
    /// What it was done to.
    pub resource: String,
}
