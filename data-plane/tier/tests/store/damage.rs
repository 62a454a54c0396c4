//! Which records a flipped bit takes, and which it does not.

use crate::world::{Place, batches, flush, joined, object, stores, tier};
use bytes::{Bytes, BytesMut};
use millstream_model::Offset;
use millstream_tier::name::{ObjectKind, path};
use millstream_tier::{DamagedRange, TierError};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::sync::Arc;

/// Twelve batches in three blocks of four.
const BLOCK_BYTES: usize = 4 * 300;

async fn get(store: &Arc<dyn ObjectStore>, name: &Path) -> Bytes {
    store.get(name).await.unwrap().bytes().await.unwrap()
}

#[tokio::test]
async fn a_flipped_bit_takes_its_block_and_no_other() {
    for place in stores() {
        let (kind, store, prefix, _folder): &Place = &place;
        let runs = [(0, batches(1, 0, 12, 300)), (5, batches(2, 500, 4, 300))];
        let flushed = flush(1, &runs);
        tier(store, prefix).put(&flushed).await.unwrap();
        let name = path(prefix, ObjectKind::Segment, &object(1));
        let good = get(store, &name).await;
        let (hurt, other) = (flushed.segments[0].1, flushed.segments[1].1);
        assert_eq!(tier(store, prefix).verify(&hurt).await.unwrap(), [], "{kind}");
        for at in (0..3 * BLOCK_BYTES).step_by(149) {
            let block = at / BLOCK_BYTES;
            let mut bytes = BytesMut::from(&good[..]);
            bytes[at] ^= 1;
            store.put(&name, bytes.freeze().into()).await.unwrap();
            let (from, end) = (Offset(40 * block as i64), Offset(40 * (block as i64 + 1)));
            let fresh = tier(store, prefix);
            let found = fresh.verify(&hurt).await.unwrap();
            let [
                DamagedRange {
                    base_offset,
                    end_offset,
                    ..
                },
            ] = found[..]
            else {
                panic!("{kind} byte {at}: {found:?}")
            };
            assert_eq!((base_offset, end_offset), (from, end), "{kind} byte {at}");
            assert_eq!(fresh.verify(&other).await.unwrap(), [], "{kind} byte {at}");
            // A reader gets what precedes it, whatever it asked for.
            for first in 0..3 {
                let read = fresh.read(&hurt, Offset(40 * first as i64), 1_000_000).await;
                match read {
                    Err(error) => {
                        assert_eq!(first, block, "{kind} byte {at}: {error}");
                        assert!(matches!(error, TierError::Corrupt { .. }), "{error}");
                    }
                    Ok(read) => {
                        let to = if first < block { block } else { 3 };
                        let wanted = &runs[0].1[4 * first..4 * to];
                        assert_eq!(read.blocks.concat(), joined(wanted), "{kind} byte {at}");
                        assert_eq!(read.end_offset, Offset(40 * to as i64));
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn an_object_without_a_footer_or_none_at_all_is_damaged_as_a_whole() {
    for (kind, store, prefix, _folder) in stores() {
        let flushed = flush(1, &[(0, batches(1, 0, 12, 300)), (5, batches(2, 500, 4, 300))]);
        tier(&store, &prefix).put(&flushed).await.unwrap();
        let name = path(&prefix, ObjectKind::Segment, &object(1));
        let good = get(&store, &name).await;
        let whole = |found: &[DamagedRange], (from, end): (i64, i64)| {
            let [range] = found else {
                panic!("{kind}: {found:?}")
            };
            assert_eq!(
                (range.base_offset, range.end_offset),
                (Offset(from), Offset(end)),
                "{kind}"
            );
        };
        let segments = [
            (flushed.segments[0].1, (0, 120)),
            (flushed.segments[1].1, (500, 540)),
        ];
        // Cut off, and then gone.
        store
            .put(&name, good.slice(..good.len() - 5).into())
            .await
            .unwrap();
        for (segment, all) in &segments {
            whole(&tier(&store, &prefix).verify(segment).await.unwrap(), *all);
        }
        store.delete(&name).await.unwrap();
        for (segment, all) in &segments {
            let found = tier(&store, &prefix).verify(segment).await.unwrap();
            whole(&found, *all);
            assert_eq!(found[0].what, "the object is not in the store");
        }
    }
}
