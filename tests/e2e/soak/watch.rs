//! What the process takes while the soak runs: memory, descriptors, files, and whether it says that it is ready.

use crate::harness::{Server, Work};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Bounds at any time, far above what is seen and far below what a leak comes to.
const RESIDENT_BYTES_MAX: u64 = 1536 << 20;
const DESCRIPTORS_MAX: usize = 2_000;
const FILES_MAX: usize = 4_000;

/// What growth is allowed between the first and the last quarter of a long run, beside a tenth.
const RESIDENT_BYTES_MORE: u64 = 96 << 20;
const DESCRIPTORS_MORE: usize = 64;
const FILES_MORE: usize = 400;

/// What keeps records in memory up to a bound of its own.
const CACHES: [&str; 2] = ["broker_tail_bytes", "broker_cache_bytes"];

#[derive(Clone, Copy, Debug)]
struct Sample {
    after: Duration,
    resident: u64,
    /// Of that, what caches of stated sizes hold: they fill for as long as records come.
    cached: u64,
    descriptors: usize,
    files: usize,
}

/// Samples of one process.
pub struct Watch {
    data: PathBuf,
    begun: Instant,
    samples: Vec<Sample>,
}

impl Watch {
    pub fn new(work: &Work, begun: Instant) -> Watch {
        Watch {
            data: work.data(),
            begun,
            samples: Vec::new(),
        }
    }

    /// Takes a sample; what is out of bounds, or a service that is not ready, fails at once.
    pub fn look(&mut self, server: &Server) {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", server.process()));
        let sample = Sample {
            after: self.begun.elapsed(),
            resident: server.resident(),
            cached: CACHES.iter().map(|name| server.metric(name) as u64).sum(),
            descriptors: descriptors.unwrap().count(),
            files: files(&self.data),
        };
        assert!(sample.resident < RESIDENT_BYTES_MAX, "{sample:?}");
        assert!(sample.descriptors < DESCRIPTORS_MAX, "{sample:?}");
        assert!(sample.files < FILES_MAX, "{sample:?}");
        let (status, text) = crate::harness::http::get(&server.doors.http, "/readyz").unwrap();
        assert_eq!(status, 200, "{text}");
        self.samples.push(sample);
    }

    /// Prints the first and the last sample; over a long run growth between its ends is a failure.
    pub fn judge(&self, long: bool) {
        let (Some(first), Some(last)) = (self.samples.first(), self.samples.last()) else {
            return;
        };
        println!("{first:?}\n{last:?}");
        if !long {
            return;
        }
        // The first half fills caches: from its end to the run's end.
        let early = self.samples.iter().find(|it| it.after >= last.after / 2);
        let early = early.unwrap_or(first);
        println!("{early:?}");
        let own = |sample: &Sample| sample.resident.saturating_sub(sample.cached);
        let most = own(early) + own(early) / 10 + RESIDENT_BYTES_MORE;
        assert!(own(last) <= most, "memory grows: {early:?}, {last:?}");
        let descriptors = early.descriptors + early.descriptors / 10 + DESCRIPTORS_MORE;
        assert!(
            last.descriptors <= descriptors,
            "descriptors grow: {early:?}, {last:?}"
        );
        // Objects of the tier come with the records that are kept: those grow as they should, slowly.
        let minutes = usize::try_from((last.after - early.after).as_secs() / 60).unwrap_or(0);
        let files = early.files + early.files / 10 + FILES_MORE + minutes * 40;
        assert!(last.files <= files, "files grow: {early:?}, {last:?}");
    }
}

fn files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path()),
            _ => 1,
        })
        .sum()
}
