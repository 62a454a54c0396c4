//! A node in memory that carries plans out, and what it must have come to.

use super::super::action::Action;
use super::super::local::{Held, Local, OnDisk, Planted, must_delete};
use super::super::plan::{Following, partitions_of};
use millstream_metadata::{
    Change, Class, GroupPurpose, GroupRow, HostPort, Image, NodeRow, PartitionRow, Replica, Row, SnapshotRef,
    TopicRow, TopicState,
};
use millstream_model::segment::{ObjectOwner, ObjectRef};
use millstream_model::{
    Epoch, GroupId, JournalId, Lsn, NodeId, PartitionId, Registration, TenantId, TimestampMs, TopicId,
};
use millstream_replication::Assignment;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

pub const ME: JournalId = JournalId(Uuid::from_u128(1));
pub const OTHER: JournalId = JournalId(Uuid::from_u128(2));
pub const NUMBER: Registration = Registration(1);

pub type HeldBy = BTreeMap<GroupId, BTreeSet<PartitionId>>;

impl Held for HeldBy {
    fn partitions(&self, group: GroupId) -> BTreeSet<PartitionId> {
        self.get(&group).cloned().unwrap_or_default()
    }

    fn has(&self, group: GroupId, partition: PartitionId) -> bool {
        self.get(&group).is_some_and(|held| held.contains(&partition))
    }
}

pub fn topic(number: u64, groups: impl IntoIterator<Item = GroupId>) -> TopicRow {
    let partition = |group| PartitionRow {
        group,
        base_epoch: 0,
        deleted: false,
    };
    TopicRow {
        id: TopicId(Uuid::from_u128(number.into())),
        tenant: TenantId(1),
        name: format!("t{number}").parse().unwrap(),
        partitions: groups.into_iter().map(partition).collect(),
        class: Class::ONE,
        config: BTreeMap::new(),
        internal: false,
        state: TopicState::Active,
        created: TimestampMs(0),
    }
}

/// Of both journals, but group 3, which is this node's alone; group 1 is an internal one.
pub fn group(id: u32, epoch: u32, leader: Option<JournalId>, snapshot: Option<u64>) -> GroupRow {
    let group = GroupId(id);
    let snapshot = snapshot.map(|lsn| SnapshotRef {
        lsn: Lsn(lsn),
        epoch: Epoch(1),
        object: ObjectRef {
            owner: ObjectOwner::Shared(group),
            group,
            epoch: Epoch(1),
            number: lsn,
        },
        length: 1,
        checksum: 1,
    });
    let members = match id {
        3 => vec![ME],
        _ => vec![ME, OTHER],
    };
    GroupRow {
        id: group,
        purpose: match id {
            1 => GroupPurpose::Internal,
            _ => GroupPurpose::Tenants,
        },
        class: Class::TWO,
        epoch: Epoch(epoch),
        version: u64::from(epoch),
        leader,
        isr: members
            .iter()
            .map(|journal| Replica {
                journal: *journal,
                registration: NUMBER,
            })
            .collect(),
        members,
        snapshot,
        snapshot_previous: None,
    }
}

pub fn node(journal: JournalId, registration: Registration, lost: bool) -> NodeRow {
    let at = HostPort {
        host: "h".to_owned(),
        port: 1,
    };
    NodeRow {
        id: NodeId(if journal == ME { 1 } else { 2 }),
        journal,
        registration,
        registration_confirmed: registration,
        kafka: at.clone(),
        http: at,
        feature_level_max: 1,
        lost,
        registered: TimestampMs(0),
    }
}

/// So many groups that this node leads.
pub fn image_of_groups(count: u32) -> Image {
    let mut image = Image::new();
    for journal in [ME, OTHER] {
        image.apply(&Change::Put(Row::Node(node(journal, NUMBER, false).into())));
    }
    for id in 1..=count {
        image.apply(&Change::Put(Row::Group(group(id, 1, Some(ME), None).into())));
    }
    image
}

#[derive(Clone)]
pub struct Node {
    pub following: Following,
    /// What served groups have applied.
    pub held: HeldBy,
    /// What groups that are not served have on the disk.
    pub disk: BTreeMap<GroupId, (OnDisk, BTreeSet<PartitionId>)>,
    pub told: BTreeMap<GroupId, Assignment>,
    pub installing: BTreeSet<GroupId>,
    pub deleting: BTreeSet<TopicId>,
    /// The next partition is not opened at once.
    pub refuses: bool,
    pub registration: Option<Registration>,
    planted: Planted,
}

impl Node {
    pub fn new(planted: Planted) -> Node {
        Node::over(BTreeMap::new(), planted)
    }

    pub fn over(disk: BTreeMap<GroupId, (OnDisk, BTreeSet<PartitionId>)>, planted: Planted) -> Node {
        let found = disk.iter().map(|(group, (found, _))| (*group, *found)).collect();
        Node {
            following: Following::new(Local::new(ME, found).with_planted(planted)),
            held: BTreeMap::new(),
            disk,
            told: BTreeMap::new(),
            installing: BTreeSet::new(),
            deleting: BTreeSet::new(),
            refuses: false,
            registration: None,
            planted,
        }
    }

    pub fn register(&mut self) {
        self.registration = Some(NUMBER);
        self.following.local.registered(NUMBER);
    }

    /// The same disk, a new process.
    pub fn restarted(&self) -> Node {
        let mut disk = self.disk.clone();
        for (group, held) in &self.held {
            disk.insert(*group, (OnDisk::Whole(Lsn(u64::MAX)), held.clone()));
        }
        Node::over(disk, self.planted)
    }

