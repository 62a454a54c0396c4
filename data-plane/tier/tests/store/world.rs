//! Stores to test on, and objects to put into them.

use bytes::Bytes;
use millstream_model::segment::{ObjectOwner, ObjectRef, SegmentRef};
use millstream_model::{Epoch, GroupId, Offset, PartitionId, PartitionIndex, TimestampMs, TopicId};
use millstream_tier::{Batch, Before, Flush, FlushBuilder, Settings, Tier, open_store};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// A store's kind, the store, where in it, and the folder that it lives in.
pub type Place = (
    &'static str,
    Arc<dyn ObjectStore>,
    Path,
    Option<tempfile::TempDir>,
);

/// Every store that the suite runs on; folders live as long as what is returned beside the store. An S3 bucket joins
/// them when `MILLSTREAM_TEST_S3` names one (`s3://bucket/prefix`, the rest from `AWS_*`).
#[expect(
    clippy::disallowed_methods,
    reason = "each test has a prefix of its own in one bucket"
)]
pub fn stores() -> Vec<Place> {
    let folder = tempfile::tempdir().unwrap();
    let local = open_store(&format!("file://{}", folder.path().display()), Before::Unknown).unwrap();
    let mut stores: Vec<Place> = vec![
        (
            "memory",
            Arc::new(InMemory::new()),
            Path::from("some/prefix"),
            None,
        ),
        ("local", local.store, local.prefix, Some(folder)),
    ];
    match std::env::var("MILLSTREAM_TEST_S3") {
        Ok(url) => {
            let bucket = open_store(&url, Before::Unknown).unwrap();
            let prefix = bucket.prefix.join(TopicId::random().to_string());
            stores.push(("s3", bucket.store, prefix, None));
        }
        Err(_) => eprintln!("left out: S3 (set MILLSTREAM_TEST_S3)"),
    }
    stores
}

pub fn settings() -> Settings {
    Settings {
        call_timeout: Duration::from_millis(2_000),
        attempts_max: 3,
        backoff: Duration::from_millis(1),
        block_bytes: 1_000,
        ..Settings::default()
    }
}

pub fn tier(store: &Arc<dyn ObjectStore>, prefix: &Path) -> Tier {
    Tier::new(Arc::clone(store), prefix.clone(), settings())
}

pub fn object(number: u64) -> ObjectRef {
    ObjectRef {
        owner: ObjectOwner::Shared(GroupId(3)),
        group: GroupId(3),
        epoch: Epoch(7),
        number,
    }
}

pub fn partition(index: u32) -> PartitionId {
    PartitionId {
        topic: TopicId::from_bytes([9; 16]),
        index: PartitionIndex(index),
    }
}

/// Batches of ten offsets each, with bytes that tell them apart; every batch is a second later than the one before.
/// Their records are noise: only their CRC is looked at here.
pub fn batches(seed: u8, first: i64, count: usize, bytes: usize) -> Vec<Batch> {
    (0..count)
        .map(|number| {
            let base = first + 10 * number as i64;
            let mut fill: Vec<u8> = (0..bytes).map(|at| seed ^ (number as u8) ^ (at as u8)).collect();
            fill[..8].copy_from_slice(&base.to_be_bytes());
            fill[8..12].copy_from_slice(&(bytes as u32 - 12).to_be_bytes());
            fill[16] = 2;
            let crc = crc_fast::crc32_iscsi(&fill[21..]);
            fill[17..21].copy_from_slice(&crc.to_be_bytes());
            Batch {
                bytes: Bytes::from(fill),
                base_offset: Offset(base),
                end_offset: Offset(base + 10),
                timestamp_max: TimestampMs(1_000 * number as i64),
            }
        })
        .collect()
}

pub fn flush(number: u64, runs: &[(u32, Vec<Batch>)]) -> Flush {
    let mut builder = FlushBuilder::new(object(number), settings().block_bytes);
    for (index, batches) in runs {
        builder.begin(partition(*index));
        batches.iter().cloned().for_each(|batch| builder.push(batch));
    }
    builder.finish()
}

pub fn joined(batches: &[Batch]) -> Vec<u8> {
    batches.iter().flat_map(|batch| batch.bytes.to_vec()).collect()
}

/// The whole run, read piece by piece.
pub async fn read_all(tier: &Tier, segment: &SegmentRef, bytes_max: usize) -> Vec<u8> {
    let (mut from, mut bytes) = (segment.base_offset, Vec::new());
    while from < segment.end_offset {
        let read = tier.read(segment, from, bytes_max).await.unwrap();
        assert!(read.base_offset <= from && read.end_offset > from, "{read:?}");
        assert!(read.blocks.len() == 1 || read.bytes() <= bytes_max);
        read.blocks
            .iter()
            .for_each(|block| bytes.extend_from_slice(block));
        from = read.end_offset;
    }
    bytes
}
