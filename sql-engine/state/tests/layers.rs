//! Layers against a model, and flushes against crashes and fences.
#![allow(clippy::unwrap_used)]

use millstream_model::{Offset, OwnerEpoch};
use millstream_state::{
    Cold, ColdCache, ColdError, Layer, Presence, RunId, StateKey, Store, StoreKind, Stored, Tag,
};
use object_store::memory::InMemory;
use object_store::path::Path;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
struct Number(u32);

impl Stored for Number {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }

    fn bytes(&self) -> usize {
        4 + self.0 as usize % 7
    }
}

fn key(name: u8, window: i64) -> StateKey {
    StateKey {
        key: Box::new([name]),
        window,
    }
}

#[derive(Clone, Debug)]
enum Step {
    Put(u8, i64, u32),
    Update(u8, i64, Result<u32, ()>),
    Remove(u8, i64),
    Expire(i64),
    Fold,
    Drop,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..3_u8, 0..4_i64, any::<u32>()).prop_map(|(k, w, v)| Step::Put(k, w, v)),
        5 => (0..3_u8, 0..4_i64, any::<u32>(), any::<bool>())
            .prop_map(|(k, w, v, errs)| Step::Update(k, w, if errs { Err(()) } else { Ok(v) })),
        2 => (0..3_u8, 0..4_i64).prop_map(|(k, w)| Step::Remove(k, w)),
        1 => (0..5_i64).prop_map(Step::Expire),
        1 => Just(Step::Fold),
        1 => Just(Step::Drop),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_store_is_two_maps(steps in proptest::collection::vec(step(), 0..40)) {
        let mut store = Store::new(true);
        let mut committed: BTreeMap<(u8, i64), u32> = BTreeMap::new();
        let mut running = committed.clone();
        for step in steps {
            match step {
                Step::Put(k, w, v) => {
                    store.put(key(k, w), Number(v));
                    running.insert((k, w), v);
                }
                Step::Update(k, w, outcome) => {
                    let was = running.get(&(k, w)).copied();
                    let ended = store.update(key(k, w), || Number(7), |value, presence| {
                        assert_eq!(presence == Presence::Present, was.is_some());
                        assert_eq!(value.0, was.unwrap_or(7));
                        outcome.map(|add| value.0 = value.0.wrapping_add(add))
                    });
                    prop_assert_eq!(ended, outcome.map(|_| ()));
                    if let Ok(add) = outcome {
                        running.insert((k, w), was.unwrap_or(7).wrapping_add(add));
                    }
                }
                Step::Remove(k, w) => {
                    store.remove(&key(k, w));
                    running.remove(&(k, w));
                }
                Step::Expire(start) => {
                    let before = running.len();
                    running.retain(|(_, w), _| *w >= start);
                    prop_assert_eq!(store.expire(start), before - running.len());
                }
                Step::Fold => {
                    store.fold();
                    committed.clone_from(&running);
                }
                Step::Drop => {
                    store.drop_overlay();
                    running.clone_from(&committed);
                }
            }
            for k in 0..3 {
                for w in 0..4 {
                    prop_assert_eq!(store.get(&key(k, w)).map(|n| n.0), running.get(&(k, w)).copied());
                }
                let seen: Vec<(i64, u32)> = store
                    .committed(&[k], Bound::Included(1), Bound::Unbounded)
                    .into_iter().map(|(key, n)| (key.window, n.0)).collect();
                let expected: Vec<(i64, u32)> =
                    committed.range((k, 1)..=(k, i64::MAX)).map(|((_, w), v)| (*w, *v)).collect();
                prop_assert_eq!(seen, expected);
            }
            let key_bytes = |key: &StateKey| size_of::<StateKey>() + key.key.len() + 32;
            let hot: usize = store.committed_scan().map(|(key, value)| key_bytes(key) + value.bytes()).sum();
            let changed = |(key, value): (&StateKey, &Option<Number>)| {
                key_bytes(key) + value.as_ref().map_or(0, Number::bytes)
            };
            let overlay: usize = store.changes().map(changed).sum();
            prop_assert_eq!(store.overlay_bytes(), overlay);
            // As many bytes as it will take, whatever was committed before: what the same store takes once it is folded.
            let mut folded = store.clone();
            folded.fold();
            prop_assert_eq!(folded.settled_bytes(), store.settled_bytes());
            prop_assert_eq!(folded.overlay_bytes(), 0);
            let settled: usize =
                folded.committed_scan().map(|(key, value)| key_bytes(key) + value.bytes()).sum();
            prop_assert!(store.changes().next().is_some() || settled == hot);
            // The rest notes each key under its window, those that went since the last expiry too.
            let noted = size_of::<Box<[u8]>>() + 1;
            let rest = store.settled_bytes() - settled;
            prop_assert_eq!(rest % noted, 0);
            prop_assert!(rest >= noted * running.len());
            if running.is_empty() && committed.is_empty() {
                store.expire(i64::MAX);
                prop_assert_eq!(store.settled_bytes(), 0);
            }
        }
    }
}

