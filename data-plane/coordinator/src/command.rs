//! What members and administrators ask of a group, free of Kafka's wire types.

use crate::ledger::LedgerKey;
use bytes::Bytes;
use millstream_model::{ConsumerGroupName, Offset, PartitionId, TenantId, TopicName};
use std::borrow::Cow;
use std::fmt;

/// A group, named as it must be: with its tenant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey {
    /// Whose group it is.
    pub tenant: TenantId,
    /// Its id within the tenant.
    pub group: ConsumerGroupName,
}

impl GroupKey {
    /// Sorts before or at every group of the tenant: the smallest name there is.
    pub(crate) fn first(tenant: TenantId) -> GroupKey {
        let group = "\0".parse().expect("bug: one character is a name");
        GroupKey { tenant, group }
    }
}

impl LedgerKey for GroupKey {
    fn tenant(&self) -> TenantId {
        self.tenant
    }

    fn name(&self) -> Cow<'_, [u8]> {
        self.group.as_str().as_bytes().into()
    }
}

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tenant.account(), self.group)
    }
}

/// Kafka's `group.*` and `offsets.*` broker settings, with its defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `group.initial.rebalance.delay.ms`: how long the first member of an empty group waits for others.
    pub initial_rebalance_delay_ms: u64,
    /// `group.min.session.timeout.ms`.
    pub session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`.
    pub session_timeout_ms_max: i32,
    /// `offsets.retention.minutes`, in ms: how long an empty group keeps its offsets.
    pub offsets_retention_ms: i64,
    /// How often retention is looked at, ms.
    pub retention_check_ms: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            initial_rebalance_delay_ms: 3_000,
            session_timeout_ms_min: 6_000,
            session_timeout_ms_max: 1_800_000,
            offsets_retention_ms: 7 * 24 * 3_600_000,
            retention_check_ms: 600_000,
        }
    }
}

/// Who sits at the other end of a member's connection, as DescribeGroups shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The request header's client id.
    pub id: String,
    /// The peer's address, as Kafka writes it: `/127.0.0.1`.
    pub host: String,
}

/// One assignment strategy that a member supports, with its metadata for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// The strategy, such as `range`.
    pub name: String,
    /// The member's subscription in that strategy's own form.
    pub metadata: Bytes,
}

/// A member as it names itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberRef {
    /// Its member id; empty when it has none yet.
    pub member_id: String,
    /// Its `group.instance.id`, for static members (KIP-345).
    pub instance_id: Option<String>,
}

/// JoinGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// Who joins.
    pub member: MemberRef,
    /// Who it is to a person.
    pub client: Client,
    /// Its session timeout, ms.
    pub session_timeout_ms: i32,
    /// Its rebalance timeout, ms; version 0 clients mean their session timeout.
    pub rebalance_timeout_ms: i32,
    /// The kind of group, such as `consumer`.
    pub protocol_type: String,
    /// The strategies that it supports, the preferred one first.
    pub protocols: Vec<Protocol>,
    /// Whether a member without an id must come back with one (KIP-394; version 4 and later).
    pub member_id_required: bool,
    /// Whether the client understands "you lead, but assign nothing" (version 9 and later).
    pub skip_assignment_supported: bool,
    /// Fresh randomness for a new member id: the shell's, for this crate has none.
    pub nonce: u128,
}

/// SyncGroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    /// Who syncs.
    pub member: MemberRef,
    /// The generation that it joined.
    pub generation: i32,
    /// The kind of group that it expects (version 5 and later).
    pub protocol_type: Option<String>,
    /// The strategy that it expects (version 5 and later).
    pub protocol: Option<String>,
    /// From the leader: each member's assignment.
    pub assignments: Vec<(String, Bytes)>,
}

/// Heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Who is alive.
    pub member: MemberRef,
    /// The generation that it is in.
    pub generation: i32,
}

/// One member that leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// Who leaves; an administrator names a static member by its instance id alone.
    pub member: MemberRef,
}

/// LeaveGroup: one member, or several at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leave {
    /// Who leaves.
    pub members: Vec<Leaving>,
}

/// One partition's offset to commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetToCommit {
    /// The partition, known to exist.
    pub partition: PartitionId,
    /// The next offset to read.
    pub offset: Offset,
    /// The leader epoch of the record before it, -1 when unknown.
    pub leader_epoch: i32,
    /// The client's own words.
    pub metadata: String,
}

/// OffsetCommit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitOffsets {
    /// Who commits; empty for clients that manage their partitions themselves.
    pub member: MemberRef,
    /// Its generation, -1 for clients that manage their partitions themselves.
    pub generation: i32,
    /// Versions 2 to 4 may say how long to keep it; `None` means the broker's setting.
    pub retention_ms: Option<i64>,
    /// What to commit.
    pub offsets: Vec<OffsetToCommit>,
}

/// DeleteGroups: one group, which must have no members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteGroup;

/// OffsetDelete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeleteOffsets {
    /// Of which partitions, each with its topic's name.
    pub offsets: Vec<(TopicName, PartitionId)>,
}
