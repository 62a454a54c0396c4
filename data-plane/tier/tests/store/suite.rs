//! What every store must do.

use crate::world::{batches, flush, joined, object, partition, read_all, settings, stores, tier};
use bytes::Bytes;
use millstream_model::{Offset, TimestampMs};
use millstream_tier::{FlushBuilder, Settings, Tier, TierError};

#[tokio::test]
async fn what_is_flushed_is_read_back_from_the_cache_and_from_the_store() {
    for (kind, store, prefix, _folder) in stores() {
        let runs = [
            (0, batches(1, 100, 40, 300)),
            (5, batches(2, 0, 1, 5_000)),
            (7, batches(3, 7, 3, 70)),
        ];
        let flushed = flush(1, &runs);
        let warm = tier(&store, &prefix);
        warm.put(&flushed).await.unwrap();
        assert_eq!(flushed.segments.len(), 3);
        for reader in [warm, tier(&store, &prefix)] {
            for ((index, wanted), (named, segment)) in runs.iter().zip(&flushed.segments) {
                assert_eq!(*named, partition(*index));
                assert_eq!(segment.base_offset, wanted[0].base_offset);
                assert_eq!(segment.end_offset, wanted[wanted.len() - 1].end_offset);
                for bytes_max in [1, 2_500, 1_000_000] {
                    assert_eq!(
                        read_all(&reader, segment, bytes_max).await,
                        joined(wanted),
                        "{kind}"
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn offsets_and_times_are_found_within_a_run() {
    for (kind, store, prefix, _folder) in stores() {
        // Blocks of four batches of 300 bytes.
        let flushed = flush(2, &[(0, batches(1, 1_000, 40, 300))]);
        tier(&store, &prefix).put(&flushed).await.unwrap();
        let (tier, segment) = (tier(&store, &prefix), flushed.segments[0].1);
        for (from, first, next) in [
            (0, 1_000, 1_040),
            (1_039, 1_000, 1_040),
            (1_040, 1_040, 1_080),
            (1_399, 1_360, 1_400),
        ] {
            let read = tier.read(&segment, Offset(from), 1).await.unwrap();
            assert_eq!(
                (read.base_offset, read.end_offset),
                (Offset(first), Offset(next)),
                "{kind} {from}"
            );
        }
        let after = tier.read(&segment, Offset(1_400), 1_000).await.unwrap();
        assert!(after.blocks.is_empty() && after.end_offset == Offset(1_400));
        for (time, first) in [
            (0, Some(1_000)),
            (3_000, Some(1_000)),
            (3_001, Some(1_040)),
            (39_000, Some(1_360)),
            (39_001, None),
        ] {
            let read = tier.read_since(&segment, TimestampMs(time), 1).await.unwrap();
            assert_eq!(read.map(|read| read.base_offset.0), first, "{kind} {time}");
        }
    }
}

#[tokio::test]
async fn large_objects_go_in_parts() {
    for (kind, store, prefix, _folder) in stores() {
        let parts = Settings {
            single_put_bytes_max: 1024 * 1024,
            part_bytes: 5 * 1024 * 1024,
            ..settings()
        };
        let wanted = batches(4, 0, 12, 1024 * 1024);
        let flushed = flush(3, &[(0, wanted.clone())]);
        Tier::new(store.clone(), prefix.clone(), parts)
            .put(&flushed)
            .await
            .unwrap();
        let reader = tier(&store, &prefix);
        assert_eq!(
            read_all(&reader, &flushed.segments[0].1, 3_000_000).await,
            joined(&wanted),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn an_upload_may_be_repeated() {
    for (_, store, prefix, _folder) in stores() {
        let flushed = flush(4, &[(0, batches(1, 0, 3, 100))]);
        for _ in 0..2 {
            tier(&store, &prefix).put(&flushed).await.unwrap();
        }
        let reader = tier(&store, &prefix);
        assert_eq!(read_all(&reader, &flushed.segments[0].1, 1_000).await.len(), 300);
    }
}

#[tokio::test]
async fn a_footer_longer_than_the_guess_is_read_whole() {
    for (kind, store, prefix, _folder) in stores() {
        let runs: Vec<_> = (0..300)
            .map(|index| (index, batches(index as u8, 0, 2, 80)))
            .collect();
        let flushed = flush(5, &runs);
        assert!(flushed.footer_bytes() > 20_000);
        tier(&store, &prefix).put(&flushed).await.unwrap();
        let short = Settings {
            footer_guess_bytes: 100,
            ..settings()
        };
        let reader = Tier::new(store.clone(), prefix.clone(), short);
        for (index, segment) in flushed.segments.iter().step_by(37) {
            let wanted = joined(&batches(index.index.0 as u8, 0, 2, 80));
            assert_eq!(read_all(&reader, segment, 1).await, wanted, "{kind}");
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    for (_, store, prefix, _folder) in stores() {
        let flushed = flush(6, &[(0, batches(1, 0, 3, 100))]);
        let reader = tier(&store, &prefix);
        let error = reader
            .read(&flushed.segments[0].1, Offset(0), 10)
            .await
            .unwrap_err();
        assert!(matches!(error, TierError::NotFound { .. }), "{error}");
        assert_eq!(error.retry(), millstream_model::Retry::AfterRefresh);
        let error = reader.get_snapshot(&object(6)).await.unwrap_err();
        assert!(matches!(error, TierError::NotFound { .. }), "{error}");
        // It is not remembered as missing.
        reader.put(&flushed).await.unwrap();
        assert!(reader.read(&flushed.segments[0].1, Offset(0), 10).await.is_ok());
    }
}

#[tokio::test]
async fn snapshots_are_read_back_whole() {
    for (_, store, prefix, _folder) in stores() {
        let tier = tier(&store, &prefix);
        let pieces = [
            Bytes::from_static(b"one"),
            Bytes::new(),
            Bytes::from(vec![7; 100_000]),
        ];
        tier.put_snapshot(&object(7), &pieces).await.unwrap();
        let read = tier.get_snapshot(&object(7)).await.unwrap();
        assert_eq!(read, Bytes::from(pieces.concat()));
        tier.put_snapshot(&object(8), &[]).await.unwrap();
        assert!(tier.get_snapshot(&object(8)).await.unwrap().is_empty());
    }
}

#[test]
fn an_empty_run_is_left_out() {
    let mut builder = FlushBuilder::new(object(9), 100);
    assert!(builder.is_empty() && builder.fits(100));
    builder.begin(partition(0));
    builder.begin(partition(1));
    builder.push(batches(0, 0, 1, 70).remove(0));
    builder.begin(partition(2));
    assert_eq!(builder.bytes(), 70);
    let flushed = builder.finish();
    assert_eq!(flushed.segments.len(), 1);
    assert_eq!(flushed.segments[0].0, partition(1));
    let whole: usize = flushed.chunks().iter().map(Bytes::len).sum();
    assert_eq!(flushed.bytes(), whole as u64);
}

/// The form of this release, byte for byte: a later one must read it.
#[test]
fn the_stored_form_is_fixed() {
    let flushed = flush(10, &[(1, batches(1, 5, 1, 64))]);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let batch = &flushed.chunks()[0];
    assert_eq!(
        hex(&batch[..17]),
        "000000000000000500000034".to_owned() + "0d0c0f0e02"
    );
    let expected = concat!(
        "0200000001000000",
        "0909090909090909090909090909090901000000",
        "0000000000000000",
        "4000000000000000",
        "RUN",
        "0500000000000000",
        "0f00000000000000",
        "0000000000000000",
        "01000000",
        "0500000000000000",
        "0000000000000000",
        "40000000",
        "BLOCK",
    );
    let block = crc_fast::crc32_iscsi(&batch[..21]).to_le_bytes();
    let run = crc_fast::crc32_iscsi(&block).to_le_bytes();
    let expected = expected.replace("RUN", &hex(&run)).replace("BLOCK", &hex(&block));
    let footer = flushed.chunks().last().unwrap();
    assert_eq!(hex(&footer[..footer.len() - 20]), expected);
    assert_eq!(&footer[footer.len() - 8..], b"MSTIER01");
}
