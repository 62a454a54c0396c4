//! The difference of two images is found, whatever lies between them.

use super::Image;
use crate::change::Change;
use crate::kind::Draw;
use crate::rows::{Row, RowKey};
use millstream_model::GroupId;
use millstream_model::limits::IMAGE_CHANGES_MAX;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// One of the kinds that nodes follow, and one that they do not.
fn row(kind: usize, number: u64, flag: bool, text: u64) -> Row {
    let draw = Draw {
        number,
        text: text.to_string(),
        flag,
    };
    let wanted = ["Topic", "Group", "Node", "Quota"][kind];
    let mut samples = Row::samples(&draw).into_iter();
    samples.find(|(name, _)| *name == wanted).unwrap().1
}

fn rebuilt(image: &Image) -> Image {
    let mut copy = Image::new();
    image.rows().for_each(|row| copy.apply(&Change::Put(row)));
    copy
}

/// What two walks find.
fn keys_that_differ(new: &Image, old: &Image) -> BTreeSet<RowKey> {
    let rows = |image: &Image| image.rows().map(|row| (row.key(), row)).collect::<Vec<_>>();
    let (new, old) = (rows(new), rows(old));
    let only = |these: &[(RowKey, Row)], those: &[(RowKey, Row)]| -> Vec<RowKey> {
        let missing = these.iter().filter(|row| !those.contains(row));
        missing.map(|(key, _)| key.clone()).collect()
    };
    only(&new, &old).into_iter().chain(only(&old, &new)).collect()
}

proptest! {
    /// No row that differs is missing, be the images of one history or not, also when a transaction in between was
    /// thrown away.
    #[test]
    fn every_row_that_differs_is_told(
        steps in prop::collection::vec((0..4usize, 1..5u64, any::<bool>(), 0..3u64, 0..10u8), 1..60),
        seen in any::<prop::sample::Index>(),
    ) {
        let (mut image, mut seen_at) = (Image::new(), Image::new());
        let seen = seen.index(steps.len());
        for (step, (kind, number, flag, text, fate)) in steps.into_iter().enumerate() {
            let row = row(kind, number, flag, text);
            let change = match fate {
                0..3 => Change::Remove(row.key()),
                _ => Change::Put(row),
            };
            let mut drafted = image.clone();
            drafted.apply(&change);
            match fate {
                // The transaction failed: another one will have its number.
                9 => {}
                8 => image = rebuilt(&drafted),
                _ => image = drafted,
            }
            if step == seen {
                seen_at = image.clone();
            }
        }
        let difference = image.difference(&seen_at);
        for key in keys_that_differ(&image, &seen_at) {
            let told = match &key {
                RowKey::Topic(id) => difference.topics.contains(id),
                RowKey::Group(id) => difference.groups.contains(id),
                RowKey::Node(_) => difference.nodes,
                _ => true,
            };
            prop_assert!(told, "{key:?} is not in {difference:?}");
        }
        for group in (0..6).map(GroupId) {
            let walked = image.topics().filter(|topic| topic.partitions.iter().any(|it| it.group == group));
            prop_assert_eq!(image.topics_in(group).count(), walked.count());
        }
        prop_assert_eq!(&image, &rebuilt(&image));
    }
}

#[test]
fn a_successor_is_told_by_its_changes_alone() {
    let mut image = Image::new();
    for number in 1..=3_000 {
        image.apply(&Change::Put(row(0, number, true, 0)));
    }
    let before = image.clone();
    image.apply(&Change::Put(row(0, 7, true, 1)));
    image.apply(&Change::Put(row(3, 7, true, 1)));
    let difference = image.difference(&before);
    assert_eq!((difference.topics.len(), difference.rows_looked_at), (1, 1));
    assert!(difference.groups.is_empty() && !difference.nodes);
    assert_eq!(image.difference(&image.clone()).rows_looked_at, 0);
}

#[test]
fn who_missed_too_much_compares() {
    let mut image = Image::new();
    image.apply(&Change::Put(row(0, 1, true, 0)));
    let before = image.clone();
    for _ in 0..=IMAGE_CHANGES_MAX {
        image.apply(&Change::Put(row(0, 2, true, 0)));
    }
    let difference = image.difference(&before);
    assert_eq!(difference.topics.len(), 1, "{difference:?}");
    assert_eq!(difference.rows_looked_at, 3, "both images were walked through");
}
