//! Who may see whom: the workspace's crate edges, and a few habits that a text search can hold.
//!
//! The rules are a table ([`RULES`]); a forbidden edge fails with a sentence that names it and the rule. What only
//! tests need (dev-dependencies) of the root package is free; everywhere else the rules hold for tests too, but for
//! the edges in [`FOR_TESTS`].

#![allow(clippy::unwrap_used)]

#[path = "architecture/asserted.rs"]
mod asserted;
#[path = "architecture/bugs.rs"]
mod bugs;
#[path = "architecture/circles.rs"]
mod circles;
#[path = "architecture/laws.rs"]
mod laws;
#[path = "architecture/pages.rs"]
mod pages;
#[path = "architecture/pure.rs"]
mod pure;

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A dependency of one package on another; names are packages, folders are relative to the root (`""` for the root).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    from: String,
    from_folder: String,
    to: String,
    /// Empty for a package from outside.
    to_folder: String,
    for_tests: bool,
}

/// One sentence of design.md, and whether an edge breaks it.
struct Rule {
    says: &'static str,
    breaks: fn(&Edge) -> bool,
}

const RULES: &[Rule] = &[
    Rule {
        says: "proto/ sees nothing but proto/",
        breaks: |edge| edge.plane_of_source() == "proto" && edge.is_ours() && edge.to_plane() != "proto",
    },
    Rule {
        says: "planes meet only in proto/, sdk/ and the root src/",
        breaks: |edge| {
            PLANES.contains(&edge.plane_of_source())
                && PLANES.contains(&edge.to_plane())
                && edge.plane_of_source() != edge.to_plane()
        },
    },
    Rule {
        says: "sdk/ is a client: it sees proto/ and sdk/ only",
        breaks: |edge| {
            edge.plane_of_source() == "sdk" && edge.is_ours() && !["proto", "sdk"].contains(&edge.to_plane())
        },
    },
    Rule {
        says: "gateways see broker, door, proto/ and sdk/formats",
        breaks: |edge| {
            GATEWAYS.contains(&edge.from_folder.as_str())
                && edge.is_ours()
                && edge.to_plane() != "proto"
                && !["data-plane/broker", "data-plane/door", "sdk/formats"].contains(&edge.to_folder.as_str())
        },
    },
    Rule {
        says: "door is what holds for every door: it sees proto/ and the broker's interface",
        breaks: |edge| {
            edge.from_folder == "data-plane/door"
                && edge.is_ours()
                && edge.to_plane() != "proto"
                && edge.to_folder != "data-plane/broker"
        },
    },
    Rule {
        says: "only broker sees journal, replication, partition, tier and coordinator, and those five do not see one another",
        breaks: |edge| {
            edge.from_folder != "data-plane/broker" && UNDER_THE_BROKER.contains(&edge.to_folder.as_str())
        },
    },
    Rule {
        says: "broker sees the five below it and proto/, no gateway and no door",
        breaks: |edge| {
            edge.from_folder == "data-plane/broker"
                && (GATEWAYS.contains(&edge.to_folder.as_str()) || edge.to_folder == "data-plane/door")
        },
    },
    Rule {
        says: "the data plane is no client of itself: only other planes use sdk/rust and sdk/cli",
        breaks: |edge| {
            edge.plane_of_source() == "data-plane"
                && edge.to_plane() == "sdk"
                && edge.to_folder != "sdk/formats"
        },
    },
    Rule {
        says: "sql-engine reads and writes streams through sdk/rust alone",
        breaks: |edge| {
            edge.plane_of_source() == "sql-engine"
                && edge.to_plane() == "sdk"
                && !["sdk/rust", "sdk/formats"].contains(&edge.to_folder.as_str())
        },
    },
    Rule {
        says: "only sql-engine/server depends on datafusion itself",
        breaks: |edge| edge.to == "datafusion" && edge.from_folder != "sql-engine/server",
    },
    Rule {
        says: "DataFusion, Arrow's kernels and sqlparser stay in the SQL engine (clients read Arrow's IPC)",
        breaks: |edge| {
            (edge.to.starts_with("datafusion") || edge.to == "sqlparser")
                && edge.plane_of_source() != "sql-engine"
        },
    },
    Rule {
        says: "metering, schema-registry and console use sdk/rust as any client does",
        breaks: |edge| {
            CLIENTS_OF_THE_SERVICE.contains(&edge.from_folder.as_str())
                && edge.is_ours()
                && edge.to_plane() != "proto"
                && edge.to_plane() != "sdk"
        },
    },
    Rule {
        says: "the root package wires: nobody depends on it",
        breaks: |edge| edge.is_ours() && edge.to_folder.is_empty(),
    },
];

const PLANES: [&str; 3] = ["data-plane", "control-plane", "sql-engine"];

const GATEWAYS: [&str; 4] = [
    "data-plane/kafka",
    "data-plane/kinesis",
    "data-plane/rest",
    "data-plane/grpc",
];

const UNDER_THE_BROKER: [&str; 5] = [
    "data-plane/journal",
    "data-plane/replication",
    "data-plane/partition",
    "data-plane/tier",
    "data-plane/coordinator",
];

