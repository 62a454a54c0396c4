//! Every kind of row survives its stored and its sent form, which is pinned to the byte; bytes that are not rows are
//! refused in words.

use super::{Row, RowKey};
use crate::change::Change;
use crate::image::Image;
use crate::kind::Draw;
use crate::rows::TopicState;
use crate::stored::StoredError;
use proptest::prelude::*;
use std::fmt::Write;

/// A line for each kind in the order of the list: its name, the version of its value, its key and its value.
const GOLDEN: &str = include_str!("golden.txt");

fn any_draw() -> impl Strategy<Value = Draw> {
    (any::<u64>(), ".{0,40}", any::<bool>()).prop_map(|(number, text, flag)| Draw { number, text, flag })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn rows_of_every_kind_survive(draw in any_draw()) {
        for (_, row) in Row::samples(&draw) {
            let key = row.key();
            prop_assert_eq!(&RowKey::decode(&key.encode()).unwrap(), &key);
            prop_assert_eq!(&Row::decode(&key.encode(), &row.encode()).unwrap(), &row);
            let mut newer = row.encode();
            newer[0] += 1;
            let refused = Row::decode(&key.encode(), &newer);
            let is_newer = matches!(refused, Err(StoredError::Version { found, known, .. }) if found == known + 1);
            prop_assert!(is_newer);
            let long = [&key.encode()[..], &[0]].concat();
            let is_long = matches!(RowKey::decode(&long), Err(StoredError::Key { .. }));
            prop_assert!(is_long);
            for change in [Change::Put(row), Change::Remove(key)] {
                prop_assert_eq!(&Change::from_bytes(&change.to_bytes()).unwrap(), &change);
            }
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = RowKey::decode(&bytes);
        let _ = Change::from_bytes(&bytes);
        let _ = Row::decode(&bytes, &bytes);
    }

    /// Whatever order rows come and go in, the image is the one of the rows that are left, and none is forgotten.
    #[test]
    fn an_image_is_the_sum_of_its_rows(
        steps in prop::collection::vec((any::<prop::sample::Index>(), 0..6u64, any::<bool>(), any::<bool>()), 0..60),
    ) {
        let mut image = Image::new();
        let mut left = std::collections::BTreeMap::new();
        for (kind, number, flag, put) in steps {
            let draw = Draw { number, text: "x".to_owned(), flag };
            let mut samples = Row::samples(&draw);
            let (_, row) = samples.swap_remove(kind.index(samples.len()));
            if put {
                left.insert(row.key(), row.clone());
                image.apply(&Change::Put(row));
            } else {
                left.remove(&row.key());
                image.apply(&Change::Remove(row.key()));
            }
        }
        let mut copy = Image::new();
        for row in image.rows() {
            copy.apply(&Change::Put(row));
        }
        prop_assert_eq!(&copy, &image);
        left.retain(|key, _| !matches!(key, RowKey::Audit(_)));
        // The cluster's row is always there.
        let cluster = || image.rows().filter(|row| matches!(row, Row::Cluster(_)));
        left.extend(cluster().map(|row| (row.key(), row)));
        let shown: std::collections::BTreeMap<RowKey, Row> = image.rows().map(|row| (row.key(), row)).collect();
        prop_assert_eq!(shown, left);
        for topic in image.topics() {
            let named = image.topic(topic.tenant, &topic.name);
            prop_assert_eq!(named.is_some(), topic.state == TopicState::Active);
        }
    }
}

/// The stored form of this release, to the byte: changing one needs a new version of its kind, and a new kind a line.
#[test]
fn the_stored_forms_stay_as_they_are() {
    let draw = Draw {
        number: 1,
        text: "acme".to_owned(),
        flag: true,
    };
    let mut lines = String::new();
    for (name, row) in Row::samples(&draw) {
        let key = row.key().encode().iter().fold(String::new(), |mut key, byte| {
            write!(key, "{byte:02x}").unwrap();
            key
        });
        let value = row.encode();
        let json = std::str::from_utf8(&value[1..]).unwrap();
        writeln!(lines, "{name} {} {key} {json}", value[0]).unwrap();
    }
    assert_eq!(lines, GOLDEN);
}
