//! How fast the journal is beside the disk: D (1 MiB pwrite + fdatasync into an already written file) and the
//! journal's entries of 256 KiB and 1 MiB, in turns, with CPU seconds per GB. `cargo run --release --example probe
//! -p millstream-journal -- <folder> [rounds]`

#![expect(clippy::disallowed_methods, reason = "it measures")]

use bytes::Bytes;
use millstream_journal::{
    Append, Disk, DiskFile, Journal, RealDisk, Record, Settings, Writer, WriterSettings,
};
use millstream_model::entry::{Entry, EntryHeader, EntryKind};
use millstream_model::{Epoch, GroupId, KeyId, Lsn, PartitionId, TenantId, TimestampMs};
use std::error::Error;
use std::io::IoSlice;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

const MIB: usize = 1024 * 1024;
/// What one measurement writes.
const BYTES: usize = 256 * MIB;
/// Entries that wait at once.
const UNDER_WAY: u64 = 16;

/// Seconds of wall clock and of CPU for `BYTES`.
#[derive(Clone, Copy)]
struct Cost {
    wall: f64,
    cpu: f64,
}

impl Cost {
    fn of(work: impl FnOnce() -> Result<(), Box<dyn Error>>) -> Result<Cost, Box<dyn Error>> {
        let (start, cpu) = (Instant::now(), cpu()?);
        work()?;
        Ok(Cost {
            wall: start.elapsed().as_secs_f64(),
            cpu: self::cpu()? - cpu,
        })
    }

    fn mb_per_second(self) -> f64 {
        BYTES as f64 / 1e6 / self.wall
    }

    fn cpu_per_gb(self) -> f64 {
        self.cpu / (BYTES as f64 / 1e9)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("which folder?")?);
    let rounds = arguments.next().map_or(Ok(5), |rounds| rounds.parse())?;
    let disk = RealDisk::open(&folder.join("probe"))?;
    let _ = disk.remove("d");
    let file = disk.create("d")?;
    probe(&file)?;

    let settings = Settings {
        size_bytes: 1024 * MIB as u64,
        ..Settings::default()
    };
    let journal_disk = RealDisk::open(&folder.join("journal"))?;
    let (journal, _) = Journal::open(Arc::new(journal_disk), settings, |_, _| {})?;
    let mut lsn = journal.reader().end(GroupId(1)).map_or(0, |(_, lsn)| lsn.0);
    let mut preparer = journal.preparer();
    while preparer.step()? == millstream_journal::Prepared::More {}
    drop(preparer);
    let (writer, running) = Writer::start(journal, WriterSettings::default())?;
    // Once around, so that every file has been written.
    for _ in 0..5 {
        produce(&writer, &mut lsn, MIB)?;
        std::thread::sleep(Duration::from_millis(500));
    }

    println!("round  D MB/s   256 KiB: MB/s  x D   1 MiB: MB/s  x D   CPU s/GB: D  256 KiB  1 MiB");
    let mut ratios = [Vec::new(), Vec::new()];
    for round in 1..=rounds {
        let d = Cost::of(|| probe(&file))?;
        let small = Cost::of(|| produce(&writer, &mut lsn, 256 * 1024))?;
        let large = Cost::of(|| produce(&writer, &mut lsn, MIB))?;
        let ratio = |cost: Cost| d.wall / cost.wall;
        ratios[0].push(ratio(small));
        ratios[1].push(ratio(large));
        println!(
            "{round:5} {:7.0} {:15.0} {:4.2} {:13.0} {:4.2} {:14.2} {:8.2} {:6.2}",
            d.mb_per_second(),
            small.mb_per_second(),
            ratio(small),
            large.mb_per_second(),
            ratio(large),
            d.cpu_per_gb(),
            small.cpu_per_gb(),
            large.cpu_per_gb(),
        );
    }
    for (name, mut ratios) in ["256 KiB", "1 MiB"].into_iter().zip(ratios) {
        ratios.sort_by(f64::total_cmp);
        println!("median of {name} entries: {:.2} x D", ratios[ratios.len() / 2]);
    }
    drop(writer);
    running.close()?;
    disk.remove("d")?;
    Ok(())
}

/// 1 MiB pwrite + fdatasync, until `BYTES` are written.
fn probe(file: &impl DiskFile) -> Result<(), Box<dyn Error>> {
    let piece = vec![7u8; MIB];
    for at in 0..BYTES / MIB {
        file.write_at((at * MIB) as u64, &[IoSlice::new(&piece)])?;
        file.sync_data()?;
    }
    Ok(())
}

/// Entries of one size until `BYTES` are durable; releases what was written before.
fn produce(writer: &Writer, lsn: &mut u64, size: usize) -> Result<(), Box<dyn Error>> {
    let payload = Bytes::from(vec![7u8; size]);
    let (sender, receiver) = mpsc::channel();
    let before = *lsn;
    let mut under_way = 0;
    let mut left = BYTES / size;
    while left > 0 || under_way > 0 {
        while left > 0 && under_way < UNDER_WAY {
            *lsn += 1;
            let sender = sender.clone();
            let append = Append {
                tenant: TenantId(1),
                records: vec![entry(*lsn, payload.clone()).into()],
            };
            writer.submit(append, move |result| drop(sender.send(result)))?;
            left -= 1;
            under_way += 1;
        }
        receiver.recv()??;
        under_way -= 1;
    }
    release(writer, Lsn(before))
}

/// Releases up to an LSN.
fn release(writer: &Writer, up_to: Lsn) -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    Ok(runtime.block_on(writer.release(GroupId(1), up_to))?)
}

fn entry(lsn: u64, payload: Bytes) -> Record {
    Record::Entry(Entry {
        header: EntryHeader {
            kind: EntryKind::Append,
            group: GroupId(1),
            epoch: Epoch(1),
            previous_epoch: Epoch(1),
            lsn: Lsn(lsn),
            time: TimestampMs(0),
            partition: PartitionId::NONE,
            tenant: TenantId(1),
            key: KeyId::NONE,
        },
        payload,
    })
}

/// CPU seconds of this process so far, user and system (Linux counts hundredths).
fn cpu() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|text| text.parse::<u64>().ok())
        .sum();
    Ok(ticks as f64 / 100.0)
}
