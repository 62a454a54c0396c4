//! The writer's thread over real and simulated disks: group commit, order, refusal, recovery.

#![expect(
    clippy::disallowed_methods,
    reason = "the writer is a shell, and is tested as one"
)]
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use millstream_journal::sim::SimDisk;
use millstream_journal::{
    Append, CommitError, Ending, Framed, Journal, PrepareError, Prepared, ReadError, RealDisk, Record,
    Settings, SlowDisk, SubmitError, Writer, WriterSettings,
};
use millstream_model::entry::{Entry, EntryHeader, EntryKind};
use millstream_model::{Epoch, GroupId, KeyId, Lsn, PartitionId, Registration, TenantId, TimestampMs};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

fn entry(group: u32, lsn: u64, payload: Bytes) -> Record {
    Record::Entry(Entry {
        header: EntryHeader {
            kind: EntryKind::Append,
            group: GroupId(group),
            epoch: Epoch(1),
            previous_epoch: Epoch(u32::from(lsn > 1)),
            lsn: Lsn(lsn),
            time: TimestampMs(0),
            partition: PartitionId::NONE,
            tenant: TenantId(1),
            key: KeyId::NONE,
        },
        payload,
    })
}

fn append(records: Vec<Record>) -> Append {
    Append {
        tenant: TenantId(1),
        records: records.into_iter().map(Framed::new).collect(),
    }
}

fn small() -> Settings {
    let file_bytes = 1024 * 1024;
    Settings {
        size_bytes: 4 * u64::from(file_bytes),
        file_bytes,
        commit_bytes_max: file_bytes as usize / 2,
        ..Settings::default()
    }
}

#[tokio::test]
async fn what_is_acknowledged_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(RealDisk::open(folder.path()).unwrap());
    let (journal, recovered) = Journal::open(disk, small(), |_, _| {}).unwrap();
    assert_eq!(recovered.ending, Ending::New);
    let id = journal.id();
    let reader = journal.reader();
    let (writer, running) = Writer::start(journal, WriterSettings::default()).unwrap();
    writer.register(Registration(7)).await.unwrap();
    for lsn in 1..=20 {
        let payload = Bytes::from(vec![lsn as u8; 10_000 * lsn as usize]);
        let committed = writer
            .append(append(vec![entry(1, lsn, payload.clone())]))
            .await
            .unwrap();
        assert_eq!(reader.read(committed.positions[0]).unwrap().payload, payload);
    }
    let error = writer
        .append(append(vec![entry(1, 22, Bytes::new())]))
        .await
        .unwrap_err();
    let expected = CommitError::OutOfOrder {
        group: GroupId(1),
        expected: Lsn(21),
        found: Lsn(22),
    };
    assert_eq!(error, SubmitError::Commit(expected));
    drop(reader);
    running.close().unwrap();
    let closed = writer.append(append(vec![entry(1, 21, Bytes::new())])).await;
    assert_eq!(closed, Err(SubmitError::Closed));

    let disk = Arc::new(RealDisk::open(folder.path()).unwrap());
    let mut lsns = Vec::new();
    let (journal, recovered) = Journal::open(disk, small(), |_, record| {
        if let Record::Entry(entry) = record {
            lsns.push(entry.header.lsn.0);
        }
    })
    .unwrap();
    assert_eq!((recovered.id, recovered.ending), (id, Ending::Clean));
    assert_eq!(recovered.registration, Some(Registration(7)));
    assert_eq!(lsns, Vec::from_iter(1..=20));
    let reader = journal.reader();
    assert_eq!(reader.entry(GroupId(1), Lsn(20)).unwrap().payload.len(), 200_000);
    assert_eq!(reader.entries(GroupId(1), Lsn(1), 60_500).unwrap().len(), 3);
    assert!(matches!(
        reader.entry(GroupId(1), Lsn(21)),
        Err(ReadError::Absent)
    ));
}

