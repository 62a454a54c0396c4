//! What a node has to do when the catalog has changed: two images and what it does already in, actions out.
//!
//! ```text
//!   image before ─┐                  ┌─► groups: take up, install, assign
//!   image now ────┼─► plan_follow ───┼─► partitions: open, delete
//!   Local, Held ──┘                  └─► what an operator is told: lost, unknown
//! ```
//! A plan looks at the rows that differ and at what is due, never at all topics: a change costs what it is large, whatever
//! the catalog holds. A group's contents are looked at as a whole when it is taken up and when its leadership comes here;
//! that is a plan of its own, once the group has been told and shows what its log holds. The same follows from an image of
//! another history, as after a start or a skipped version; then the difference is found by comparing rows.

use super::action::{Action, ToOpen};
use super::local::{Held, Local, Served, must_delete, named};
use millstream_metadata::{Difference, GroupRow, Image, PartitionRow, TopicRow, TopicState};
use millstream_model::{GroupId, JournalId, PartitionId, PartitionIndex, TopicId};
use millstream_replication::{Assignment, Member};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What is to be done, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The actions.
    pub actions: Vec<Action>,
    /// Rows and partitions that were looked at.
    pub looked_at: usize,
}

/// What has to be done to follow from one image to another. Once all of it is carried out there may be more to do, now that
/// groups show what they have: until a plan is empty ([`Following`] goes on so).
pub fn plan_follow(old: &Image, new: &Image, local: &Local, held: &dyn Held) -> Plan {
    let difference = new.difference(old);
    let mut planner = Planner {
        plan: Plan {
            actions: Vec::new(),
            looked_at: difference.rows_looked_at,
        },
        old,
        new,
        local,
        held,
        difference,
        told: BTreeMap::new(),
        to_open: BTreeMap::new(),
        to_delete: BTreeSet::new(),
        unknown: BTreeSet::new(),
    };
    planner.groups();
    planner.topics();
    planner.contents();
    planner.lost();
    planner.finish()
}

/// A node that follows the catalog: the image that it followed last, and what it does of it.
#[derive(Clone, Debug)]
pub struct Following {
    /// What it does.
    pub local: Local,
    followed: Arc<Image>,
}

impl Following {
    /// One that has followed nothing yet.
    pub fn new(local: Local) -> Following {
        let followed = Arc::new(Image::new());
        Following { local, followed }
    }

    /// The image that it followed last.
    pub fn followed(&self) -> &Arc<Image> {
        &self.followed
    }

    /// What is to be done now. Each action has to be carried out, in order, and [`Local::did`] told of it; then this is asked
    /// again, until nothing is to be done.
    pub fn plan(&mut self, image: &Arc<Image>, held: &dyn Held) -> Plan {
        let plan = plan_follow(&self.followed, image, &self.local, held);
        self.followed = Arc::clone(image);
        self.local.due = Default::default();
        plan
    }
}

struct Planner<'a> {
    old: &'a Image,
    new: &'a Image,
    local: &'a Local,
    held: &'a dyn Held,
    difference: Difference,
    plan: Plan,
    /// What groups will have been told when partitions are opened.
    told: BTreeMap<GroupId, Assignment>,
    to_open: BTreeMap<GroupId, Vec<ToOpen>>,
    to_delete: BTreeSet<TopicId>,
    /// Partitions that were found to be held and not to be in the catalog.
    unknown: BTreeSet<PartitionId>,
}

