//! Following the catalog: the production planner, carried out by a simulated node.

use crate::clients::Ticket;
use crate::node::{GROUP, Running};
use crate::world::{Check, PARTITIONS, TENANT, World, partition};
use millstream_broker::follow::{Action, Held};
use millstream_broker::replica::Propose;
use millstream_metadata::{
    Change, Class, ClusterRow, GroupPurpose, GroupRow, HostPort, Image, NodeRow, PartitionRow, Replica, Row,
    SnapshotRef, TopicRow, TopicState,
};
use millstream_model::{GroupId, KeyId, NodeId, Offset, PartitionId, TimestampMs};
use millstream_partition::{Change as Entry, Opened};
use millstream_replication::{Assignment, Input};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a process has: nothing, before it has taken the group up.
pub struct HeldBy<'a>(pub Option<&'a Running>);

impl Held for HeldBy<'_> {
    fn partitions(&self, group: GroupId) -> BTreeSet<PartitionId> {
        let running = self.0.filter(|_| group == GROUP);
        let held = running
            .into_iter()
            .flat_map(|running| running.replica.state().partitions());
        held.map(|(id, _)| *id).collect()
    }

    fn has(&self, group: GroupId, partition: PartitionId) -> bool {
        self.partitions(group).contains(&partition)
    }
}

impl World {
    /// Makes a node what an image says.
    pub fn follow(&mut self, node: usize, image: &Image) -> Check {
        let image = Arc::new(image.clone());
        let mut not_taken = BTreeSet::new();
        loop {
            let Some(running) = &mut self.nodes[node].running else {
                return Ok(());
            };
            let mut following = running.following.clone();
            let plan = following.plan(&image, &HeldBy(Some(&*running)));
            running.following = following;
            if plan.actions.is_empty() {
                let local = &mut running.following.local;
                not_taken.into_iter().for_each(|topic| local.again(topic));
                return Ok(());
            }
            for action in plan.actions {
                self.note(|| format!("{node} is to {action:?}"));
                match &action {
                    Action::Assign { assignment, .. } => {
                        let (assignment, time) = (assignment.clone(), self.wall(node));
                        self.step(node, Input::Assign { assignment, time })?;
                    }
                    Action::Named { snapshot, .. } => {
                        if let Some(running) = &mut self.nodes[node].running {
                            running.replica.snapshot_named(*snapshot);
                        }
                    }
                    Action::Open { partitions, .. } => {
                        for (id, ..) in partitions {
                            if !self.open(node, *id)? {
                                not_taken.insert(id.topic);
                            }
                        }
                    }
                    other => return Err(format!("{node} is to {other:?}")),
                }
                // The process may have ended meanwhile.
                if let Some(running) = &mut self.nodes[node].running {
                    running.following.local.did(&action);
                }
            }
        }
    }

    /// As `Core::open` of the broker: whether nothing is left to try.
    pub fn open(&mut self, node: usize, id: PartitionId) -> Result<bool, String> {
        let (now_ms, time) = (self.nodes[node].now_ms(self.now_ms), self.wall(node));
        let Some(running) = &mut self.nodes[node].running else {
            return Ok(true);
        };
        if !running.replica.leads() || running.replica.state().partition(&id).is_some() {
            return Ok(true);
        }
        let opened = Opened {
            base_epoch: 0,
            log_start: Offset(0),
        };
        let propose = Propose {
            partition: id,
            tenant: TENANT,
            key: KeyId::NONE,
            change: Entry::Opened(opened),
            time,
            ticket: Ticket::NONE,
        };
        let mut out = Vec::new();
        let taken = running.replica.propose(now_ms, propose, &mut out);
        self.carry_out(node, out)?;
        Ok(taken.is_ok())
    }
}

/// The catalog's image as the controller's model has it: one group, its members, one topic.
pub fn image_of(row: &Assignment, snapshot: Option<SnapshotRef>) -> Image {
    let mut image = Image::new();
    let mut put = |row| image.apply(&Change::Put(row));
    let cluster = ClusterRow {
        version: row.version,
        ..ClusterRow::default()
    };
    put(Row::Cluster(cluster.into()));
    let at = HostPort {
        host: "sim".to_owned(),
        port: 1,
    };
    for (index, member) in (1..).zip(&row.members) {
        let node = NodeRow {
            id: NodeId(index),
            journal: member.journal,
            registration: member.registration,
            registration_confirmed: member.registration,
            kafka: at.clone(),
            http: at.clone(),
            feature_level_max: 1,
            lost: false,
            registered: TimestampMs(0),
        };
        put(Row::Node(node.into()));
    }
    let accepted = |journal| {
        let leader = row.leader.filter(|leader| leader.journal == journal);
        let newest = row
            .members
            .iter()
            .copied()
            .find(|member| member.journal == journal);
        leader
            .or(newest)
            .map_or_else(Default::default, |member| member.registration)
    };
    let replica = |journal| Replica {
        journal,
        registration: accepted(journal),
    };
    let group = GroupRow {
        id: GROUP,
        purpose: GroupPurpose::Tenants,
        class: Class::THREE,
        epoch: row.epoch,
        version: row.version,
        leader: row.leader.map(|leader| leader.journal),
        isr: row.isr.iter().copied().map(replica).collect(),
        members: row.members.iter().map(|member| member.journal).collect(),
        snapshot,
        snapshot_previous: None,
    };
    put(Row::Group(group.into()));
    let here = PartitionRow {
        group: GROUP,
        base_epoch: 0,
        deleted: false,
    };
    let topic = TopicRow {
        id: partition(0).topic,
        tenant: TENANT,
        name: "t".parse().unwrap(),
        partitions: vec![here; PARTITIONS as usize + 1],
        class: Class::THREE,
        config: BTreeMap::new(),
        internal: false,
        state: TopicState::Active,
        created: TimestampMs(0),
    };
    put(Row::Topic(topic.into()));
    image
}
