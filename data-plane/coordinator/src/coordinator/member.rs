//! One member of a group, as the leader knows it.

use crate::command::{Client, Protocol};
use crate::ledger::Token;
use bytes::Bytes;

/// One member.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) instance_id: Option<String>,
    pub(super) client: Client,
    pub(super) session_timeout_ms: i32,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) protocols: Vec<Protocol>,
    pub(super) assignment: Bytes,
    /// It has not completed a join yet.
    pub(super) is_new: bool,
    pub(super) awaiting_join: Option<Token>,
    pub(super) awaiting_sync: Option<Token>,
    /// When its session ends; none while it waits for us.
    pub(super) deadline_ms: Option<u64>,
    /// When its timer fires, at or before the deadline: a heartbeat moves only the deadline.
    pub(super) armed_ms: Option<u64>,
}

impl Member {
    pub(super) fn new(instance_id: Option<String>, client: Client) -> Member {
        Member {
            instance_id,
            client,
            session_timeout_ms: 0,
            rebalance_timeout_ms: 0,
            protocols: Vec::new(),
            assignment: Bytes::new(),
            is_new: true,
            awaiting_join: None,
            awaiting_sync: None,
            deadline_ms: None,
            armed_ms: None,
        }
    }

    pub(super) fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let found = self
            .protocols
            .iter()
            .find(|offered| Some(offered.name.as_str()) == protocol);
        found.map(|offered| offered.metadata.clone()).unwrap_or_default()
    }

    /// Forgets its timers: it goes on under another id.
    pub(super) fn disarm(&mut self) {
        (self.deadline_ms, self.armed_ms) = (None, None);
    }

    pub(super) fn bytes(&self) -> usize {
        self.protocols
            .iter()
            .map(|protocol| protocol.name.len() + protocol.metadata.len())
            .sum()
    }
}
