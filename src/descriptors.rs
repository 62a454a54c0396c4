//! File descriptors: as many as the system lets us have, and how many connections that is for each door.

use millstream_model::limits::{CONNECTIONS_MAX, DESCRIPTORS_OF_FILES};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::sync::OnceLock;

/// Connections of a door however few descriptors there are.
const CONNECTIONS_MIN: usize = 64;

/// How many connections each of the two doors has: who runs out of descriptors can accept nobody, and open no file.
pub fn connections_max() -> usize {
    static FOUND: OnceLock<usize> = OnceLock::new();
    *FOUND.get_or_init(raise)
}

/// Raises the limit as far as the process may, and says how many connections of a door that is for.
fn raise() -> usize {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit of open files stays as it is");
        }
    }
    let most = connections_of(getrlimit(Resource::Nofile).current);
    if most < CONNECTIONS_MAX {
        tracing::warn!(
            connections = most,
            wanted = CONNECTIONS_MAX,
            "the limit of open files (ulimit -n) leaves fewer connections to each door"
        );
    }
    most
}

fn connections_of(descriptors: Option<u64>) -> usize {
    let Some(descriptors) = descriptors else {
        return CONNECTIONS_MAX;
    };
    let each = descriptors.saturating_sub(DESCRIPTORS_OF_FILES) / 2;
    usize::try_from(each)
        .unwrap_or(usize::MAX)
        .clamp(CONNECTIONS_MIN, CONNECTIONS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_doors_and_the_files_fit_in_the_limit() {
        assert_eq!(connections_of(None), CONNECTIONS_MAX);
        assert_eq!(connections_of(Some(1 << 20)), CONNECTIONS_MAX);
        assert_eq!(connections_of(Some(DESCRIPTORS_OF_FILES + 2000)), 1000);
        // As docs/limits.md says.
        let enough = DESCRIPTORS_OF_FILES + 2 * CONNECTIONS_MAX as u64;
        assert_eq!(connections_of(Some(enough)), CONNECTIONS_MAX);
        assert!(connections_of(Some(enough - 2)) < CONNECTIONS_MAX);
        assert_eq!(connections_of(Some(1024)), CONNECTIONS_MIN);
        assert_eq!(connections_of(Some(0)), CONNECTIONS_MIN);
    }
}