impl Planner<'_> {
    /// Groups that this node is a member of: served as soon as they can be, and told who leads.
    fn groups(&mut self) {
        let local = self.local;
        let mut touched = self.difference.groups.clone();
        touched.extend(&local.due.groups);
        if local.due.every_group {
            touched.extend(self.new.groups().map(|row| row.id));
        }
        let nodes_count = self.difference.nodes && !local.planted.old_incarnations;
        if nodes_count {
            touched.extend(local.served.keys());
        }
        for id in touched {
            self.plan.looked_at += 1;
            let Some(row) = self.new.group(id) else { continue };
            if row.members.contains(&local.journal) {
                self.group(row);
            }
        }
    }

    fn group(&mut self, row: &Arc<GroupRow>) {
        let local = self.local;
        if !local.served.contains_key(&row.id) {
            if !local.suffices(row) {
                // Until this start has its number nothing is written. A local snapshot may be too old for the journal, and
                // the store may have a newer one.
                let may = local.registration.is_some() && row.snapshot.is_some();
                if may && !local.installing.contains(&row.id) {
                    self.act(Action::Install { row: Arc::clone(row) });
                }
                return;
            }
            self.act(Action::TakeUp { row: Arc::clone(row) });
        }
        let nothing = Served::default();
        let known = local.served.get(&row.id).unwrap_or(&nothing);
        let snapshot = named(row);
        if snapshot > known.named {
            self.act(Action::Named {
                group: row.id,
                snapshot,
            });
        }
        let assignment = assignment(self.new, row);
        let is_told = known.assignment.as_ref().is_some_and(|told| {
            *told == assignment || local.planted.assigned_by_epoch && told.epoch == assignment.epoch
        });
        if !is_told {
            self.told.insert(row.id, assignment.clone());
            self.act(Action::Assign {
                group: row.id,
                assignment,
                is_alone: row.members == [local.journal],
            });
        }
    }

    /// Whether a group leads here, and goes on with that: of one that begins to, the contents are looked at next.
    fn leads(&self, group: GroupId) -> bool {
        let served = self.local.served.get(&group);
        let Some(known) = served.and_then(|served| served.assignment.as_ref()) else {
            return false;
        };
        let goes_on = self
            .told
            .get(&group)
            .is_none_or(|told| told.epoch == known.epoch && self.local.is_leader(told));
        self.local.is_leader(known) && goes_on
    }

    /// What has changed in topics, and what is to be tried again.
    fn topics(&mut self) {
        let (changed, due) = (self.difference.topics.clone(), &self.local.due.topics);
        for id in changed.union(due) {
            self.plan.looked_at += 1;
            let before = self.old.topic_by_id(*id);
            match (self.new.topic_by_id(*id), before) {
                (Some(topic), before) => self.topic(before.filter(|_| !due.contains(id)), topic),
                (None, Some(before)) => self.gone(before),
                (None, None) => {}
            }
        }
    }

    fn topic(&mut self, before: Option<&Arc<TopicRow>>, topic: &TopicRow) {
        for (partition, row) in partitions_of(topic) {
            self.plan.looked_at += 1;
            let known = before.and_then(|topic| topic.partition(partition.index));
            let is_same = before.is_some_and(|before| before.state == topic.state) && known == Some(row);
            if !is_same && self.leads(row.group) {
                let held = self.held;
                self.partition(topic, partition, row, || held.has(row.group, partition));
            }
        }
    }

    fn partition(
        &mut self,
        topic: &TopicRow,
        partition: PartitionId,
        row: &PartitionRow,
        is_held: impl FnOnce() -> bool,
    ) {
        match topic.state {
            TopicState::Active => {
                if !is_held() {
                    let opened = (partition, topic.tenant, row.base_epoch);
                    self.to_open.entry(row.group).or_default().push(opened);
                }
            }
            TopicState::Deleting => {
                if must_delete(row, is_held) {
                    self.to_delete.insert(topic.id);
                }
            }
        }
    }

    /// A topic's row has gone: nothing is deleted because of that, but whoever still has a partition of it is told.
    fn gone(&mut self, topic: &TopicRow) {
        for (partition, row) in partitions_of(topic) {
            self.plan.looked_at += 1;
            if self.held.has(row.group, partition) {
                self.unknown.insert(partition);
            }
        }
    }

    /// Groups that are looked at as a whole.
    fn contents(&mut self) {
        for group in &self.local.due.contents {
            let held = self.held.partitions(*group);
            self.plan.looked_at += held.len();
            let unknown = held.iter().filter(|id| self.new.partition(**id).is_none());
            self.unknown.extend(unknown);
            if !self.leads(*group) {
                continue;
            }
            for topic in self.new.topics_in(*group) {
                self.plan.looked_at += 1;
                for (partition, row) in partitions_of(topic).filter(|(_, row)| row.group == *group) {
                    self.plan.looked_at += 1;
                    self.partition(topic, partition, row, || held.contains(&partition));
                }
            }
        }
    }

    /// Groups whose members are all gone: those that changed, and all when nodes did.
    fn lost(&mut self) {
        let changed = self.difference.topics.iter();
        let topics = changed.filter_map(|id| self.new.topic_by_id(*id));
        let mut touched: BTreeSet<GroupId> = topics
            .flat_map(|topic| topic.partitions.iter().map(|row| row.group))
            .collect();
        touched.extend(&self.difference.groups);
        touched.extend(&self.local.lost);
        if self.difference.nodes {
            touched.extend(self.new.groups().map(|row| row.id));
        }
        self.plan.looked_at += touched.len();
        let is_lost = |group: &GroupRow| {
            let has_any = self.new.topics_in(group.id).next().is_some();
            has_any && !group.members.contains(&self.local.journal) && self.new.is_gone(group)
        };
        let lost = touched
            .into_iter()
            .filter(|id| self.new.group(*id).is_some_and(|row| is_lost(row)));
        let lost: BTreeSet<GroupId> = lost.collect();
        if lost != self.local.lost {
            self.act(Action::Lost(lost));
        }
    }

    fn finish(mut self) -> Plan {
        for (group, mut partitions) in std::mem::take(&mut self.to_open) {
            partitions.sort_unstable();
            partitions.dedup();
            self.act(Action::Open { group, partitions });
        }
        for topic in std::mem::take(&mut self.to_delete) {
            if !self.local.deleting.contains(&topic) {
                self.act(Action::Delete { topic });
            }
        }
        let mut unknown = std::mem::take(&mut self.unknown);
        self.plan.looked_at += self.local.unknown.len();
        let still = |id: &&PartitionId| {
            let groups = self.local.served.keys();
            self.new.partition(**id).is_none() && groups.into_iter().any(|group| self.held.has(*group, **id))
        };
        unknown.extend(self.local.unknown.iter().filter(still));
        if unknown != self.local.unknown {
            self.act(Action::Unknown(unknown));
        }
        self.plan
    }

    fn act(&mut self, action: Action) {
        self.plan.actions.push(action);
    }
}