const CLIENTS_OF_THE_SERVICE: [&str; 3] = [
    "control-plane/metering",
    "control-plane/schema-registry",
    "control-plane/console",
];

/// Edges that tests alone may have, from folder to folder.
const FOR_TESTS: &[(&str, &str)] = &[];

/// Files that may handle an object store's paths: the tier's, and those that say where the store of another kind of
/// data begins (the catalog's and the SQL state's databases, the lease) or hand a prefix or a name on.
const OBJECT_NAMES: &[&str] = &[
    "proto/store/src/counted.rs",
    "data-plane/tier/src/",
    "data-plane/broker/src/settings.rs",
    "data-plane/broker/src/store_check.rs",
    "control-plane/catalog/src/identity.rs",
    "control-plane/catalog/src/store.rs",
    "control-plane/controller/src/lease.rs",
    "sql-engine/state/src/cold.rs",
    "sql-engine/state/src/cold/",
    "sql-engine/runtime/src/handle.rs",
    "sql-engine/runtime/src/shard/open.rs",
    "sql-engine/server/src/engine.rs",
    "src/",
];

impl Edge {
    fn plane_of_source(&self) -> &str {
        plane(&self.from_folder)
    }

    fn to_plane(&self) -> &str {
        plane(&self.to_folder)
    }

    fn is_ours(&self) -> bool {
        self.to.starts_with("millstream")
    }
}

fn plane(folder: &str) -> &str {
    folder.split('/').next().unwrap_or_default()
}

/// What is wrong with an edge, as a sentence.
fn judge(edge: &Edge) -> Option<String> {
    if edge.for_tests
        && (edge.from_folder.is_empty()
            || FOR_TESTS.contains(&(edge.from_folder.as_str(), edge.to_folder.as_str())))
    {
        return None;
    }
    let broken = RULES.iter().find(|rule| (rule.breaks)(edge))?;
    Some(format!(
        "{} must not depend on {}: {}",
        edge.from, edge.to, broken.says
    ))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What `cargo metadata` says of the workspace's packages. (The crate that reads this as types would change the
/// features of crates that the binary uses, and so compile them again for the tests.)
fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let told = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    told["packages"].as_array().unwrap().clone()
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap()
}

/// `data-plane/journal` for that crate's folder, empty for the root package's.
fn folder(package: &Value) -> String {
    let folder = Path::new(text(package, "manifest_path")).parent().unwrap();
    folder
        .strip_prefix(root().canonicalize().unwrap())
        .unwrap_or(folder)
        .to_str()
        .unwrap()
        .to_owned()
}

fn edges(packages: &[Value]) -> BTreeSet<Edge> {
    let folder_of = |name: &str| {
        packages
            .iter()
            .find(|package| text(package, "name") == name)
            .map(folder)
            .unwrap_or_default()
    };
    let mut edges = BTreeSet::new();
    for package in packages {
        for dependency in package["dependencies"].as_array().unwrap() {
            let to = text(dependency, "name");
            edges.insert(Edge {
                from: text(package, "name").to_owned(),
                from_folder: folder(package),
                to: to.to_owned(),
                to_folder: folder_of(to),
                for_tests: dependency["kind"] == "dev",
            });
        }
    }
    edges
}

/// Every Rust file of the workspace's packages, as paths relative to the root.
fn sources() -> Vec<String> {
    let folders = [
        "src",
        "tests",
        "proto",
        "data-plane",
        "control-plane",
        "sql-engine",
        "sdk",
    ];
    let files = rust_files(folders.map(|it| root().join(it)));
    let relative = files.iter().map(|path| path.strip_prefix(root()).unwrap());
    let mut found: Vec<String> = relative.map(|path| path.to_str().unwrap().to_owned()).collect();
    found.sort();
    found
}

/// Every Rust file in these folders and below.
fn rust_files(folders: impl IntoIterator<Item = PathBuf>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = folders.into_iter().collect();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|it| it == "rs") {
                found.push(path);
            }
        }
    }
    found
}

fn none<T: std::fmt::Debug + AsRef<str>>(problems: Vec<T>) {
    let lines: Vec<&str> = problems.iter().map(AsRef::as_ref).collect();
    assert!(lines.is_empty(), "\n  {}\n", lines.join("\n  "));
}

#[test]
fn no_edge_is_forbidden() {
    let edges = edges(&packages());
    assert!(edges.len() > 100, "the workspace has edges: {}", edges.len());
    none(edges.iter().filter_map(judge).collect());
}

