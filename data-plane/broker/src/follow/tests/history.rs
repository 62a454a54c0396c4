//! Random histories of a catalog and of a node that follows it.

use super::super::local::{OnDisk, Planted};
use super::world::{ME, NUMBER, Node, OTHER, group, image_of_groups, node, topic};
use millstream_metadata::{Change, GroupRow, Image, Replica, Row, RowKey, TopicRow, TopicState};
use millstream_model::{Epoch, GroupId, JournalId, Lsn, Registration};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::sync::Arc;

const STEPS: usize = 120;
const GROUPS: u32 = 4;

struct History {
    random: StdRng,
    catalog: Image,
    /// Topics that were made.
    topics: u64,
    /// Rows that went without a tombstone.
    strayed: Vec<TopicRow>,
    node: Node,
}

/// Runs a history; what it came to must be what its last image asks for, and what a restart comes to.
pub fn history(seed: u64, planted: Planted) -> Result<(), String> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut node = Node::new(planted);
    if random.random_bool(0.3) {
        let found = [OnDisk::Broken, OnDisk::Whole(Lsn(3))][random.random_range(0..2)];
        let group = GroupId(random.random_range(2..=3));
        node = Node::over([(group, (found, Default::default()))].into(), planted);
    }
    let mut history = History {
        random,
        catalog: image_of_groups(0),
        topics: 0,
        strayed: Vec::new(),
        node,
    };
    for _ in 0..STEPS {
        history.step()?;
    }
    history.settle()?;
    history.node.check(&history.catalog)?;
    let mut scratch = history.node.restarted();
    if history.node.registration.is_some() {
        scratch.register();
    }
    std::mem::swap(&mut scratch, &mut history.node);
    history.settle()?;
    let restarted = &history.node;
    let (step_by_step, from_scratch) = (&scratch.following.local, &restarted.following.local);
    let same = step_by_step.served == from_scratch.served
        && (step_by_step.unknown(), step_by_step.lost()) == (from_scratch.unknown(), from_scratch.lost())
        && (&scratch.told, &scratch.held) == (&restarted.told, &restarted.held);
    match same {
        true => Ok(()),
        false => Err(format!(
            "{step_by_step:?} by steps, {from_scratch:?} from scratch"
        )),
    }
}

impl History {
    fn put(&mut self, row: Row) {
        self.catalog.apply(&Change::Put(row));
    }

    fn below(&mut self, end: u32) -> u32 {
        self.random.random_range(0..end)
    }

    fn any_topic(&mut self) -> Option<TopicRow> {
        let topics: Vec<_> = self.catalog.topics().collect();
        let index = self.random.random_range(0..topics.len().max(1));
        topics.get(index).map(|topic| topic.as_ref().clone())
    }

    fn any_group(&mut self) -> Option<GroupRow> {
        let id = GroupId(1 + self.below(GROUPS));
        self.catalog.group(id).map(|row| row.as_ref().clone())
    }

    fn step(&mut self) -> Result<(), String> {
        match self.below(24) {
            0..=2 => self.make_topic(),
            3 => self.change_topic(|topic, random| {
                let group = GroupId(1 + random.random_range(0..GROUPS));
                let mut more = super::world::topic(0, [group]).partitions;
                topic.partitions.append(&mut more);
            }),
            4 => self.change_topic(|topic, random| {
                let value = random.random_range(0..1_000).to_string();
                topic.config.insert("retention.ms".to_owned(), value);
            }),
            5 => self.change_topic(|topic, _| topic.state = TopicState::Deleting),
            6 => self.remove_tombstone(),
            7 => self.lose_or_find(),
            8..=10 => self.elect(),
            11 => self.change_isr(),
            12 => self.register_node(),
            13 => self.lose_node(),
            14 => self.name_snapshot(),
            15 => self.make_group(),
            16 => self.rebuild(),
            17 => self.restart(),
            18 => self.node.refuses = true,
            19 => self.finish_one(),
            _ => return self.follow(),
        }
        Ok(())
    }

    fn make_topic(&mut self) {
        self.topics += 1;
        let count = 1 + self.below(3);
        let groups: Vec<_> = (0..count).map(|_| GroupId(1 + self.below(GROUPS))).collect();
        let row = topic(self.topics, groups);
        self.put(Row::Topic(row.into()));
    }

    fn change_topic(&mut self, change: impl FnOnce(&mut TopicRow, &mut StdRng)) {
        let Some(mut topic) = self.any_topic() else { return };
        if topic.state == TopicState::Active {
            change(&mut topic, &mut self.random);
            self.put(Row::Topic(topic.into()));
        }
    }

    fn remove_tombstone(&mut self) {
        if let Some(topic) = self.any_topic()
            && topic.state == TopicState::Deleting
            && topic.partitions.iter().all(|row| row.deleted)
        {
            self.catalog.apply(&Change::Remove(RowKey::Topic(topic.id)));
        }
    }

    fn lose_or_find(&mut self) {
        let lost = self.random.random_bool(0.5).then(|| self.any_topic()).flatten();
        if let Some(topic) = lost {
            self.catalog.apply(&Change::Remove(RowKey::Topic(topic.id)));
            self.strayed.push(topic);
        } else if let Some(topic) = self.strayed.pop() {
            self.put(Row::Topic(topic.into()));
        }
    }

