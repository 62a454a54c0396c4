//! Nodes: process starts, sessions, and the leaderships that follow from them (log.md 12-14, 17-19).

use crate::authorise::{Need, authorise, authorise_node};
use crate::decide::command::{Decide, Subject};
use crate::decide::topics::create_internal;
use crate::draft::Draft;
use crate::place::{JOURNAL_GROUPS, replicas_max};
use crate::seeds::Seeds;
use millstream_metadata::stored::FEATURE_LEVEL_MAX;
use millstream_metadata::{
    Actor, AllocateProducerIds, Class, ConfirmRegistration, EndSession, GroupPurpose, GroupRow, Heartbeat,
    HostPort, Image, NodeRow, ProducerIds, RaiseFeatureLevel, Refusal, RegisterNode, Replica, Row,
};
use millstream_model::limits::PRODUCER_ID_BLOCK;
use millstream_model::{Epoch, GroupId, JournalId, NodeId, ProducerId, Registration};
use std::sync::Arc;

impl Decide for RegisterNode {
    fn decide(&self, draft: &mut Draft, seeds: &mut Seeds, actor: &Actor) -> Result<Arc<NodeRow>, Refusal> {
        authorise(draft.image(), actor, Need::Service)?;
        check_address(&self.kafka)?;
        check_address(&self.http)?;
        let known = draft.image().node_of(self.journal).cloned();
        check_rollback(known.as_deref(), self)?;
        if self.feature_level_max < draft.image().feature_level() {
            let reason = format!(
                "the cluster is at feature level {}, this release knows up to {}: start a newer release",
                draft.image().feature_level(),
                self.feature_level_max
            );
            return Err(Refusal::InvalidRequest { reason });
        }
        let registration = Registration(draft.cluster(|row| {
            row.feature_level = row.feature_level.max(1);
            row.registration_next += 1;
            row.registration_next
        }));
        let id = match &known {
            Some(node) => node.id,
            None => NodeId(draft.cluster(|row| {
                row.node_next += 1;
                row.node_next
            })),
        };
        let node = Arc::new(NodeRow {
            id,
            journal: self.journal,
            registration,
            registration_confirmed: known
                .as_ref()
                .map(|node| node.registration_confirmed)
                .unwrap_or_default(),
            kafka: self.kafka.clone(),
            http: self.http.clone(),
            feature_level_max: self.feature_level_max,
            lost: false,
            registered: seeds.now(),
        });
        draft.put(Row::Node(Arc::clone(&node)));
        if known.is_none() {
            create_groups(draft, &node);
        } else {
            restart_groups(draft, &node);
        }
        create_internal(draft, seeds);
        Ok(node)
    }

    fn subject(&self, _image: &Image, _reply: &Arc<NodeRow>) -> Option<Subject> {
        Subject::service(self.journal)
    }
}

/// A journal that knows an older number than the one it once confirmed was rolled back or copied.
fn check_rollback(known: Option<&NodeRow>, start: &RegisterNode) -> Result<(), Refusal> {
    let (Some(node), last) = (known, start.registration_last) else {
        return match start.registration_last {
            Some(number) => Err(Refusal::Fenced {
                reason: format!(
                    "journal {} was registered before (as {number}), but not in this cluster: it belongs elsewhere",
                    start.journal
                ),
            }),
            None => Ok(()),
        };
    };
    if last.unwrap_or_default() >= node.registration_confirmed
        && last.unwrap_or_default() <= node.registration
    {
        return Ok(());
    }
    // Damage took the number with it; what precedes it is served, and nothing is taken (log.md 5).
    if start.damaged && last.unwrap_or_default() < node.registration_confirmed {
        return Ok(());
    }
    let reason = format!(
        "journal {} knows registration {}, but {} was confirmed: it was rolled back or copied, or has lost files, and may \
         lack acknowledged records; put the newest copy in its place, or, if there is none, move it away and start with \
         --recover-groups, which goes on from the groups' last snapshots in the store",
        start.journal,
        last.unwrap_or_default(),
        node.registration_confirmed
    );
    Err(Refusal::Fenced { reason })
}

/// A new journal's own groups: several for tenants, and the first one for internal topics.
fn create_groups(draft: &mut Draft, node: &NodeRow) {
    assert!(
        replicas_max(FEATURE_LEVEL_MAX) == 1,
        "bug: groups of several journals are made by the placement"
    );
    let internal = draft
        .image()
        .groups()
        .any(|group| group.purpose == GroupPurpose::Internal);
    if !internal {
        create_group(draft, node, GroupPurpose::Internal);
    }
    for _ in 0..JOURNAL_GROUPS {
        create_group(draft, node, GroupPurpose::Tenants);
    }
}

