//! The pure crates: each has `pure.clippy.toml` as its `clippy.toml`, which bans clocks, random numbers and spawns. And what
//! is as pure in crates of which more is shell.

use super::circles::code;
use super::{none, packages, root, sources, text};

/// Machines, ledgers and planners, and the values that they are made of. What is a shell inside of one expects the lint,
/// with its reason. (`broker`, `door` and `runtime` have pure modules too: [`PURE_FILES`].)
const PURE: &[&str] = &[
    "proto/access",
    "proto/kafka-wire",
    "proto/metadata",
    "proto/model",
    "data-plane/coordinator",
    "data-plane/journal",
    "data-plane/partition",
    "data-plane/replication",
    "data-plane/tier",
    "control-plane/catalog",
    "sql-engine/columns",
    "sql-engine/functions",
    "sql-engine/operators",
    "sql-engine/parser",
    "sql-engine/planner",
    "sql-engine/state",
];

/// What ARCHITECTURE calls plain functions, or without I/O, in the other crates: files, and folders of them.
const PURE_FILES: &[&str] = &[
    "data-plane/broker/src/mend.rs",
    "data-plane/broker/src/mend/",
    "data-plane/broker/src/replica.rs",
    "data-plane/broker/src/replica/",
    "data-plane/door/src/quotas/meters.rs",
    "data-plane/door/src/room.rs",
    "data-plane/door/src/room/",
    "sql-engine/runtime/src/shard_core.rs",
    "sql-engine/runtime/src/shard_core/",
];

/// What they do not name.
const IMPURE: &[&str] = &[
    "tokio",
    "async ",
    ".await",
    "std::fs",
    "TcpStream",
    "TcpListener",
    "std::thread",
    "Instant::now",
    "SystemTime",
    "TimestampMs::now",
    "rand::",
    "spawn(",
];

#[test]
fn pure_files_name_no_clock_no_chance_no_task_and_no_device() {
    let all = sources();
    let mut problems = Vec::new();
    for place in PURE_FILES {
        let files: Vec<&String> = all.iter().filter(|file| file.starts_with(place)).collect();
        assert!(!files.is_empty(), "{place} is not there");
        for file in files.iter().filter(|file| !file.contains("tests")) {
            let code = code(&std::fs::read_to_string(root().join(file)).unwrap());
            let named = IMPURE.iter().filter(|word| code.contains(**word));
            problems.extend(named.map(|word| format!("{file} names {word}")));
        }
    }
    none(problems);
}

#[test]
fn pure_crates_have_no_clock_no_chance_and_no_tasks() {
    let bans = std::fs::read_to_string(root().join("pure.clippy.toml")).unwrap();
    let lacks = |krate: &&&str| {
        let its = std::fs::read_to_string(root().join(krate).join("clippy.toml"));
        let manifest = std::fs::read_to_string(root().join(krate).join("Cargo.toml")).unwrap();
        its.ok().as_deref() != Some(bans.as_str()) || !manifest.contains("[lints]\nworkspace = true")
    };
    none(
        PURE.iter()
            .filter(lacks)
            .map(|krate| {
                format!("{krate}: link its clippy.toml to pure.clippy.toml, and take the workspace's lints")
            })
            .collect(),
    );
}

/// A lint is as good as the place where it is let off: whole crates never are.
#[test]
fn no_pure_crate_lets_itself_off() {
    let lax = PURE.iter().filter(|krate| {
        let head = std::fs::read_to_string(root().join(krate).join("src/lib.rs")).unwrap();
        head.contains("clippy::disallowed")
    });
    none(
        lax.map(|krate| format!("{krate}/src/lib.rs lets the whole crate off"))
            .collect(),
    );
    let linted = packages()
        .iter()
        .any(|package| text(package, "name") == "millstream-replication");
    assert!(linted, "the list names crates of this workspace");
}
