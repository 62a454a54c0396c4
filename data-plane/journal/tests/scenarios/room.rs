//! Full journals and full disks.

use crate::{FILE_BYTES, GROUP, commit, entry, lsns, open, settings};
use millstream_journal::sim::SimDisk;
use millstream_journal::{CommitError, Disk, Ending, Journal, Level, PrepareError, Prepared, Settings};
use millstream_model::Lsn;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Commits until the journal is full; returns the last LSN.
fn fill<D: Disk>(journal: &mut Journal<D>, first: u64) -> u64 {
    let full = (first..).find(|lsn| match journal.commit(&[entry(*lsn, 5000)]) {
        Ok(_) => false,
        Err(CommitError::Full) => true,
        Err(error) => panic!("{error}"),
    });
    full.unwrap() - 1
}

/// log.md 4 holds in a full journal as well, and it can still be released afterwards.
#[test]
fn a_full_journal_has_room_for_its_empty_commits() {
    let disk = SimDisk::new(u64::MAX);
    let (mut journal, _) = open(&disk).unwrap();
    let last = fill(&mut journal, 1);
    assert!(journal.idle().unwrap());
    assert!(!journal.idle().unwrap());
    let used = journal.space().used;
    journal.release(GROUP, Lsn(last)).unwrap();
    assert!(journal.space().used < used);
    let last = fill(&mut journal, last + 1);
    journal.close().unwrap();
    let (journal, recovered) = open(&disk.kill()).unwrap();
    assert_eq!(recovered.ending, Ending::Clean);
    assert_eq!(lsns(&journal).last(), Some(&last));
}

/// log.md 6: a write must not find the disk full, so no write makes a file longer.
#[test]
fn files_of_a_smaller_journal_are_used_up_and_not_made_longer() {
    let disk = SimDisk::new(u64::MAX);
    let (mut journal, _) = open(&disk).unwrap();
    commit(&mut journal, 1..=20);
    drop(journal);
    let disk = disk.kill();
    let larger = Settings {
        size_bytes: 12 * u64::from(FILE_BYTES),
        file_bytes: 2 * FILE_BYTES,
        commit_bytes_max: FILE_BYTES as usize,
        ..settings()
    };
    let (mut journal, _) = Journal::open(Arc::new(disk.clone()), larger, |_, _| {}).unwrap();
    let mut last = 20;
    for _ in 0..4 {
        last = fill(&mut journal, last + 1);
        journal.release(GROUP, Lsn(last)).unwrap();
    }
    // Commits that no smaller file takes find the others.
    for _ in 0..20 {
        last += 1;
        journal.commit(&[entry(last, 60_000)]).unwrap();
        journal.release(GROUP, Lsn(last)).unwrap();
    }
    let files = disk
        .files()
        .into_iter()
        .filter(|(name, _)| name.starts_with("file-"));
    let lengths: BTreeSet<u64> = files.map(|(_, length)| length).collect();
    let known = BTreeSet::from([u64::from(FILE_BYTES), 2 * u64::from(FILE_BYTES)]);
    assert!(lengths.is_subset(&known), "{lengths:?}");
}

/// A file whose preparation failed at its very end takes no space, or trying again would fill the disk.
#[test]
fn preparing_that_fails_leaves_nothing_behind() {
    let disk = SimDisk::new(u64::MAX);
    let (journal, _) = open(&disk).unwrap();
    let files = disk.files().len();
    let mut preparer = journal.preparer();
    for _ in 0..3 {
        disk.fail_sync_dir(1);
        let error = loop {
            match preparer.step() {
                Ok(Prepared::More) => {}
                Ok(Prepared::Enough) => panic!("it did not fail"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, PrepareError::Io(_)), "{error}");
        assert_eq!(disk.files().len(), files);
    }
    while preparer.step().unwrap() == Prepared::More {}
    assert_eq!(disk.files().len(), files + 1);
}

/// What a full disk holds is served after any crash, also when the process dies again before anything could be released.
#[test]
fn a_process_that_dies_again_and_again_on_a_full_disk_finds_a_file() {
    let file_bytes = 16 * FILE_BYTES;
    let disk = SimDisk::new(4 * u64::from(file_bytes) + 8192);
    let settings = Settings {
        size_bytes: 64 * u64::from(file_bytes),
        file_bytes,
        ..settings()
    };
    let open = |disk: &SimDisk| Journal::open(Arc::new(disk.clone()), settings.clone(), |_, _| {}).unwrap();
    let mut last = fill(&mut open(&disk).0, 1);
    let mut disk = disk.kill();
    for start in 1..=4 {
        let (mut journal, recovered) = open(&disk);
        assert_eq!(recovered.ending, Ending::Torn, "start {start}");
        assert_eq!(lsns(&journal).last(), Some(&last));
        assert_eq!(journal.space().level, Level::Refuse, "start {start}");
        commit(&mut journal, last + 1..=last + 2);
        last += 2;
        drop(journal);
        disk = disk.kill();
    }
    let (mut journal, _) = open(&disk);
    journal.release(GROUP, Lsn(last)).unwrap();
    assert_eq!(journal.space().level, Level::Normal);
    let more = fill(&mut journal, last + 1);
    assert!(more > last + 100, "{more}");
    journal.release(GROUP, Lsn(more)).unwrap();
    drop(journal);
    // With room again, the halves make place for whole files.
    let disk = disk.kill();
    let (journal, _) = open(&disk);
    let mut preparer = journal.preparer();
    while let Ok(Prepared::More) = preparer.step() {}
    drop(journal);
    let (journal, _) = open(&disk.kill());
    let mut preparer = journal.preparer();
    while let Ok(Prepared::More) = preparer.step() {}
    let files = disk.files();
    let short = files
        .iter()
        .filter(|(name, length)| name.starts_with("file-") && *length < u64::from(file_bytes));
    assert_eq!(short.count(), 0, "{files:?}");
}

/// What was released is free for the next start, though no file was opened since that says so.
#[test]
fn a_full_disk_with_everything_released_can_be_opened_any_number_of_times() {
    let disk = SimDisk::new(4 * u64::from(FILE_BYTES) + 8192);
    let (mut journal, _) = open(&disk).unwrap();
    let last = fill(&mut journal, 1);
    journal.release(GROUP, Lsn(last)).unwrap();
    drop(journal);
    let mut disk = disk.kill();
    for start in 1..10 {
        let (journal, recovered) = open(&disk).unwrap_or_else(|error| panic!("start {start}: {error}"));
        assert_eq!(recovered.ending, Ending::Torn);
        assert_eq!(journal.reader().end(GROUP).unwrap().1, Lsn(last));
        drop(journal);
        disk = disk.kill();
    }
}