fn create_group(draft: &mut Draft, node: &NodeRow, purpose: GroupPurpose) {
    let id = GroupId(draft.cluster(|row| {
        row.group_next += 1;
        row.group_next
    }));
    draft.put_group(GroupRow {
        id,
        purpose,
        class: Class::ONE,
        epoch: Epoch(1),
        version: 0,
        leader: Some(node.journal),
        isr: vec![Replica {
            journal: node.journal,
            registration: node.registration,
        }],
        members: vec![node.journal],
        snapshot: None,
        snapshot_previous: None,
    });
}

/// Ends every leadership of a journal that starts again (log.md 14): the next epoch of a group is led by an in-sync
/// member that did not restart, else by the journal itself. A group whose leader's session has ended goes on as well,
/// if the journal is in sync: nobody was there to take over when it ended.
fn restart_groups(draft: &mut Draft, node: &NodeRow) {
    for group in groups_of(draft, node.journal) {
        let mut row = group.as_ref().clone();
        for replica in row
            .isr
            .iter_mut()
            .filter(|replica| replica.journal == node.journal)
        {
            replica.registration = node.registration;
        }
        let in_sync = row.isr.iter().any(|replica| replica.journal == node.journal);
        let is_over = row.leader.is_none_or(|leader| leader == node.journal);
        if is_over || in_sync && has_lost_its_leader(draft, &row) {
            row.epoch = next(row.epoch);
            let other = live_member(draft, &row, node.journal);
            row.leader = other.or(in_sync.then_some(node.journal));
        }
        draft.put_group(row);
    }
}

impl Decide for ConfirmRegistration {
    fn decide(&self, draft: &mut Draft, _seeds: &mut Seeds, actor: &Actor) -> Result<(), Refusal> {
        let &ConfirmRegistration {
            journal,
            registration,
        } = self;
        let node = incarnation(draft, journal, registration)?;
        authorise_node(actor, Some(node.id))?;
        if node.registration_confirmed < registration {
            draft.put(Row::Node(Arc::new(NodeRow {
                registration_confirmed: registration,
                ..node.as_ref().clone()
            })));
        }
        Ok(())
    }

    fn subject(&self, _image: &Image, _reply: &()) -> Option<Subject> {
        None
    }
}

impl Decide for Heartbeat {
    fn decide(&self, draft: &mut Draft, _seeds: &mut Seeds, actor: &Actor) -> Result<(), Refusal> {
        let Actor::Node(id) = actor else {
            return Err(Refusal::PermissionDenied {
                reason: "only nodes send heartbeats".to_owned(),
            });
        };
        let node = draft.image().node(*id).cloned();
        let node = node.ok_or_else(|| Refusal::Fenced {
            reason: format!("node {id} is not registered"),
        })?;
        if node.registration != self.registration {
            let reason = format!(
                "node {id} registered again as {}, this process is {}",
                node.registration, self.registration
            );
            return Err(Refusal::Fenced { reason });
        }
        if node.lost {
            draft.put(Row::Node(Arc::new(NodeRow {
                lost: false,
                ..node.as_ref().clone()
            })));
            adopt_leaderless(draft, node.journal);
        }
        Ok(())
    }

    fn subject(&self, _image: &Image, _reply: &()) -> Option<Subject> {
        None
    }
}

/// Groups that lost their last live leader go on with the in-sync member that is back.
fn adopt_leaderless(draft: &mut Draft, journal: JournalId) {
    for group in groups_of(draft, journal) {
        let in_sync = group.isr.iter().any(|replica| replica.journal == journal);
        if in_sync && (group.leader.is_none() || has_lost_its_leader(draft, &group)) {
            let mut row = group.as_ref().clone();
            row.epoch = next(row.epoch);
            row.leader = Some(journal);
            draft.put_group(row);
        }
    }
}

impl Decide for EndSession {
    /// A session has ended: leaderships go to healthy in-sync members. Where there is none, the leader stays: it may be
    /// alive, and nobody else could serve (log.md 19).
    fn decide(&self, draft: &mut Draft, _seeds: &mut Seeds, actor: &Actor) -> Result<(), Refusal> {
        let &EndSession {
            journal,
            registration,
        } = self;
        authorise(draft.image(), actor, Need::Service)?;
        let node = incarnation(draft, journal, registration)?;
        if !node.lost {
            draft.put(Row::Node(Arc::new(NodeRow {
                lost: true,
                ..node.as_ref().clone()
            })));
        }
        for group in groups_of(draft, journal) {
            if group.leader != Some(journal) {
                continue;
            }
            if let Some(successor) = live_member(draft, &group, journal) {
                let mut row = group.as_ref().clone();
                row.epoch = next(row.epoch);
                row.leader = Some(successor);
                draft.put_group(row);
            }
        }
        Ok(())
    }