    fn elect(&mut self) {
        let Some(mut row) = self.any_group() else { return };
        row.epoch = Epoch(row.epoch.0 + 1);
        row.version += 1;
        let candidates = [Some(ME), Some(OTHER), None];
        row.leader =
            candidates[self.random.random_range(0..3)].filter(|journal| row.members.contains(journal));
        self.accept(&mut row);
        self.put(Row::Group(row.into()));
    }

    /// All members are in sync, as they are now.
    fn accept(&self, row: &mut GroupRow) {
        let newest = |journal: JournalId| {
            self.catalog
                .node_of(journal)
                .map_or(NUMBER, |node| node.registration)
        };
        let members = row.members.iter().map(|journal| Replica {
            journal: *journal,
            registration: newest(*journal),
        });
        row.isr = members.collect();
    }

    fn change_isr(&mut self) {
        let Some(mut row) = self.any_group() else { return };
        row.version += 1;
        match row.isr.len() {
            2 => row.isr.retain(|replica| Some(replica.journal) == row.leader),
            _ => self.accept(&mut row),
        }
        self.put(Row::Group(row.into()));
    }

    fn register_node(&mut self) {
        let newest = self.catalog.node_of(OTHER).map_or(1, |node| node.registration.0);
        let number = Registration(newest + 1);
        self.put(Row::Node(node(OTHER, number, false).into()));
        let led: Vec<_> = self.catalog.groups().cloned().collect();
        for row in led.into_iter().filter(|row| row.leader == Some(OTHER)) {
            let mut row = row.as_ref().clone();
            row.epoch = Epoch(row.epoch.0 + 1);
            row.version += 1;
            row.leader = None;
            self.put(Row::Group(row.into()));
        }
    }

    fn lose_node(&mut self) {
        if let Some(known) = self.catalog.node_of(OTHER) {
            let (number, lost) = (known.registration, !known.lost);
            self.put(Row::Node(node(OTHER, number, lost).into()));
        }
    }

    fn name_snapshot(&mut self) {
        let Some(row) = self.any_group() else { return };
        let lsn = row.snapshot.map_or(0, |stored| stored.lsn.0) + u64::from(1 + self.below(4));
        let snapshot = group(row.id.0, 1, None, Some(lsn)).snapshot;
        let snapshot_previous = row.snapshot;
        let row = GroupRow {
            snapshot,
            snapshot_previous,
            ..row
        };
        self.put(Row::Group(row.into()));
    }

    /// A group that is new, or becomes this node's, too.
    fn make_group(&mut self) {
        let id = 1 + self.below(GROUPS);
        let known = self.catalog.group(GroupId(id)).map(|row| row.as_ref().clone());
        let mut row = known.unwrap_or_else(|| {
            let mut row = group(id, 1, Some(OTHER), None);
            row.members.retain(|journal| id == 3 || *journal == OTHER);
            row.leader = row.leader.filter(|leader| row.members.contains(leader));
            row
        });
        if self.random.random_bool(0.5) && !row.members.contains(&ME) {
            row.members.push(ME);
        }
        row.epoch = Epoch(row.epoch.0 + 1);
        row.version += 1;
        self.accept(&mut row);
        self.put(Row::Group(row.into()));
    }

    /// The same rows with another history, as a new controller reads them.
    fn rebuild(&mut self) {
        let mut copy = Image::new();
        self.catalog.rows().for_each(|row| copy.apply(&Change::Put(row)));
        self.catalog = copy;
    }

    /// The node starts anew, or gets the number of its start.
    fn restart(&mut self) {
        if self.node.registration.is_some() {
            self.node = self.node.restarted();
        } else {
            self.node.register();
        }
    }

    fn follow(&mut self) -> Result<(), String> {
        let image = Arc::new(self.catalog.clone());
        self.node.follow(&image).map(drop)
    }

    /// Something that goes on in the background comes further.
    fn finish_one(&mut self) {
        if let Some(group) = self.node.installing.pop_first() {
            let row = self.catalog.group(group);
            let named = row
                .and_then(|row| row.snapshot)
                .map_or(Lsn(0), |stored| stored.lsn);
            let found = OnDisk::Whole(named);
            self.node.disk.insert(group, (found, Default::default()));
            self.node.following.local.arrived(group, named);
        } else if let Some(topic) = self.node.deleting.first().copied() {
            let (node, catalog) = (&mut self.node, &self.catalog);
            if let Some(row) = node.delete(topic, catalog) {
                self.put(Row::Topic(row.into()));
            }
        }
    }

    /// Until nothing goes on any more.
    fn settle(&mut self) -> Result<(), String> {
        self.node.refuses = false;
        for _ in 0..50 {
            self.follow()?;
            while !self.node.installing.is_empty() {
                self.finish_one();
            }
            for topic in self.node.deleting.clone() {
                let (node, catalog) = (&mut self.node, &self.catalog);
                if let Some(row) = node.delete(topic, catalog) {
                    self.put(Row::Topic(row.into()));
                }
            }
        }
        self.follow()
    }
}
