//! Any history of the catalog, followed step by step with skips and restarts, leaves what the newest image alone asks for.

mod history;
mod world;

use super::action::Action;
use super::local::{Local, Planted};
use super::plan::Following;
use history::history;
use millstream_metadata::{Change, Image, Row, TopicRow};
use millstream_model::{GroupId, TopicId};
use std::sync::Arc;
use world::{ME, Node, group, topic};

/// How many histories a run has.
const SEEDS: u64 = 600;

fn run(seed: u64, planted: Planted) -> Result<(), String> {
    history(seed, planted).map_err(|why| format!("seed {seed}: {why}"))
}

#[test]
fn step_by_step_is_the_same_as_from_scratch() {
    for seed in 0..SEEDS {
        assert_eq!(run(seed, Planted::default()), Ok(()));
    }
}

fn is_found(planted: Planted) {
    let found = (0..SEEDS).find_map(|seed| run(seed, planted).err());
    println!("{planted:?}: {}", found.expect("it is found"));
}

#[test]
fn a_change_that_is_told_by_epoch_only_is_found() {
    is_found(Planted {
        assigned_by_epoch: true,
        ..Planted::default()
    });
}

#[test]
fn a_leadership_without_a_look_is_found() {
    is_found(Planted {
        elected_without_a_look: true,
        ..Planted::default()
    });
}

#[test]
fn a_log_that_is_too_short_is_found() {
    is_found(Planted {
        short_log_suffices: true,
        ..Planted::default()
    });
}

#[test]
fn members_that_started_anew_are_found() {
    is_found(Planted {
        old_incarnations: true,
        ..Planted::default()
    });
}

const TOPICS: u64 = 10_000;
const PARTITIONS: usize = 10;
const GROUPS: u32 = 16;

fn large() -> Image {
    let mut image = world::image_of_groups(GROUPS);
    for number in 0..TOPICS {
        image.apply(&Change::Put(Row::Topic(large_topic(number).into())));
    }
    image
}

fn large_topic(number: u64) -> TopicRow {
    let groups = (0..PARTITIONS as u32).map(|index| GroupId(1 + (number as u32 + index) % GROUPS));
    topic(number, groups)
}

/// CLARIFICATIONS' "no walk" is counted, not timed: `cargo bench -p millstream-broker` prints the times.
#[test]
fn a_change_costs_what_it_is_large_among_a_hundred_thousand_partitions() {
    let mut image = large();
    let mut node = Node::new(Planted::default());
    node.register();
    let first = node.follow(&Arc::new(image.clone())).unwrap();
    let all = TOPICS as usize * PARTITIONS;
    assert_eq!(node.held.values().map(|held| held.len()).sum::<usize>(), all);
    assert!(
        first < 12 * all,
        "{first} rows for a first image of {all} partitions"
    );

    let mut looked_at = |image: &Image| node.follow(&Arc::new(image.clone())).unwrap();
    assert_eq!(looked_at(&image), 0, "nothing has changed");
    let mut changed = large_topic(7);
    changed.config.insert("retention.ms".to_owned(), "5".to_owned());
    image.apply(&Change::Put(Row::Topic(changed.into())));
    let change = looked_at(&image);
    assert!(change <= 50, "{change} rows for a change of one topic");
    image.apply(&Change::Put(Row::Topic(large_topic(TOPICS).into())));
    let made = looked_at(&image);
    assert!(made <= 50, "{made} rows for a topic that was made");
    let group = Row::Group(group(1, 2, Some(ME), None).into());
    image.apply(&Change::Put(group));
    let elected = looked_at(&image);
    let share = 3 * all / GROUPS as usize + 12 * TOPICS as usize;
    assert!(elected < share, "{elected} rows for a leadership of one group");

    // Of another history: every row is compared, and nothing more is asked of the groups.
    let mut rebuilt = Image::new();
    image.rows().for_each(|row| rebuilt.apply(&Change::Put(row)));
    let compared = looked_at(&rebuilt);
    assert!(compared < 3 * TOPICS as usize, "{compared} rows for a comparison");
}

#[test]
fn nothing_is_begun_anew_where_the_store_has_more() {
    let mut node = Node::new(Planted::default());
    let mut image = Image::new();
    image.apply(&Change::Put(Row::Group(group(3, 1, Some(ME), Some(5)).into())));
    let image = Arc::new(image);
    let plan = node.following.plan(&image, &node.held.clone());
    assert_eq!(plan.actions, [], "before it has its number it writes nothing");
    node.register();
    let row = Arc::clone(image.group(GroupId(3)).unwrap());
    let plan = node.following.plan(&image, &node.held.clone());
    assert_eq!(
        plan.actions,
        [Action::Install {
            row: Arc::clone(&row)
        }]
    );
    node.following.local.did(&plan.actions[0]);
    assert_eq!(node.following.plan(&image, &node.held.clone()).actions, []);
    node.following.local.arrived(GroupId(3), millstream_model::Lsn(5));
    let plan = node.following.plan(&image, &node.held.clone());
    assert_eq!(plan.actions[0], Action::TakeUp { row });
}

#[test]
fn a_topic_is_deleted_once_at_a_time() {
    let mut following = Following::new(Local::new(ME, Default::default()));
    following.local.deleting.insert(TopicId(uuid::Uuid::from_u128(1)));
    let mut image = world::image_of_groups(1);
    let mut tombstone = topic(1, [GroupId(1)]);
    tombstone.state = millstream_metadata::TopicState::Deleting;
    image.apply(&Change::Put(Row::Topic(tombstone.into())));
    following.local.registered(world::NUMBER);
    let image = Arc::new(image);
    let mut deletions = 0;
    let mut finished = false;
    loop {
        let plan = following.plan(&image, &world::HeldBy::default());
        if plan.actions.is_empty() && !std::mem::replace(&mut finished, true) {
            assert_eq!(deletions, 0, "it is under way");
            following.local.deleted(TopicId(uuid::Uuid::from_u128(1)));
            continue;
        }
        if plan.actions.is_empty() {
            break;
        }
        for action in plan.actions {
            deletions += usize::from(matches!(action, Action::Delete { .. }));
            following.local.did(&action);
        }
    }
    assert_eq!(deletions, 1, "what the task did not see is deleted after it");
}