    fn subject(&self, _image: &Image, _reply: &()) -> Option<Subject> {
        Subject::service(self.journal)
    }
}

impl Decide for AllocateProducerIds {
    fn decide(&self, draft: &mut Draft, _seeds: &mut Seeds, actor: &Actor) -> Result<ProducerIds, Refusal> {
        match actor {
            Actor::System => {}
            Actor::Node(id) if draft.image().node(*id).is_some() => {}
            Actor::Node(_) | Actor::Key { .. } => {
                return Err(Refusal::PermissionDenied {
                    reason: "only nodes reserve producer ids".to_owned(),
                });
            }
        }
        let first = ProducerId(draft.cluster(|row| {
            let first = row.producer_next;
            row.producer_next = first.saturating_add(i64::from(PRODUCER_ID_BLOCK));
            first
        }));
        Ok(ProducerIds {
            first,
            count: PRODUCER_ID_BLOCK,
        })
    }

    fn subject(&self, _image: &Image, _reply: &ProducerIds) -> Option<Subject> {
        None
    }
}

impl Decide for RaiseFeatureLevel {
    fn decide(&self, draft: &mut Draft, _seeds: &mut Seeds, actor: &Actor) -> Result<(), Refusal> {
        let level = self.level;
        authorise(draft.image(), actor, Need::Operator)?;
        let now = draft.image().feature_level();
        if level < now {
            let reason = format!("the feature level is {now} and cannot be lowered");
            return Err(Refusal::InvalidRequest { reason });
        }
        // The controller writes rows too.
        if level > FEATURE_LEVEL_MAX {
            let reason =
                format!("this release knows feature levels up to {FEATURE_LEVEL_MAX}: start a newer release");
            return Err(Refusal::InvalidRequest { reason });
        }
        if let Some(old) = draft.image().nodes().find(|node| node.feature_level_max < level) {
            let reason = format!(
                "node {} knows feature levels up to {} only",
                old.id, old.feature_level_max
            );
            return Err(Refusal::InvalidRequest { reason });
        }
        if level > now {
            draft.cluster(|row| row.feature_level = level);
        }
        Ok(())
    }

    fn subject(&self, _image: &Image, _reply: &()) -> Option<Subject> {
        Subject::service(self.level)
    }
}

/// The node of a journal, if this is its current process start.
pub(super) fn incarnation(
    draft: &Draft,
    journal: JournalId,
    registration: Registration,
) -> Result<Arc<NodeRow>, Refusal> {
    let node = draft.image().node_of(journal).cloned();
    let node = node.ok_or_else(|| Refusal::Fenced {
        reason: format!("journal {journal} is not registered"),
    })?;
    if node.registration == registration {
        return Ok(node);
    }
    let reason = format!(
        "journal {journal} is registered as {}, not {registration}",
        node.registration
    );
    Err(Refusal::Fenced { reason })
}

/// Whether the session of a group's leader has ended, without anybody to take over then.
fn has_lost_its_leader(draft: &Draft, group: &GroupRow) -> bool {
    let node = group.leader.and_then(|leader| draft.image().node_of(leader));
    node.is_some_and(|node| node.lost)
}

fn groups_of(draft: &Draft, journal: JournalId) -> Vec<Arc<GroupRow>> {
    draft
        .image()
        .groups()
        .filter(|group| group.members.contains(&journal))
        .cloned()
        .collect()
}

/// An in-sync member other than `not` whose node is there.
pub(super) fn live_member(draft: &Draft, group: &GroupRow, not: JournalId) -> Option<JournalId> {
    let live = |replica: &&Replica| {
        replica.journal != not
            && draft
                .image()
                .node_of(replica.journal)
                .is_some_and(|node| !node.lost && node.registration == replica.registration)
    };
    group.isr.iter().find(live).map(|replica| replica.journal)
}

pub(super) fn next(epoch: Epoch) -> Epoch {
    Epoch(epoch.0 + 1)
}

fn check_address(address: &HostPort) -> Result<(), Refusal> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if !address.host.is_empty()
        && address.host.len() <= 255
        && address.host.chars().all(legal)
        && address.port != 0
    {
        return Ok(());
    }
    Err(Refusal::InvalidRequest {
        reason: format!("'{address}' is not an address that clients could dial"),
    })
}
