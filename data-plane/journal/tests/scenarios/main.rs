//! What can befall a journal, one concrete case each, on the simulated disk: what it then does, and in which order it asks
//! the disk for it.
#![allow(clippy::unwrap_used)]

mod damage;
#[path = "../mender/plan.rs"]
mod mender;
mod mending;
mod order;
mod room;
mod traced;

use bytes::Bytes;
use millstream_journal::sim::SimDisk;
use millstream_journal::{Disk, Framed, Journal, OpenError, Position, Record, Recovered, Settings};
use millstream_model::entry::{Entry, EntryHeader, EntryKind};
use millstream_model::{Epoch, GroupId, KeyId, Lsn, PartitionId, TenantId, TimestampMs};
use std::sync::Arc;

const FILE_BYTES: u32 = 64 * 1024;
const GROUP: GroupId = GroupId(1);

fn settings() -> Settings {
    Settings {
        size_bytes: 6 * u64::from(FILE_BYTES),
        file_bytes: FILE_BYTES,
        commit_bytes_max: FILE_BYTES as usize / 2,
        prepared_files: 1,
        seed: Some(1),
        ..Settings::default()
    }
}

fn open<D: Disk + Clone>(disk: &D) -> Result<(Journal<D>, Recovered), OpenError> {
    Journal::open(Arc::new(disk.clone()), settings(), |_, _| {})
}

fn entry(lsn: u64, bytes: usize) -> Framed {
    Framed::new(Record::Entry(Entry {
        header: EntryHeader {
            kind: EntryKind::Append,
            group: GROUP,
            epoch: Epoch(1),
            previous_epoch: Epoch(u32::from(lsn > 1)),
            lsn: Lsn(lsn),
            time: TimestampMs(0),
            partition: PartitionId::NONE,
            tenant: TenantId(1),
            key: KeyId::NONE,
        },
        payload: Bytes::from(vec![lsn as u8; bytes]),
    }))
}

/// Commits entries, one each; returns where they lie.
fn commit<D: Disk>(journal: &mut Journal<D>, lsns: std::ops::RangeInclusive<u64>) -> Vec<Position> {
    lsns.map(|lsn| journal.commit(&[entry(lsn, 1000)]).unwrap().positions[0])
        .collect()
}

/// The LSNs that the journal gives, from its first entry to its end.
fn lsns<D: Disk>(journal: &Journal<D>) -> Vec<u64> {
    let reader = journal.reader();
    let (start, end) = (reader.start(GROUP).unwrap().1, reader.end(GROUP).unwrap().1);
    (start.0 + 1..=end.0)
        .filter(|lsn| reader.entry(GROUP, Lsn(*lsn)).is_ok())
        .collect()
}

/// The generation in the first header copy of each journal file.
fn generations(disk: &SimDisk) -> Vec<(String, u64)> {
    let names = disk.files().into_iter().map(|(name, _)| name);
    names
        .filter(|name| name.starts_with("file-"))
        .map(|name| {
            let head = disk.contents(&name).unwrap();
            let generation = head
                .get(24..32)
                .map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
            (name, generation)
        })
        .collect()
}

fn file_of(disk: &SimDisk, generation: u64) -> String {
    let mut all = generations(disk).into_iter();
    all.find(|(_, found)| *found == generation).unwrap().0
}
