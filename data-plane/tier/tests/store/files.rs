//! Objects of a local folder are opened once, read from their files, and believed no more than others.

use crate::faulty::{Fault, Faulty};
use crate::world::{batches, flush, joined, read_all, settings, tier};
use millstream_model::Offset;
use millstream_model::segment::SegmentRef;
use millstream_tier::{Before, Tier, TierError, open_store};
use object_store::ObjectStore;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// A folder with one object of eight batches of 300 bytes, in two blocks.
async fn folder() -> (tempfile::TempDir, Arc<Faulty>, Tier, SegmentRef, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let local = open_store(&format!("file://{}", folder.path().display()), Before::Unknown).unwrap();
    let wanted = batches(1, 0, 8, 300);
    let flushed = flush(1, &[(0, wanted.clone())]);
    tier(&local.store, &local.prefix).put(&flushed).await.unwrap();
    let counted = Faulty::new(local.store, Fault::Error, 0);
    let reader = Tier::new(
        Arc::clone(&counted) as Arc<dyn ObjectStore>,
        local.prefix,
        settings(),
    );
    (folder, counted, reader, flushed.segments[0].1, joined(&wanted))
}

/// The only file below a folder.
fn only_file(folder: &Path) -> PathBuf {
    let mut path = folder.to_owned();
    while path.is_dir() {
        path = std::fs::read_dir(&path).unwrap().next().unwrap().unwrap().path();
    }
    path
}

#[tokio::test]
async fn a_file_is_opened_once_for_many_reads() {
    let (_folder, store, reader, segment, wanted) = folder().await;
    for _ in 0..3 {
        assert_eq!(read_all(&reader, &segment, 1).await, wanted);
        assert_eq!(
            store.calls.load(Ordering::Relaxed),
            2,
            "one for the footer, one that opens"
        );
    }
}

#[tokio::test]
async fn what_the_system_has_not_in_memory_is_read_from_the_disk() {
    let (folder, _, reader, segment, wanted) = folder().await;
    let path = only_file(folder.path());
    for bytes_max in [1_200, 10_000, 1_200] {
        // Where a file system keeps everything in memory, this is the first test again.
        let file = std::fs::File::open(&path).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        assert_eq!(read_all(&reader, &segment, bytes_max).await, wanted);
    }
}

#[tokio::test]
async fn a_damaged_file_is_not_believed_and_a_good_one_in_its_place_is() {
    let (folder, _, reader, segment, wanted) = folder().await;
    assert_eq!(read_all(&reader, &segment, 10_000).await, wanted);
    let path = only_file(folder.path());
    let good = std::fs::read(&path).unwrap();
    for damage in [good[..500].to_vec(), {
        let mut bytes = good.clone();
        bytes[450] ^= 4;
        bytes
    }] {
        // Written over in place: the file that is open is the damaged one.
        std::fs::write(&path, &damage).unwrap();
        let error = reader.read(&segment, Offset(0), 10_000).await.unwrap_err();
        assert!(matches!(error, TierError::Corrupt { .. }), "{error}");
        let copy = path.with_extension("copy");
        std::fs::write(&copy, &good).unwrap();
        std::fs::rename(&copy, &path).unwrap();
        assert_eq!(read_all(&reader, &segment, 10_000).await, wanted);
    }
}

#[tokio::test]
async fn a_block_that_is_taken_in_part_is_remembered() {
    let (folder, _, reader, segment, wanted) = folder().await;
    for (from, bytes_max) in [(0, 1), (40, 10_000)] {
        reader.read(&segment, Offset(from), bytes_max).await.unwrap();
    }
    std::fs::write(only_file(folder.path()), b"nothing of it").unwrap();
    let first = reader.read(&segment, Offset(0), 1).await.unwrap();
    assert_eq!(first.blocks.concat(), wanted[..1_200]);
    let error = reader.read(&segment, Offset(40), 10_000).await.unwrap_err();
    assert!(matches!(error, TierError::Corrupt { .. }), "{error}");
}
