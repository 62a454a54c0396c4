//! The Kafka door beside Apache Kafka: the same requests in every version, the same answers.
//!
//! What Kafka 4.3 answered lies in `oracle/recorded`; the tests send the same requests to Millstream and compare. With
//! `MILLSTREAM_ORACLE=HOST:PORT`, the address of a fresh Kafka without SASL, the same tests record what it answers
//! instead. Where Millstream answers otherwise on purpose, `oracle/decided.txt` says what it answers and why.

mod admin;
mod ask;
mod configs;
mod groups;
mod members;
mod offsets;
mod produce;
mod read;
mod text;
mod topics;

use crate::harness::{Server, Start, Work};
use ask::Talk;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Runs a script against Millstream and compares with what was recorded, or records.
fn compare(name: &str, script: impl Fn(&mut Talk)) {
    let recorded = folder().join("recorded").join(format!("{name}.txt"));
    if let Ok(address) = std::env::var("MILLSTREAM_ORACLE") {
        let mut talk = Talk::new(&address, None);
        script(&mut talk);
        std::fs::write(recorded, talk.text()).unwrap();
        return;
    }
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let mut talk = Talk::new(&server.doors.kafka, Some(&server.key));
    script(&mut talk);
    let theirs = std::fs::read_to_string(recorded).expect("a recording of what Kafka answers");
    let differences = differences(&steps(&theirs), &steps(&talk.text()), &decided());
    assert!(
        differences.is_empty(),
        "{} steps of {name} are answered otherwise than by Kafka:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/oracle")
}

/// The answers under each step's name.
fn steps(text: &str) -> BTreeMap<String, String> {
    let mut steps: BTreeMap<String, String> = BTreeMap::new();
    let mut name = "";
    for line in text.lines().filter(|line| !line.starts_with("//")) {
        match line.strip_prefix("# ") {
            Some(next) => name = next,
            None if line.trim().is_empty() => {}
            None => {
                let step = steps.entry(name.to_owned()).or_default();
                step.push_str(line);
                step.push('\n');
            }
        }
    }
    steps
}

/// What Millstream answers otherwise on purpose, by step.
fn decided() -> BTreeMap<String, String> {
    steps(&std::fs::read_to_string(folder().join("decided.txt")).unwrap())
}

fn differences(
    theirs: &BTreeMap<String, String>,
    ours: &BTreeMap<String, String>,
    decided: &BTreeMap<String, String>,
) -> Vec<String> {
    let names: std::collections::BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let mut found = Vec::new();
    for name in names {
        let none = String::new();
        let (theirs, ours) = (theirs.get(name).unwrap_or(&none), ours.get(name).unwrap_or(&none));
        let wanted = decided.get(name).unwrap_or(theirs);
        if !text::agree(wanted, ours) {
            let which = if decided.contains_key(name) {
                "decided"
            } else {
                "Kafka"
            };
            found.push(format!("# {name}\n{which}:\n{wanted}Millstream:\n{ours}"));
        }
    }
    found
}

#[test]
fn decisions_are_about_what_was_recorded() {
    let files = std::fs::read_dir(folder().join("recorded")).unwrap();
    let recorded: BTreeMap<String, String> = files
        .flat_map(|file| steps(&std::fs::read_to_string(file.unwrap().path()).unwrap()))
        .collect();
    for (name, answer) in decided() {
        let theirs = recorded.get(&name);
        assert!(
            theirs.is_some_and(|theirs| *theirs != answer),
            "{name} needs no decision"
        );
    }
}

#[test]
fn every_version_of_kafka_is_served() {
    let recorded = folder().join("recorded/api_versions.txt");
    let ranges = |talk: &mut Talk| -> BTreeMap<i16, (i16, i16)> {
        let advertised = talk.advertised();
        advertised
            .into_iter()
            .map(|(key, min, max)| (key, (min, max)))
            .collect()
    };
    if let Ok(address) = std::env::var("MILLSTREAM_ORACLE") {
        let theirs = ranges(&mut Talk::new(&address, None));
        let lines = theirs
            .iter()
            .map(|(key, (min, max))| format!("{key} {min} {max}\n"));
        std::fs::write(recorded, lines.collect::<String>()).unwrap();
        return;
    }
    let text = std::fs::read_to_string(recorded).unwrap();
    let theirs: BTreeMap<i16, (i16, i16)> = text
        .lines()
        .map(|line| {
            let numbers: Vec<i16> = line.split(' ').map(|number| number.parse().unwrap()).collect();
            (numbers[0], (numbers[1], numbers[2]))
        })
        .collect();
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let ours = ranges(&mut Talk::new(&server.doors.kafka, Some(&server.key)));
    // What the first door has to serve.
    let kept = [22, 29, 32, 33, 35, 36, 43, 46, 48, 50, 61, 65, 66, 74, 75];
    for key in (0..=3).chain(8..=20).chain(kept) {
        assert!(ours.contains_key(&key), "API {key} is not served");
    }
    for (key, (min, max)) in ours {
        // Clients can log in here, and need not there.
        let Some((least, most)) = theirs.get(&key) else {
            panic!("Kafka does not advertise API {key}")
        };
        assert_eq!(max, *most, "the highest version of API {key}");
        assert!(
            min <= *least,
            "the lowest version of API {key} is {min}, Kafka's {least}"
        );
    }
}

#[test]
fn topics_are_administered_as_by_kafka() {
    compare("topics", topics::script);
}

#[test]
fn topics_are_described_as_by_kafka() {
    compare("metadata", topics::metadata_script);
}

#[test]
fn configs_are_kept_as_by_kafka() {
    compare("configs", configs::script);
}

#[test]
fn administrators_are_answered_as_by_kafka() {
    compare("admin", admin::script);
}

#[test]
fn records_are_taken_as_by_kafka() {
    compare("produce", produce::script);
}

#[test]
fn idempotent_producers_are_checked_as_by_kafka() {
    compare("idempotent", produce::idempotent_script);
}

#[test]
fn records_are_read_as_from_kafka() {
    compare("fetch", read::script);
}

#[test]
fn offsets_are_found_as_by_kafka() {
    compare("list_offsets", read::offsets_script);
}

#[test]
fn groups_are_kept_as_by_kafka() {
    compare("groups", groups::script);
}

#[test]
fn members_are_kept_as_by_kafka() {
    compare("members", members::script);
}

#[test]
fn static_members_are_kept_as_by_kafka() {
    compare("static_members", members::static_script);
}

#[test]
fn offsets_are_committed_as_to_kafka() {
    compare("offsets", offsets::script);
}
