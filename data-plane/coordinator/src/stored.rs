//! What is stored of a group: values, as records carry them and the ledger keeps them.

use bytes::Bytes;
use millstream_model::{Offset, TimestampMs};

/// A member as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMember {
    /// Its member id.
    pub member_id: String,
    /// Its instance id, if static.
    pub instance_id: Option<String>,
    /// Its client id.
    pub client_id: String,
    /// Its address.
    pub client_host: String,
    /// Its session timeout, ms.
    pub session_timeout_ms: i32,
    /// Its rebalance timeout, ms.
    pub rebalance_timeout_ms: i32,
    /// Its metadata for the strategy in use.
    pub metadata: Bytes,
    /// What it was assigned.
    pub assignment: Bytes,
}

/// A group's metadata, as of its last completed rebalance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupMetadata {
    /// The generation.
    pub generation: i32,
    /// The kind of group; empty when it never had members.
    pub protocol_type: String,
    /// The strategy in use; none while it is empty.
    pub protocol: Option<String>,
    /// The leader's member id; none while it is empty.
    pub leader: Option<String>,
    /// When it came to be so.
    pub time: TimestampMs,
    /// Its members, by member id.
    pub members: Vec<StoredMember>,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: Offset,
    /// The leader epoch of the record before it, -1 when unknown.
    pub leader_epoch: i32,
    /// The client's own words.
    pub metadata: String,
    /// When it was committed.
    pub time: TimestampMs,
    /// When it goes, if the client said how long to keep it.
    pub expires: Option<TimestampMs>,
}