#[tokio::test]
async fn a_flush_survives_with_its_tag_and_a_takeover_fences() {
    let store: Arc<InMemory> = Arc::new(InMemory::new());
    let cache = ColdCache::new(1 << 20);
    let open = || Cold::open(store.clone(), StoreKind::Objects, Path::from("sql/1"), &cache);
    let layer = |changes: &[(&'static str, Option<&'static str>)]| -> Layer {
        let change =
            |(key, value): &(&'static str, Option<&'static str>)| ((*key).into(), value.map(Into::into));
        changes.iter().map(change).collect()
    };
    let tag = |end| Tag {
        end: Offset(end),
        last: RunId {
            epoch: OwnerEpoch(1),
            number: 5,
        },
    };

    let first = open().await.unwrap();
    assert_eq!(first.tag().await, None);
    let changes = layer(&[("a1", Some("x")), ("a2", Some("y")), ("b", Some("z"))]);
    first.flush(&changes, tag(1)).await.unwrap();
    let changes = layer(&[("a1", Some("x2")), ("a2", None)]);
    first.flush(&changes, tag(2)).await.unwrap();

    // The first is not closed: it was killed. What it had flushed is there, and it can write no more.
    let second = open().await.unwrap();
    assert_eq!(second.tag().await, Some(tag(2)));
    let rows = second.scan(b"a").await.unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0].0[..], &rows[0].1[..]), (&b"a1"[..], &b"x2"[..]));
    let late = first.flush(&layer(&[("c", Some("late"))]), tag(3)).await;
    assert!(matches!(late, Err(ColdError::Fenced)));
    assert!(second.scan(b"c").await.unwrap().is_empty());
    assert_eq!(second.tag().await, Some(tag(2)));
    second.close().await.unwrap();
}

#[tokio::test]
async fn a_database_that_rested_goes_on_unless_somebody_else_has_flushed() {
    let store: Arc<InMemory> = Arc::new(InMemory::new());
    let cache = ColdCache::new(1 << 20);
    let open = || Cold::open(store.clone(), StoreKind::Objects, Path::from("sql/1"), &cache);
    let layer = |key: &'static str| Layer::from([(key.into(), Some("x".into()))]);
    let tag = |end| Tag {
        end: Offset(end),
        last: RunId::default(),
    };
    let first = open().await.unwrap();
    first.rest().await.unwrap();
    first.flush(&layer("a"), tag(1)).await.unwrap();
    first.rest().await.unwrap();
    assert_eq!(first.scan(b"a").await.unwrap().len(), 1);
    first.rest().await.unwrap();
    let second = open().await.unwrap();
    second.flush(&layer("b"), tag(2)).await.unwrap();
    assert!(matches!(
        first.flush(&layer("c"), tag(3)).await,
        Err(ColdError::Fenced)
    ));
    assert!(matches!(first.scan(b"a").await, Err(ColdError::Fenced)));
    // It has opened the database to see that, and so fenced the other, which then opens its shard anew.
    let third = open().await.unwrap();
    assert_eq!(
        (third.tag().await, third.scan(b"c").await.unwrap().len()),
        (Some(tag(2)), 0)
    );
}
