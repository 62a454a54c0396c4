//! Following the catalog: the production planner, carried out by a simulated node.

use crate::clients::Ticket;
use crate::epochs::base_epoch;
use crate::node::Running;
use crate::world::{Check, GROUP, PARTITIONS, TENANT, World, partition};
use millstream_broker::follow::{Action, Held};
use millstream_broker::replica::Propose;
use millstream_metadata::{Class, PartitionRow, TopicRow, TopicState};
use millstream_model::{GroupId, KeyId, Offset, PartitionId, TimestampMs};
use millstream_partition::{Change, Opened};
use millstream_replication::Input;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a process has.
struct HeldBy<'a>(&'a Running);

impl Held for HeldBy<'_> {
    fn partitions(&self, group: GroupId) -> BTreeSet<PartitionId> {
        let simulated = (group == GROUP).then_some(&self.0.replica);
        let held = simulated
            .into_iter()
            .flat_map(|replica| replica.state().partitions());
        held.map(|(id, _)| *id).collect()
    }

    fn has(&self, group: GroupId, partition: PartitionId) -> bool {
        self.partitions(group).contains(&partition)
    }
}

impl World {
    /// Makes a node what its image says.
    pub fn follow(&mut self, node: usize) -> Check {
        let image = Arc::new(self.nodes[node].image.clone());
        let mut not_taken = BTreeSet::new();
        loop {
            let Some(running) = &mut self.nodes[node].running else {
                return Ok(());
            };
            let mut following = running.following.clone();
            let plan = following.plan(&image, &HeldBy(running));
            running.following = following;
            if plan.actions.is_empty() {
                let local = &mut running.following.local;
                not_taken.into_iter().for_each(|topic| local.again(topic));
                return Ok(());
            }
            for action in plan.actions {
                self.note(|| format!("{node} is to {action:?}"));
                match &action {
                    // The process has made its replica; it does nothing before it is told who leads.
                    Action::TakeUp { .. } => {}
                    // A journal gets groups of its own, too; what is simulated is the one that they hold together.
                    Action::Assign { group, .. } | Action::Named { group, .. } if *group != GROUP => {}
                    // For operators.
                    Action::Lost(_) => {}
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
            base_epoch: base_epoch(id.index.0),
            log_start: Offset(0),
        };
        let propose = Propose {
            partition: id,
            tenant: TENANT,
            key: KeyId::NONE,
            change: Change::Opened(opened),
            time,
            ticket: Ticket::NONE,
        };
        let mut out = Vec::new();
        let taken = running.replica.propose(now_ms, propose, &mut out);
        self.carry_out(node, out)?;
        Ok(taken.is_ok())
    }
}

/// The one that clients use, and the partition to which what none survives is done.
pub fn topic() -> TopicRow {
    let here = |index| PartitionRow {
        group: GROUP,
        base_epoch: base_epoch(index),
        deleted: false,
    };
    TopicRow {
        id: partition(0).topic,
        tenant: TENANT,
        name: "t".parse().unwrap(),
        partitions: (0..=PARTITIONS).map(here).collect(),
        class: Class::THREE,
        config: BTreeMap::new(),
        internal: false,
        state: TopicState::Active,
        created: TimestampMs(0),
    }
}