/// A topic's partitions with their rows.
pub(crate) fn partitions_of(topic: &TopicRow) -> impl Iterator<Item = (PartitionId, &PartitionRow)> {
    let id = topic.id;
    (0u32..).zip(&topic.partitions).map(move |(index, row)| {
        (
            PartitionId {
                topic: id,
                index: PartitionIndex(index),
            },
            row,
        )
    })
}

/// A group's row as its log sees it.
fn assignment(image: &Image, row: &GroupRow) -> Assignment {
    let accepted = |journal: JournalId| {
        let replica = row.isr.iter().find(|replica| replica.journal == journal);
        replica.map(|replica| replica.registration)
    };
    let incarnation = |journal| {
        let newest = image.node_of(journal).map(|node| node.registration);
        Member {
            journal,
            registration: newest.or(accepted(journal)).unwrap_or_default(),
        }
    };
    let leader = row.leader.map(|journal| {
        accepted(journal).map_or_else(
            || incarnation(journal),
            |registration| Member {
                journal,
                registration,
            },
        )
    });
    Assignment {
        epoch: row.epoch,
        version: row.version,
        leader,
        members: row.members.iter().copied().map(incarnation).collect(),
        isr: row.isr.iter().map(|replica| replica.journal).collect(),
        minimum: usize::from(row.class.minimum),
    }
}
