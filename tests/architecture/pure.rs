//! The pure crates: each has `pure.clippy.toml` as its `clippy.toml`, which bans clocks, random numbers and spawns.

use super::{none, packages, root, text};

/// Machines, ledgers and planners, and the values that they are made of. What is a shell inside of one expects the lint,
/// with its reason. (`broker`, `door` and `runtime` have pure modules too, but more of them is shell.)
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
