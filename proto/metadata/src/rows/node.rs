//! Nodes: brokers and where they are.

#[cfg(test)]
use crate::kind::Draw;
use crate::kind::{Kind, StoredKey, take};
use millstream_model::{JournalId, NodeId, Registration, TimestampMs};
use rpds::RedBlackTreeMapSync as Map;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

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

impl Kind for NodeRow {
    const TAG: u8 = 8;
    const VERSION: u8 = 1;
    type Key = NodeId;
    type Table = Map<NodeId, Arc<NodeRow>>;

    fn key(&self) -> NodeId {
        self.id
    }

    #[cfg(test)]
    fn sample(draw: &Draw) -> NodeRow {
        NodeRow {
            id: NodeId(i32::try_from(draw.small()).unwrap()),
            journal: JournalId(draw.uuid()),
            registration: Registration(draw.number),
            registration_confirmed: Registration(draw.number / 2),
            kafka: HostPort {
                host: draw.text.clone(),
                port: 9092,
            },
            http: HostPort {
                host: draw.text.clone(),
                port: 8080,
            },
            feature_level_max: draw.small(),
            lost: draw.flag,
            registered: draw.time(),
        }
    }
}

impl StoredKey for NodeId {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }

    fn take(bytes: &mut &[u8]) -> Option<NodeId> {
        take(bytes).map(i32::from_be_bytes).map(NodeId)
    }
}