/// 64 producers, each with one request under way, and an fdatasync of 4 ms: 40 of them per 1,000 requests at most.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_gather_what_waits() {
    const PRODUCERS: u32 = 64;
    const REQUESTS: u64 = 1000;
    let disk = SlowDisk::new(SimDisk::new(u64::MAX), Duration::from_millis(4));
    let syncs = disk.syncs();
    let settings = Settings {
        prepared_files: 0,
        ..small()
    };
    let (journal, _) = Journal::open(Arc::new(disk), settings, |_, _| {}).unwrap();
    let (writer, running) = Writer::start(journal, WriterSettings::default()).unwrap();
    let before = syncs.load(Ordering::Relaxed);
    let producers = (0..PRODUCERS).map(|group| {
        let writer = writer.clone();
        tokio::spawn(async move {
            for lsn in 1..=REQUESTS / u64::from(PRODUCERS) {
                let payload = Bytes::from_static(&[7; 1024]);
                writer
                    .append(append(vec![entry(group, lsn, payload)]))
                    .await
                    .unwrap();
            }
        })
    });
    for producer in Vec::from_iter(producers) {
        producer.await.unwrap();
    }
    let syncs = syncs.load(Ordering::Relaxed) - before;
    println!("{syncs} fdatasyncs for {REQUESTS} requests");
    assert!(syncs <= 40, "{syncs}");
    running.close().unwrap();
}

#[tokio::test]
async fn a_full_journal_refuses_tenants_and_goes_on_after_a_release() {
    let (journal, _) = Journal::open(Arc::new(SimDisk::new(u64::MAX)), small(), |_, _| {}).unwrap();
    let reader = journal.reader();
    let (writer, running) = Writer::start(journal, WriterSettings::default()).unwrap();
    let payload = Bytes::from(vec![1; 200_000]);
    let mut lsn = 0;
    let refused = loop {
        match writer
            .append(append(vec![entry(1, lsn + 1, payload.clone())]))
            .await
        {
            Ok(_) => lsn += 1,
            Err(error) => break error,
        }
        assert!(lsn < 100);
    };
    assert_eq!(refused, SubmitError::Commit(CommitError::Full));
    assert_eq!(reader.space().oldest, Some(GroupId(1)));
    let internal = Append {
        tenant: TenantId::SYSTEM,
        records: vec![entry(9, 1, Bytes::new()).into()],
    };
    writer.append(internal).await.unwrap();
    writer.release(GroupId(1), Lsn(lsn)).await.unwrap();
    assert!(reader.space().used < reader.space().capacity / 2);
    writer
        .append(append(vec![entry(1, lsn + 1, payload)]))
        .await
        .unwrap();
    assert!(matches!(
        reader.entry(GroupId(1), Lsn(lsn)),
        Err(ReadError::Absent)
    ));
    running.close().unwrap();
}

