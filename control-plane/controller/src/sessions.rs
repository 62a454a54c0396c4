//! Which nodes are alive, as far as one can tell: pure, over a clock that only goes forward.

use millstream_metadata::Image;
use millstream_model::{JournalId, NodeId, Registration};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// When each node was last heard, and how far its image had come.
#[derive(Debug)]
pub struct Sessions {
    own: BTreeSet<JournalId>,
    timeout_ms: u64,
    ticked_ms: u64,
    heard: BTreeMap<NodeId, Heard>,
}

#[derive(Clone, Copy, Debug)]
struct Heard {
    registration: Registration,
    at_ms: u64,
    version: u64,
}

impl Sessions {
    /// Of a controller that has just taken over: every node gets a fresh session when it is first looked at (log.md
    /// 37). A node of the controller's own process (`own`) lives as long as it.
    pub fn new(own: BTreeSet<JournalId>, timeout: Duration, now_ms: u64) -> Sessions {
        let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        Sessions {
            own,
            timeout_ms,
            ticked_ms: now_ms,
            heard: BTreeMap::new(),
        }
    }

    /// A node of the controller's own process has registered.
    pub fn add_own(&mut self, journal: JournalId) {
        self.own.insert(journal);
    }

    /// The nodes of the controller's own process.
    pub fn own(&self) -> &BTreeSet<JournalId> {
        &self.own
    }

    /// A heartbeat.
    pub fn heard(&mut self, now_ms: u64, node: NodeId, registration: Registration, version: u64) {
        let before = self
            .heard
            .get(&node)
            .filter(|before| before.registration == registration);
        let version = before.map_or(version, |before| before.version.max(version));
        self.heard.insert(
            node,
            Heard {
                registration,
                at_ms: now_ms,
                version,
            },
        );
    }

    /// The process starts whose session is over. A tick that came late itself judges nobody: the pause may have been
    /// this process's.
    pub fn expired(&mut self, now_ms: u64, image: &Image) -> Vec<(JournalId, Registration)> {
        let late = now_ms.saturating_sub(self.ticked_ms) > self.timeout_ms / 2;
        self.ticked_ms = now_ms;
        let mut expired = Vec::new();
        for node in image
            .nodes()
            .filter(|node| !node.lost && !self.own.contains(&node.journal))
        {
            let known = self
                .heard
                .get(&node.id)
                .filter(|heard| heard.registration == node.registration);
            match known.copied() {
                Some(heard) if !late && now_ms.saturating_sub(heard.at_ms) >= self.timeout_ms => {
                    expired.push((node.journal, node.registration));
                }
                Some(_) if !late => {}
                Some(_) | None => {
                    let version = known.map_or(0, |heard| heard.version);
                    let registration = node.registration;
                    self.heard.insert(
                        node.id,
                        Heard {
                            registration,
                            at_ms: now_ms,
                            version,
                        },
                    );
                }
            }
        }
        expired
    }

    /// The nodes that have not said that their image has come to `version`; and those of this process while their copy
    /// on disk, with which a restart may have to begin, has come to `copied` only.
    pub fn unconfirmed(&self, image: &Image, version: u64, copied: u64) -> Vec<NodeId> {
        image
            .nodes()
            .filter(|node| !node.lost)
            .filter(|node| {
                if self.own.contains(&node.journal) {
                    return copied < version;
                }
                let heard = self
                    .heard
                    .get(&node.id)
                    .filter(|heard| heard.registration == node.registration);
                heard.is_none_or(|heard| heard.version < version)
            })
            .map(|node| node.id)
            .collect()
    }
}
