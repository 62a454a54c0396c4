//! What the process takes while the soak runs: memory, descriptors, files, and whether it says that it is ready.

use super::judge::{Sample, bounds, growth};
use crate::harness::{Server, Work, http};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What keeps records in memory up to a bound of its own.
const CACHES: [&str; 2] = ["broker_tail_bytes", "broker_cache_bytes"];

/// Whose objects stay: those of the tier as long as their records do, the catalog's log for an hour.
const KEEPERS: [&str; 2] = ["tier", "catalog"];

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
            kept: kept(server),
        };
        assert_eq!(bounds(&sample), [""; 0]);
        let (status, text) = http::get(&server.doors.http, "/readyz").unwrap();
        assert_eq!(status, 200, "{text}");
        self.samples.push(sample);
    }

    /// Prints the first and the last sample; over a long run growth is a failure.
    pub fn judge(&self) {
        println!("{:?}\n{:?}", self.samples.first(), self.samples.last());
        assert_eq!(growth(&self.samples), [""; 0]);
    }
}

/// Objects that the tier and the catalog have written and not deleted.
fn kept(server: &Server) -> u64 {
    let text = http::get(&server.doors.admin, "/metrics").unwrap().1;
    let count = |operation: &str| {
        let of_keepers = KEEPERS.iter().map(|client| {
            let name = format!(
                "millstream_store_requests_total{{client=\"{client}\",operation=\"{operation}\",outcome=\"ok\"}} "
            );
            let found = text.lines().find_map(|line| line.strip_prefix(&name));
            found.map_or(0, |value| value.parse::<u64>().unwrap())
        });
        of_keepers.sum::<u64>()
    };
    (count("put") + count("complete")).saturating_sub(count("delete"))
}

fn files(folder: &Path) -> u64 {
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