/// What a disk without room holds is served again after a crash, and taken up where it stopped once something is released.
#[tokio::test]
async fn a_journal_on_a_full_disk_can_be_opened() {
    // Three files, whatever the settings allow, and the superblock.
    let disk = SimDisk::new(3 * 1024 * 1024 + 8192);
    let settings = Settings {
        size_bytes: 64 * 1024 * 1024,
        ..small()
    };
    let (journal, _) = Journal::open(Arc::new(disk.clone()), settings.clone(), |_, _| {}).unwrap();
    let (writer, running) = Writer::start(journal, WriterSettings::default()).unwrap();
    let payload = Bytes::from(vec![1; 100_000]);
    // Until it stays full: a file that is being made when one is asked for comes a moment later.
    let fill = async |writer: &Writer, mut lsn: u64| {
        let mut refused = 0;
        loop {
            let next = append(vec![entry(1, lsn + 1, payload.clone())]);
            match writer.append(next).await {
                Ok(_) => (lsn, refused) = (lsn + 1, 0),
                Err(error) if refused == 30 => break (lsn, error),
                Err(_) => {
                    refused += 1;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
        }
    };
    let (lsn, refused) = fill(&writer, 0).await;
    assert_eq!(refused, SubmitError::Commit(CommitError::Full));
    assert!(lsn > 10, "two files take entries, the third is kept: {lsn}");
    let disk = disk.kill();
    drop(running);

    let (journal, recovered) = Journal::open(Arc::new(disk), settings, |_, _| {}).unwrap();
    assert!(!matches!(recovered.ending, Ending::Damaged(_)), "{recovered:?}");
    let reader = journal.reader();
    let (writer, running) = Writer::start(journal, WriterSettings::default()).unwrap();
    writer.register(Registration(2)).await.unwrap();
    assert!(reader.entry(GroupId(1), Lsn(1)).is_ok() && reader.entry(GroupId(1), Lsn(lsn)).is_ok());
    // The next start's file comes first.
    let (same, refused) = fill(&writer, lsn).await;
    assert_eq!((same, refused), (lsn, SubmitError::Commit(CommitError::Full)));
    writer.release(GroupId(1), Lsn(lsn)).await.unwrap();
    let (more, _) = fill(&writer, lsn).await;
    assert!(more > lsn);
    running.close().unwrap();
}

/// With files enough, nobody wants another one, and so nobody would see that the disk has room for all that the settings
/// allow.
#[test]
fn a_disk_with_room_again_is_noticed_though_files_are_free() {
    let disk = SimDisk::new(4 * 1024 * 1024 + 8192);
    let settings = Settings {
        size_bytes: 64 * 1024 * 1024,
        prepared_files: 1,
        ..small()
    };
    let (mut journal, _) = Journal::open(Arc::new(disk.clone()), settings, |_, _| {}).unwrap();
    let payload = Bytes::from(vec![1; 100_000]);
    let full = (1..).find(|lsn| {
        let record = Framed::new(entry(1, *lsn, payload.clone()));
        journal.commit(&[record]).is_err()
    });
    let last = Lsn(full.unwrap() - 1);
    let mut preparer = journal.preparer();
    assert!(matches!(preparer.step(), Err(PrepareError::Full)));
    journal.release(GroupId(1), last).unwrap();
    let small = journal.space();
    assert!(small.disk_full && small.capacity < 4 * 1024 * 1024, "{small:?}");
    disk.resize(u64::MAX);
    while preparer.step().unwrap() == Prepared::More {}
    let whole = journal.space();
    assert!(
        !whole.disk_full && whole.capacity == 64 * 1024 * 1024,
        "{whole:?}"
    );
}

/// Who is refused triggers the next try: nobody waits until the disk is looked at by the clock, and the level at which
/// writes are refused is not the one of the last commit.
#[tokio::test]
async fn who_waits_for_room_is_not_left_to_the_clock() {
    let disk = SimDisk::new(3 * 1024 * 1024 + 8192);
    let settings = Settings {
        size_bytes: 64 * 1024 * 1024,
        ..small()
    };
    let (journal, _) = Journal::open(Arc::new(disk.clone()), settings, |_, _| {}).unwrap();
    let never = Duration::from_secs(24 * 3600);
    let settings = WriterSettings {
        prepare_again_after: never,
        prepare_asked_after: Duration::from_millis(1),
        idle_after: never,
        ..WriterSettings::default()
    };
    let (writer, running) = Writer::start(journal, settings).unwrap();
    let payload = Bytes::from(vec![1; 100_000]);
    let mut lsn = 0;
    let next = |lsn: u64| append(vec![entry(1, lsn + 1, payload.clone())]);
    while writer.append(next(lsn)).await.is_ok() {
        lsn += 1;
    }
    disk.resize(u64::MAX);
    for _ in 0..10_000 {
        match writer.append(next(lsn)).await {
            Ok(_) => return running.close().unwrap(),
            Err(refused) => assert_eq!(refused, SubmitError::Commit(CommitError::Full)),
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("the disk has room, and writes go on to be refused");
}

#[tokio::test]
async fn a_failed_fsync_ends_it() {
    let disk = SimDisk::new(u64::MAX);
    let settings = Settings {
        prepared_files: 0,
        ..small()
    };
    let (journal, _) = Journal::open(Arc::new(disk.clone()), settings, |_, _| {}).unwrap();
    let (writer, running) = Writer::start(journal, WriterSettings::default()).unwrap();
    writer
        .append(append(vec![entry(1, 1, Bytes::new())]))
        .await
        .unwrap();
    disk.fail_sync(1);
    for lsn in [2, 2, 3] {
        let error = writer
            .append(append(vec![entry(1, lsn, Bytes::new())]))
            .await
            .unwrap_err();
        assert!(
            matches!(error, SubmitError::Commit(CommitError::Damaged(_))),
            "{error}"
        );
    }
    assert!(writer.damage().is_some());
    assert!(running.close().is_err());
}
