//! What following the catalog costs a node among 100,000 partitions (decision 046).
//!
//! `cargo bench -p millstream-broker --bench follow`
//!
//! Prints medians. Nothing here asserts a time; that a change is no walk is counted by a test of `broker::follow`.
#![allow(clippy::unwrap_used)]

use millstream_broker::follow::{Action, Following, Held, Local};
use millstream_metadata::{
    Change, Class, GroupPurpose, GroupRow, HostPort, Image, NodeRow, PartitionRow, Replica, Row, TopicRow,
    TopicState,
};
use millstream_model::{
    Epoch, GroupId, JournalId, NodeId, PartitionId, Registration, TenantId, TimestampMs, TopicId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

const PARTITIONS: u64 = 100_000;
const GROUPS: u32 = 16;
const ROUNDS: u64 = 101;
const ME: JournalId = JournalId(Uuid::from_u128(1));
const NUMBER: Registration = Registration(1);

fn main() {
    for partitions_per_topic in [1, 100] {
        let topics = PARTITIONS / partitions_per_topic;
        println!("{topics} topics of {partitions_per_topic} partitions in {GROUPS} groups");
        let started = Instant::now();
        let mut image = image(topics, partitions_per_topic);
        println!("  the image from its rows    {:>10.2?}", started.elapsed());
        let mut node = Node::new();
        let (took, rows) = node.follow(&image);
        println!("  a first image              {took:>10.2?}  {rows} rows looked at");
        let mut restarted = node.restarted();
        let (took, rows) = restarted.follow(&image);
        println!("  the same after a restart   {took:>10.2?}  {rows}");
        let mut changes = Vec::new();
        for round in 0..ROUNDS {
            let mut topic = topic(round * (topics / ROUNDS), partitions_per_topic);
            topic.config.insert("retention.ms".to_owned(), round.to_string());
            image.apply(&Change::Put(Row::Topic(topic.into())));
            changes.push(node.follow(&image));
        }
        print("a change of one topic", &mut changes);
        let mut made = Vec::new();
        for round in 0..ROUNDS {
            let topic = topic(topics + round, partitions_per_topic);
            image.apply(&Change::Put(Row::Topic(topic.into())));
            made.push(node.follow(&image));
        }
        print("a topic that is made", &mut made);
        let mut elected = Vec::new();
        for epoch in 2..12 {
            image.apply(&Change::Put(Row::Group(group(1, epoch).into())));
            elected.push(node.follow(&image));
        }
        print("a leadership of one group", &mut elected);
        let mut rebuilt = Image::new();
        image.rows().for_each(|row| rebuilt.apply(&Change::Put(row)));
        let (took, rows) = node.follow(&rebuilt);
        println!("  an image of another history {took:>9.2?}  {rows}");
    }
}

fn print(what: &str, measured: &mut [(Duration, usize)]) {
    measured.sort_unstable();
    let (median, rows) = measured[measured.len() / 2];
    let (most, _) = measured[measured.len() - 1];
    println!("  {what:<26} {median:>10.2?}  {rows}, at most {most:.2?}");
}

/// A node that does at once what a plan says.
struct Node {
    following: Following,
    held: Groups,
}

#[derive(Default)]
struct Groups(BTreeMap<GroupId, BTreeSet<PartitionId>>);

impl Held for Groups {
    fn partitions(&self, group: GroupId) -> BTreeSet<PartitionId> {
        self.0.get(&group).cloned().unwrap_or_default()
    }

    fn has(&self, group: GroupId, partition: PartitionId) -> bool {
        self.0.get(&group).is_some_and(|held| held.contains(&partition))
    }
}

impl Node {
    fn new() -> Node {
        let mut local = Local::new(ME, BTreeMap::new());
        local.registered(NUMBER);
        Node {
            following: Following::new(local),
            held: Groups::default(),
        }
    }

    /// A new process whose groups find on the disk what they had.
    fn restarted(&self) -> Node {
        Node {
            held: Groups(self.held.0.clone()),
            ..Node::new()
        }
    }

    /// The time that planning takes, without what carries the plans out.
    fn follow(&mut self, image: &Image) -> (Duration, usize) {
        let image = Arc::new(image.clone());
        let (mut took, mut rows) = (Duration::ZERO, 0);
        loop {
            let started = Instant::now();
            let plan = self.following.plan(&image, &self.held);
            took += started.elapsed();
            rows += plan.looked_at;
            if plan.actions.is_empty() {
                return (took, rows);
            }
            for action in plan.actions {
                if let Action::Open { group, partitions } = &action {
                    let held = self.held.0.entry(*group).or_default();
                    held.extend(partitions.iter().map(|(partition, ..)| *partition));
                }
                self.following.local.did(&action);
            }
        }
    }
}

fn image(topics: u64, partitions: u64) -> Image {
    let mut image = Image::new();
    let at = HostPort {
        host: "localhost".to_owned(),
        port: 1,
    };
    let node = NodeRow {
        id: NodeId(1),
        journal: ME,
        registration: NUMBER,
        registration_confirmed: NUMBER,
        kafka: at.clone(),
        http: at,
        feature_level_max: 1,
        lost: false,
        registered: TimestampMs(0),
    };
    image.apply(&Change::Put(Row::Node(node.into())));
    for id in 1..=GROUPS {
        image.apply(&Change::Put(Row::Group(group(id, 1).into())));
    }
    for number in 0..topics {
        image.apply(&Change::Put(Row::Topic(topic(number, partitions).into())));
    }
    image
}

fn group(id: u32, epoch: u32) -> GroupRow {
    GroupRow {
        id: GroupId(id),
        purpose: GroupPurpose::Tenants,
        class: Class::ONE,
        epoch: Epoch(epoch),
        version: u64::from(epoch),
        leader: Some(ME),
        isr: vec![Replica {
            journal: ME,
            registration: NUMBER,
        }],
        members: vec![ME],
        snapshot: None,
        snapshot_previous: None,
    }
}

/// Topics lie at random in the tree, as their ids do.
fn topic(number: u64, partitions: u64) -> TopicRow {
    let group = |index: u64| GroupId(1 + u32::try_from((number + index) % u64::from(GROUPS)).unwrap());
    let partition = |index| PartitionRow {
        group: group(index),
        base_epoch: 0,
        deleted: false,
    };
    let id = u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(number);
    TopicRow {
        id: TopicId(Uuid::from_u128(id)),
        tenant: TenantId(1 + number % 1_000),
        name: format!("topic-{number}").parse().unwrap(),
        partitions: (0..partitions).map(partition).collect(),
        class: Class::ONE,
        config: BTreeMap::new(),
        internal: false,
        state: TopicState::Active,
        created: TimestampMs(0),
    }
}