    /// Follows, and says how many rows were looked at.
    pub fn follow(&mut self, image: &Arc<Image>) -> Result<usize, String> {
        let mut looked_at = 0;
        let mut again = BTreeSet::new();
        for _ in 0..10 {
            let plan = self.following.plan(image, &self.held);
            looked_at += plan.looked_at;
            if plan.actions.is_empty() {
                again
                    .into_iter()
                    .for_each(|topic| self.following.local.again(topic));
                return Ok(looked_at);
            }
            for action in plan.actions {
                self.carry_out(&action, &mut again)?;
                self.following.local.did(&action);
            }
        }
        Err("it never ends".to_owned())
    }

    fn carry_out(&mut self, action: &Action, again: &mut BTreeSet<TopicId>) -> Result<(), String> {
        match action {
            Action::TakeUp { row } => {
                let (found, held) = self
                    .disk
                    .remove(&row.id)
                    .unwrap_or((OnDisk::Whole(Lsn(0)), BTreeSet::new()));
                let named = match row.members == [ME] {
                    true => row.snapshot.map_or(Lsn(0), |stored| stored.lsn),
                    false => Lsn(0),
                };
                if matches!(found, OnDisk::Whole(end) if end >= named) && !self.held.contains_key(&row.id) {
                    self.held.insert(row.id, held);
                } else {
                    return Err(format!("{} is begun with {found:?}, named is {named}", row.id));
                }
            }
            Action::Install { row } => drop(self.installing.insert(row.id)),
            Action::Assign {
                group, assignment, ..
            } => {
                if self.told.insert(*group, assignment.clone()).as_ref() == Some(assignment) {
                    return Err(format!("{group} is told twice"));
                }
            }
            Action::Open { group, partitions } => {
                for (partition, ..) in partitions {
                    if std::mem::take(&mut self.refuses) {
                        again.insert(partition.topic);
                    } else if !self.leads(*group) || !self.held.entry(*group).or_default().insert(*partition)
                    {
                        return Err(format!("{partition:?} is opened in {group} to no purpose"));
                    }
                }
            }
            Action::Delete { topic } => {
                if !self.deleting.insert(*topic) {
                    return Err(format!("{topic} is deleted twice at once"));
                }
            }
            Action::Named { .. } | Action::Unknown(_) | Action::Lost(_) => {}
        }
        Ok(())
    }

    pub fn leads(&self, group: GroupId) -> bool {
        let leader = self.told.get(&group).and_then(|told| told.leader);
        leader.is_some_and(|leader| leader.journal == ME && Some(leader.registration) == self.registration)
    }

    /// A deletion goes on as far as it can; gives the row that says so.
    pub fn delete(&mut self, topic: TopicId, image: &Image) -> Option<TopicRow> {
        let row = image
            .topic_by_id(topic)
            .filter(|row| row.state == TopicState::Deleting);
        let Some(row) = row else {
            self.deleting.remove(&topic);
            self.following.local.deleted(topic);
            return None;
        };
        let mut after = row.as_ref().clone();
        let mut is_done = true;
        for (id, partition) in partitions_of(row) {
            let is_served = self.held.contains_key(&partition.group);
            if is_served && must_delete(partition, || self.held.has(partition.group, id)) {
                is_done = false;
                if self.leads(partition.group) {
                    self.held.get_mut(&partition.group).unwrap().remove(&id);
                    after.partitions[id.index.0 as usize].deleted = true;
                }
            }
        }
        if is_done {
            self.deleting.remove(&topic);
            self.following.local.deleted(topic);
        }
        (after != **row).then_some(after)
    }

    /// What the image asks for, without the planner.
    pub fn check(&self, image: &Image) -> Result<(), String> {
        for row in image.groups().filter(|row| row.members.contains(&ME)) {
            let Some(told) = self.told.get(&row.id) else {
                let suffices = self.following.local.suffices(row);
                let may = row.snapshot.is_some() && self.registration.is_some();
                if suffices || may {
                    return Err(format!("{} is not served", row.id));
                }
                continue;
            };
            let numbers: Vec<Registration> = told.members.iter().map(|member| member.registration).collect();
            let newest =
                |journal: &JournalId| image.node_of(*journal).map_or(NUMBER, |node| node.registration);
            let wanted: Vec<Registration> = row.members.iter().map(newest).collect();
            let isr: Vec<JournalId> = row.isr.iter().map(|replica| replica.journal).collect();
            let leader = told.leader.map(|leader| leader.journal);
            if (told.epoch, told.version, leader) != (row.epoch, row.version, row.leader)
                || told.isr != isr
                || numbers != wanted
            {
                return Err(format!("{} was told {told:?}, its row is {row:?}", row.id));
            }
        }
        for topic in image.topics() {
            for (id, row) in partitions_of(topic).filter(|(_, row)| self.leads(row.group)) {
                let is_held = self.held.has(row.group, id);
                match topic.state {
                    TopicState::Active if !is_held => return Err(format!("{id:?} was not opened")),
                    TopicState::Deleting if must_delete(row, || is_held) => {
                        return Err(format!("{id:?} was not deleted"));
                    }
                    _ => {}
                }
            }
        }
        let unknown = self
            .held
            .values()
            .flatten()
            .filter(|id| image.partition(**id).is_none());
        let unknown: BTreeSet<PartitionId> = unknown.copied().collect();
        if unknown != *self.following.local.unknown() {
            return Err(format!("{unknown:?} are unknown"));
        }
        let lost = image.groups().filter(|row| {
            !row.members.contains(&ME) && image.is_gone(row) && image.partitions_in(row.id) > 0
        });
        let lost: BTreeSet<GroupId> = lost.map(|row| row.id).collect();
        if lost != *self.following.local.lost() {
            return Err(format!("{lost:?} are lost"));
        }
        Ok(())
    }
}
