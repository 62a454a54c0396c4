//! In which order the disk is asked.

use crate::traced::TracedDisk;
use crate::{FILE_BYTES, GROUP, commit, entry, open, settings};
use millstream_journal::sim::SimDisk;
use millstream_journal::{Framed, Journal, Prepared, ReadError, Record, Settings};
use millstream_model::{Epoch, Lsn, Registration};
use std::sync::{Arc, Mutex};

/// log.md 1: written with zeros, whole, before it gets the name of a file that can be used; and not by the start.
#[test]
fn a_file_is_written_with_zeros_before_it_is_used_and_a_start_writes_none() {
    const LARGE: u32 = 10 * 1024 * 1024 + 4096;
    let disk = TracedDisk::new(SimDisk::new(u64::MAX));
    let large = Settings {
        size_bytes: 4 * u64::from(LARGE),
        file_bytes: LARGE,
        ..settings()
    };
    let (journal, _) = Journal::open(Arc::new(disk.clone()), large, |_, _| {}).unwrap();
    let bytes: u64 = disk
        .take()
        .iter()
        .filter_map(|line| written(line))
        .map(|(_, length)| length)
        .sum();
    assert!(bytes < 64 * 1024, "a start writes {bytes} bytes");

    let mut preparer = journal.preparer();
    while preparer.step().unwrap() == Prepared::More {}
    let lines = disk.take();
    let name = "preparing-00000002";
    assert_eq!(
        lines[..2],
        [format!("{name} create"), format!("{name} allocate {LARGE}")]
    );
    let mut end = 0;
    for (offset, length) in lines.iter().filter_map(|line| written(line)) {
        assert_eq!(offset, end, "the zeros have no hole");
        end += length;
    }
    assert_eq!(end, u64::from(LARGE));
    let last = format!("{name} becomes file-00000002");
    assert_eq!(
        lines[lines.len() - 3..],
        [format!("{name} sync"), last, "names sync".to_owned()]
    );
}

fn written(line: &str) -> Option<(u64, u64)> {
    let (_, place) = line.split_once(" write ")?;
    let (offset, length) = place.split_once(" +")?;
    Some((offset.parse().ok()?, length.parse().ok()?))
}

/// log.md 3: what a start believes is made durable, then its end stands in the next file's header, then that file counts.
#[test]
fn a_start_makes_the_end_durable_before_it_opens_the_next_file() {
    let disk = SimDisk::new(u64::MAX);
    let (mut journal, _) = open(&disk).unwrap();
    commit(&mut journal, 1..=2);
    drop(journal);
    let disk = TracedDisk::new(disk.kill());
    let (mut journal, _) = open(&disk).unwrap();
    let expected = [
        // The last block once more.
        "file-00000000 write 12288 +4096",
        "file-00000000 sync",
        "names sync",
        // A file for the next start.
        "file-00000002 create",
        "file-00000002 allocate 65536",
        "names sync",
        // The header, alone.
        "file-00000001 write 0 +512",
        "file-00000001 sync",
        // Its second copy with the first block.
        "file-00000001 write 2048 +512",
        "file-00000001 write 4096 +4096",
        "file-00000001 sync",
    ];
    assert_eq!(disk.take(), expected);
    // log.md 4: one write, one sync, and only then the next.
    commit(&mut journal, 3..=4);
    let expected = [
        "file-00000001 write 8192 +4096",
        "file-00000001 sync",
        "file-00000001 write 12288 +4096",
        "file-00000001 sync",
    ];
    assert_eq!(disk.take(), expected);
}

/// log.md 4: behind the last commit that must not be lost one empty commit comes, not more.
#[test]
fn an_idle_journal_writes_one_empty_commit() {
    let disk = TracedDisk::new(SimDisk::new(u64::MAX));
    let (mut journal, _) = open(&disk).unwrap();
    assert!(!journal.idle().unwrap(), "a new file says nothing new");
    let mark = Record::Mark {
        group: GROUP,
        epoch: Epoch(1),
        high_watermark: Lsn(1),
    };
    let cases = [
        (entry(1, 10), true),
        (Framed::new(mark), false),
        (entry(2, 10), true),
        (
            Framed::new(Record::Registered {
                registration: Registration(1),
            }),
            true,
        ),
        (Framed::new(Record::Removed { group: GROUP }), true),
    ];
    for (record, writes) in cases {
        let what = format!("{:?}", record.record());
        journal.commit(&[record]).unwrap();
        disk.take();
        assert_eq!(journal.idle().unwrap(), writes, "{what}");
        assert_eq!(disk.take().len(), if writes { 2 } else { 0 }, "{what}");
        assert!(!journal.idle().unwrap(), "{what}");
    }
}

/// A file that is recycled in the middle of a read may hold whole entries in the same places.
#[test]
fn a_read_gives_nothing_of_a_file_that_was_recycled_meanwhile() {
    let disk = TracedDisk::new(SimDisk::new(u64::MAX));
    let (mut journal, _) = open(&disk).unwrap();
    let bytes = FILE_BYTES as usize / 4;
    let mut places = Vec::new();
    for lsn in 1..=6 {
        places.push(journal.commit(&[entry(lsn, bytes)]).unwrap().positions[0]);
    }
    let reader = journal.reader();
    let place = places[4];
    assert_ne!(place.generation, places[0].generation);
    assert_eq!(reader.read(place).unwrap().header.lsn, Lsn(5));
    let journal = Arc::new(Mutex::new(journal));
    let theirs = journal.clone();
    disk.before_read(move || {
        let mut journal = theirs.lock().unwrap();
        for lsn in 7..=40 {
            journal.release(GROUP, Lsn(lsn - 1)).unwrap();
            journal.commit(&[entry(lsn, bytes)]).unwrap();
        }
    });
    let read = reader.read(place);
    assert!(
        matches!(read, Err(ReadError::Absent)),
        "{:?}",
        read.map(|entry| entry.header)
    );
}
