//! Seeded mutation of valid frames and batches: nothing may panic, hang or take unbounded memory.
//!
//! CI runs it for about a second from a fixed seed. To run it longer, or to replay a seed that failed:
//!
//! ```text
//! MILLSTREAM_FUZZ_SECONDS=600 MILLSTREAM_FUZZ_SEED=7 cargo test -p millstream-kafka-wire fuzz -- --nocapture
//! ```

#![expect(
    clippy::disallowed_methods,
    reason = "it goes on for as long as the caller likes"
)]

use super::arbitrary::{Arbitrary, Gen, Visit, visit_all};
use super::batch::random_batch;
use crate::batch::{BatchView, batches};
use crate::frame::RequestFrame;
use crate::message::Message;
use bytes::Bytes;
use std::time::{Duration, Instant};

/// More than every limit of one message or batch together, and much less than what a believed length asks for.
const RESIDENT_KIB_MAX: u64 = 1024 * 1024;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Calls `round` with rising seeds until the time is up; says which seed it was when one panics.
fn rounds(mut round: impl FnMut(u64)) {
    let end = Instant::now() + Duration::from_secs(setting("MILLSTREAM_FUZZ_SECONDS", 1));
    let mut seed = setting("MILLSTREAM_FUZZ_SEED", 1);
    loop {
        let told = TellSeed(seed);
        round(seed);
        drop(told);
        seed += 1;
        if Instant::now() >= end {
            break;
        }
    }
    let resident = resident_kib_peak();
    assert!(resident < RESIDENT_KIB_MAX, "{resident} KiB resident at the peak");
}

struct TellSeed(u64);

impl Drop for TellSeed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with MILLSTREAM_FUZZ_SEED={}", self.0);
        }
    }
}

/// The most memory this process ever held; 0 where the system does not say.
fn resident_kib_peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Breaks some bytes: flips, cuts, repeats, and numbers that are often lengths.
pub fn mutate(g: &mut Gen, bytes: &mut Vec<u8>) {
    for _ in 0..1 + g.below(3) {
        if bytes.is_empty() {
            bytes.push(g.next() as u8);
            continue;
        }
        let place = g.below(bytes.len());
        match g.below(7) {
            0 => bytes[place] ^= 1 << g.below(8),
            1 => bytes[place] = g.next() as u8,
            2 => bytes.truncate(place),
            3 => {
                let number = g.int32().to_be_bytes();
                let end = bytes.len().min(place + 4);
                bytes[place..end].copy_from_slice(&number[..end - place]);
            }
            4 => {
                let end = bytes.len().min(place + 5);
                bytes[place..end].fill([0xff, 0x7f, 0x80, 0][g.below(4)]);
            }
            5 => bytes.insert(place, g.next() as u8),
            _ => {
                let end = bytes.len().min(place + g.below(16));
                let copy = bytes[place..end].to_vec();
                let at = g.below(bytes.len());
                bytes.splice(at..at, copy);
            }
        }
    }
}

struct Mutated {
    seed: u64,
}

impl Visit for Mutated {
    fn message<M: Message + Arbitrary>(&mut self) {
        let mut g = Gen::new(self.seed);
        self.seed = g.next();
        let span = (M::VERSIONS.end() - M::VERSIONS.start() + 1) as usize;
        let version = M::VERSIONS.start() + g.below(span) as i16;
        let mut bytes = M::arbitrary(&mut g, version).to_bytes(version).unwrap().to_vec();
        mutate(&mut g, &mut bytes);
        let Ok(read) = M::from_bytes(bytes.into(), version) else {
            return;
        };
        // What was accepted can be said again and means the same.
        let again = read.to_bytes(version).unwrap();
        let back = M::from_bytes(again.clone(), version).unwrap();
        assert_eq!(back.to_bytes(version).unwrap(), again, "{} v{version}", M::NAME);
    }
}

#[test]
fn fuzz_messages() {
    rounds(|seed| visit_all(&mut Mutated { seed }));
}

#[test]
fn fuzz_frames() {
    rounds(|seed| {
        let mut g = Gen::new(seed);
        let header = crate::messages::RequestHeader::arbitrary(&mut g, 2);
        let mut bytes = header.to_bytes(2).unwrap().to_vec();
        bytes[0] = 0;
        bytes[1] = g.below(93) as u8;
        bytes[2] = 0;
        bytes[3] = g.below(20) as u8;
        mutate(&mut g, &mut bytes);
        if let Ok(frame) = RequestFrame::read(bytes.into()) {
            let _ = frame.message::<crate::messages::FetchRequest>();
        }
    });
}

fn read_everything(bytes: Bytes) {
    for batch in batches(bytes) {
        let Ok(batch) = batch else {
            return;
        };
        let _ = batch.check();
        let _ = batch.check_produced();
        let Ok(records) = batch.records() else {
            continue;
        };
        for record in records.shared() {
            let Ok(record) = record else {
                break;
            };
            assert!(record.headers().count() <= records.bytes().len());
        }
    }
}

/// Puts the right CRC into the header, so that what lies behind the CRC is reached.
fn mend_crc(bytes: &mut [u8]) {
    if bytes.len() >= crate::batch::HEADER_BYTES {
        let crc = crate::batch::crc_of(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
}

#[test]
fn fuzz_batches() {
    rounds(|seed| {
        let mut g = Gen::new(seed);
        let mut bytes = random_batch(&mut g).to_vec();
        mutate(&mut g, &mut bytes);
        if g.one_in(2) {
            mend_crc(&mut bytes);
        }
        let bytes = Bytes::from(bytes);
        read_everything(bytes.clone());
        if let Ok(batch) = BatchView::read(bytes) {
            let stamped = batch.stamp(millstream_model::Offset(7), millstream_model::LeaderEpoch(3));
            assert_eq!(stamped.header().base_offset.0, 7);
        }
    });
}
