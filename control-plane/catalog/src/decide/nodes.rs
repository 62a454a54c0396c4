//! Nodes: process starts, sessions, leaderships, and what leaders report (log.md 12-14, 17-19).

use crate::authorise::{Need, authorise, authorise_node};
use crate::decide::topics::create_internal;
use crate::draft::Draft;
use crate::place::{JOURNAL_GROUPS, replicas_max};
use crate::seeds::Seeds;
use millstream_metadata::stored::FEATURE_LEVEL_MAX;
use millstream_metadata::{
    Actor, Class, GroupPurpose, GroupRow, HostPort, NodeRow, Refusal, RegisterNode, Replica, Reply, Row,
    RowKey, SnapshotRef, TopicRow, TopicState,
};
use millstream_model::limits::PRODUCER_ID_BLOCK;
use millstream_model::{
    Epoch, GroupId, JournalId, NodeId, PartitionIndex, ProducerId, Registration, TopicId,
};
use std::sync::Arc;

pub(super) fn register(
    draft: &mut Draft,
    seeds: &mut Seeds,
    actor: &Actor,
    start: &RegisterNode,
) -> Result<Reply, Refusal> {
    authorise(draft.image(), actor, Need::Service)?;
    check_address(&start.kafka)?;
    check_address(&start.http)?;
    let known = draft.image().node_of(start.journal).cloned();
    check_rollback(known.as_deref(), start)?;
    if start.feature_level_max < draft.image().feature_level() {
        let reason = format!(
            "the cluster is at feature level {}, this release knows up to {}: start a newer release",
            draft.image().feature_level(),
            start.feature_level_max
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
        journal: start.journal,
        registration,
        registration_confirmed: known
            .as_ref()
            .map(|node| node.registration_confirmed)
            .unwrap_or_default(),
        kafka: start.kafka.clone(),
        http: start.http.clone(),
        feature_level_max: start.feature_level_max,
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
    Ok(Reply::Node(node))
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
        "journal {} knows registration {}, but {} was confirmed: it was rolled back or copied, and may lack \
         acknowledged records",
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
/// member that did not restart, else by the journal itself.
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
        if row.leader == Some(node.journal) || row.leader.is_none() {
            row.epoch = next(row.epoch);
            let other = live_member(draft, &row, node.journal);
            let own = row
                .isr
                .iter()
                .any(|replica| replica.journal == node.journal)
                .then_some(node.journal);
            row.leader = other.or(own);
        }
        draft.put_group(row);
    }
}

pub(super) fn confirm(
    draft: &mut Draft,
    actor: &Actor,
    journal: JournalId,
    registration: Registration,
) -> Result<Reply, Refusal> {
    let node = incarnation(draft, journal, registration)?;
    authorise_node(actor, Some(node.id))?;
    if node.registration_confirmed < registration {
        draft.put(Row::Node(Arc::new(NodeRow {
            registration_confirmed: registration,
            ..node.as_ref().clone()
        })));
    }
    Ok(Reply::Done)
}

pub(super) fn heartbeat(
    draft: &mut Draft,
    actor: &Actor,
    registration: Registration,
) -> Result<Reply, Refusal> {
    let Actor::Node(id) = actor else {
        return Err(Refusal::PermissionDenied {
            reason: "only nodes send heartbeats".to_owned(),
        });
    };
    let node = draft.image().node(*id).cloned();
    let node = node.ok_or_else(|| Refusal::Fenced {
        reason: format!("node {id} is not registered"),
    })?;
    if node.registration != registration {
        let reason = format!(
            "node {id} registered again as {}, this process is {registration}",
            node.registration
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
    Ok(Reply::Done)
}

/// Groups that lost their last live leader go on with the in-sync member that is back.
fn adopt_leaderless(draft: &mut Draft, journal: JournalId) {
    for group in groups_of(draft, journal) {
        if group.leader.is_none() && group.isr.iter().any(|replica| replica.journal == journal) {
            let mut row = group.as_ref().clone();
            row.epoch = next(row.epoch);
            row.leader = Some(journal);
            draft.put_group(row);
        }
    }
}

/// A session has ended: leaderships go to healthy in-sync members. Where there is none, the leader stays: it may be
/// alive, and nobody else could serve (log.md 19).
pub(super) fn end_session(
    draft: &mut Draft,
    actor: &Actor,
    journal: JournalId,
    registration: Registration,
) -> Result<Reply, Refusal> {
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
    Ok(Reply::Done)
}

pub(super) fn propose_isr(
    draft: &mut Draft,
    actor: &Actor,
    group: GroupId,
    (epoch, base_version): (Epoch, u64),
    isr: &[Replica],
) -> Result<Reply, Refusal> {
    let row = led(draft, actor, group, epoch)?;
    if row.version != base_version {
        return Err(Refusal::VersionConflict {
            kind: "group",
            name: group.to_string(),
            expected: base_version,
            found: row.version,
        });
    }
    let mut isr = isr.to_vec();
    isr.sort();
    isr.dedup_by_key(|replica| replica.journal);
    if isr.len() < usize::from(row.class.minimum) {
        let reason = format!("group {group} must keep {} in-sync replicas", row.class.minimum);
        return Err(Refusal::InvalidRequest { reason });
    }
    if !isr.iter().any(|replica| Some(replica.journal) == row.leader) {
        let reason = format!("the leader of group {group} is in sync by definition");
        return Err(Refusal::InvalidRequest { reason });
    }
    for replica in &isr {
        if !row.members.contains(&replica.journal) {
            let reason = format!("journal {} is no member of group {group}", replica.journal);
            return Err(Refusal::InvalidRequest { reason });
        }
        incarnation(draft, replica.journal, replica.registration)?;
    }
    draft.put_group(GroupRow {
        isr,
        ..row.as_ref().clone()
    });
    Ok(Reply::Done)
}

pub(super) fn report_snapshot(
    draft: &mut Draft,
    actor: &Actor,
    group: GroupId,
    epoch: Epoch,
    snapshot: &SnapshotRef,
) -> Result<Reply, Refusal> {
    let row = led(draft, actor, group, epoch)?;
    if snapshot.object.group != group || snapshot.epoch > epoch {
        let reason = format!("the snapshot is not one of group {group} up to epoch {epoch}");
        return Err(Refusal::InvalidRequest { reason });
    }
    match &row.snapshot {
        Some(last) if last == snapshot => return Ok(Reply::Done),
        Some(last) if last.lsn >= snapshot.lsn => {
            let reason = format!("group {group} has a snapshot at {} already", last.lsn);
            return Err(Refusal::Fenced { reason });
        }
        Some(_) | None => {}
    }
    let mut next = row.as_ref().clone();
    next.snapshot_previous = row.snapshot;
    next.snapshot = Some(*snapshot);
    draft.put(Row::Group(Arc::new(next)));
    Ok(Reply::Done)
}

pub(super) fn report_deleted(
    draft: &mut Draft,
    actor: &Actor,
    group: GroupId,
    topic: TopicId,
    partitions: &[PartitionIndex],
) -> Result<Reply, Refusal> {
    let leader = draft.image().group(group).and_then(|row| row.leader);
    let node = leader
        .and_then(|journal| draft.image().node_of(journal))
        .map(|node| node.id);
    authorise_node(actor, node)?;
    // Gone already: the report was repeated.
    let Some(row) = draft.image().topic_by_id(topic).cloned() else {
        return Ok(Reply::Done);
    };
    if row.state != TopicState::Deleting {
        let reason = format!("topic {topic} is not being deleted");
        return Err(Refusal::InvalidRequest { reason });
    }
    let mut row: TopicRow = row.as_ref().clone();
    for index in partitions {
        let index = usize::try_from(index.0).unwrap_or(usize::MAX);
        if let Some(partition) = row
            .partitions
            .get_mut(index)
            .filter(|partition| partition.group == group)
        {
            partition.deleted = true;
        }
    }
    if row.partitions.iter().all(|partition| partition.deleted) {
        draft.remove(RowKey::Topic(topic));
    } else {
        draft.put(Row::Topic(Arc::new(row)));
    }
    Ok(Reply::Done)
}

pub(super) fn allocate_producer_ids(draft: &mut Draft, actor: &Actor) -> Result<Reply, Refusal> {
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
    Ok(Reply::ProducerIds {
        first,
        count: PRODUCER_ID_BLOCK,
    })
}

pub(super) fn raise_feature_level(draft: &mut Draft, actor: &Actor, level: u32) -> Result<Reply, Refusal> {
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
    Ok(Reply::Done)
}

/// The group, for a report of the one who leads it in this epoch.
fn led(draft: &Draft, actor: &Actor, group: GroupId, epoch: Epoch) -> Result<Arc<GroupRow>, Refusal> {
    let unknown = || Refusal::NotFound {
        kind: "group",
        name: group.to_string(),
    };
    let row = draft.image().group(group).cloned().ok_or_else(unknown)?;
    if row.epoch != epoch {
        let reason = format!("group {group} is in epoch {}, not {epoch}", row.epoch);
        return Err(Refusal::Fenced { reason });
    }
    let leader = row
        .leader
        .and_then(|journal| draft.image().node_of(journal))
        .map(|node| node.id);
    authorise_node(actor, leader)?;
    Ok(row)
}

/// The node of a journal, if this is its current process start.
fn incarnation(
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

fn groups_of(draft: &Draft, journal: JournalId) -> Vec<Arc<GroupRow>> {
    draft
        .image()
        .groups()
        .filter(|group| group.members.contains(&journal))
        .cloned()
        .collect()
}

/// An in-sync member other than `not` whose node is there.
fn live_member(draft: &Draft, group: &GroupRow, not: JournalId) -> Option<JournalId> {
    let live = |replica: &&Replica| {
        replica.journal != not
            && draft
                .image()
                .node_of(replica.journal)
                .is_some_and(|node| !node.lost && node.registration == replica.registration)
    };
    group.isr.iter().find(live).map(|replica| replica.journal)
}

fn next(epoch: Epoch) -> Epoch {
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