#[test]
fn a_planted_edge_is_found() {
    let planted = |from: &str, to: &str, for_tests| {
        let name = |folder: &str| match folder.rsplit('/').next() {
            Some("") | None => "millstream".to_owned(),
            Some(last) => format!("millstream-{last}"),
        };
        let ours = to.contains('/') || to.is_empty();
        let to_folder = if ours { to.to_owned() } else { String::new() };
        let to = if ours { name(to) } else { to.to_owned() };
        judge(&Edge {
            from: name(from),
            from_folder: from.to_owned(),
            to,
            to_folder,
            for_tests,
        })
    };
    for (from, to) in [
        ("data-plane/kafka", "data-plane/journal"),
        ("data-plane/grpc", "data-plane/kafka"),
        ("data-plane/tier", "data-plane/journal"),
        ("data-plane/replication", "data-plane/partition"),
        ("data-plane/broker", "control-plane/catalog"),
        ("data-plane/broker", "sdk/rust"),
        ("data-plane/broker", "data-plane/kafka"),
        ("data-plane/broker", "data-plane/door"),
        ("data-plane/door", "data-plane/tier"),
        ("control-plane/service", "data-plane/door"),
        ("control-plane/controller", "data-plane/broker"),
        ("sql-engine/runtime", "data-plane/broker"),
        ("sql-engine/runtime", "sdk/cli"),
        ("sql-engine/planner", "datafusion"),
        ("sdk/rust", "sqlparser"),
        ("sdk/cli", "sql-engine/server"),
        ("proto/model", "sdk/rust"),
        ("control-plane/console", "control-plane/catalog"),
        ("sdk/cli", ""),
    ] {
        let sentence = planted(from, to, false);
        assert!(
            sentence
                .as_deref()
                .is_some_and(|it| it.contains(" must not depend on ")),
            "{from} -> {to}"
        );
        assert!(
            planted(from, to, true).is_some(),
            "tests of {from} may not see {to} either"
        );
    }
    for (from, to) in [
        ("data-plane/kafka", "data-plane/broker"),
        ("data-plane/door", "data-plane/broker"),
        ("data-plane/broker", "data-plane/journal"),
        ("sql-engine/server", "datafusion"),
        ("sql-engine/runtime", "sdk/rust"),
        ("control-plane/service", "control-plane/catalog"),
        ("", "data-plane/broker"),
    ] {
        assert_eq!(planted(from, to, false), None);
    }
    assert_eq!(
        planted("", "data-plane/journal", true),
        None,
        "the root's own tests are free"
    );
    assert!(planted("", "data-plane/journal", false).is_some());
}

#[test]
fn a_crate_is_named_after_its_folder() {
    let wrong = |package: &Value| {
        let (folder, name) = (folder(package), text(package, "name").to_owned());
        let expected = match folder.rsplit_once('/') {
            None if folder.is_empty() => "millstream".to_owned(),
            Some((plane, last)) if !plane.contains('/') => format!("millstream-{last}"),
            _ => return Some(format!("{folder} is not one level under a plane")),
        };
        (name != expected).then(|| format!("{folder} is called {name}, not {expected}"))
    };
    none(packages().iter().filter_map(wrong).collect());
}

#[test]
fn every_file_says_what_it_is() {
    let silent = |path: &String| {
        let text = std::fs::read_to_string(root().join(path)).unwrap();
        !text.starts_with("//! ")
    };
    none(
        sources()
            .into_iter()
            .filter(silent)
            .map(|path| format!("{path} does not begin with //!"))
            .collect(),
    );
}

#[test]
fn no_module_hides_in_mod_rs() {
    let hidden = sources().into_iter().filter(|path| path.ends_with("/mod.rs"));
    none(
        hidden
            .map(|path| format!("{path}: name the file after the module, beside its folder"))
            .collect(),
    );
}

/// What reaches the disk; whole words, so that `tokio::fs` is found in `use tokio::{fs, net}` too.
fn opens_files(source: &str) -> bool {
    let words: Vec<&str> = source
        .split(|it: char| !it.is_alphanumeric() && it != '_')
        .filter(|it| !it.is_empty())
        .collect();
    words
        .iter()
        .any(|it| ["fs", "File", "OpenOptions", "rustix"].contains(it))
}

#[test]
fn the_doors_open_no_file() {
    let is_door = |path: &String| {
        GATEWAYS
            .iter()
            .chain(&["data-plane/door"])
            .any(|door| path.starts_with(&format!("{door}/src/")))
    };
    let doors: Vec<String> = sources().into_iter().filter(is_door).collect();
    assert!(doors.len() > 50, "the doors have sources: {}", doors.len());
    let opens = |path: &String| opens_files(&std::fs::read_to_string(root().join(path)).unwrap());
    none(
        doors
            .into_iter()
            .filter(opens)
            .map(|path| format!("{path} opens files; whoever serves clients asks the broker"))
            .collect(),
    );
    for planted in [
        "use std::fs;",
        "tokio::fs::read(path)",
        "use std::{fs, io};",
        "std::fs::File::open(path)",
    ] {
        assert!(opens_files(planted), "{planted}");
    }
    assert!(!opens_files("let offset = offsets.profile();"));
}

#[test]
fn only_the_tier_names_objects() {
    let names = |path: &String| {
        let production = path.starts_with("src/") || path.contains("/src/");
        production
            && !OBJECT_NAMES.iter().any(|it| path.starts_with(it))
            && std::fs::read_to_string(root().join(path))
                .unwrap()
                .contains("object_store::path")
    };
    none(
        sources()
            .into_iter()
            .filter(names)
            .map(|path| format!("{path} forms object names"))
            .collect(),
    );
}
