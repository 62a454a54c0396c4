//! Environment variables that look like ours and are not: named in a warning, with the nearest that is.
//!
//! Not refused: Kubernetes puts `MILLSTREAM_PORT=tcp://…` and its like into every pod beside a Service called *millstream*.

use crate::arguments::Arguments;
use clap::CommandFactory;
use std::collections::BTreeSet;

const PREFIX: &str = "MILLSTREAM_";

/// What is read without a flag: the client's profiles, and what our tests and tools are told.
const WITHOUT_FLAG: [&str; 5] = [
    "MILLSTREAM_CONFIG",
    "MILLSTREAM_KILL_ROUNDS",
    "MILLSTREAM_LEFT_OUT",
    "MILLSTREAM_ORACLE",
    "MILLSTREAM_TOOLS",
];

/// Families of those, by how they begin.
const TOOLS: [&str; 4] = [
    "MILLSTREAM_FUZZ_",
    "MILLSTREAM_SIM_",
    "MILLSTREAM_SOAK_",
    "MILLSTREAM_TEST_",
];

/// The nearest known name is told when no more letters than these have to change.
const DISTANCE_MAX: usize = 4;

/// Names each variable of this process that begins as ours do and that nothing reads.
pub fn warn() {
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    for line in unknown(names, &known()) {
        tracing::warn!("{line}");
    }
}

/// Every variable that a flag of any command takes.
fn known() -> BTreeSet<String> {
    let mut root = Arguments::command();
    root.build();
    let mut known: BTreeSet<String> = WITHOUT_FLAG.iter().map(|it| (*it).to_owned()).collect();
    let mut left = vec![&root];
    while let Some(command) = left.pop() {
        let variables = command.get_arguments().filter_map(clap::Arg::get_env);
        known.extend(variables.filter_map(|it| it.to_str()).map(str::to_owned));
        left.extend(command.get_subcommands());
    }
    known
}

fn unknown(names: impl Iterator<Item = String>, known: &BTreeSet<String>) -> Vec<String> {
    let strange = |name: &String| name.starts_with(PREFIX) && !known.contains(name) && !is_passed_over(name);
    let mut lines: Vec<String> = names.filter(strange).map(|name| line(&name, known)).collect();
    lines.sort();
    lines
}

/// What Kubernetes sets for a Service, and what our tools read.
fn is_passed_over(name: &str) -> bool {
    let of_a_service = name.contains("_SERVICE_") || name.ends_with("_PORT") || name.contains("_PORT_");
    of_a_service || TOOLS.iter().any(|tool| name.starts_with(tool))
}

fn line(name: &str, known: &BTreeSet<String>) -> String {
    let nearest = known.iter().map(|it| (distance(name, it), it)).min();
    match nearest {
        Some((changes, nearest)) if changes <= DISTANCE_MAX => {
            format!("the environment variable {name} means nothing; is {nearest} meant?")
        }
        _ => format!(
            "the environment variable {name} means nothing; millstream start --help names those that do"
        ),
    }
}

/// How many letters have to be put in, taken out or changed to make one text of the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (line, letter) in from.chars().enumerate() {
        let mut left = line + 1;
        let mut next = vec![left];
        for (above, other) in row.windows(2).zip(&to) {
            let &[diagonal, above] = above else { continue };
            left = (left + 1)
                .min(above + 1)
                .min(diagonal + usize::from(letter != *other));
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{distance, known, unknown};

    fn told(names: &[&str]) -> Vec<String> {
        unknown(names.iter().map(|it| (*it).to_owned()), &known())
    }

    #[test]
    fn a_mistyped_name_is_told_with_the_nearest() {
        let lines = told(&["MILLSTREAM_KAFKA_LISEN", "HOME", "MILLSTREAM_KAFKA_LISTEN"]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].contains("MILLSTREAM_KAFKA_LISEN means nothing")
                && lines[0].contains("is MILLSTREAM_KAFKA_LISTEN meant"),
            "{lines:?}"
        );
        let far = told(&["MILLSTREAM_ENABLE_EVERYTHING"]);
        assert!(far[0].contains("--help"), "{far:?}");
    }

    #[test]
    fn what_kubernetes_and_our_own_tools_set_is_passed_over() {
        let names = [
            "MILLSTREAM_PORT",
            "MILLSTREAM_PORT_9092_TCP_ADDR",
            "MILLSTREAM_SERVICE_HOST",
            "MILLSTREAM_SERVICE_PORT_KAFKA",
            "MILLSTREAM_HTTP_SERVICE_HOST",
            "MILLSTREAM_TOOLS",
            "MILLSTREAM_SIM_SEEDS",
            "MILLSTREAM_CONFIG",
        ];
        assert_eq!(told(&names), Vec::<String>::new());
    }

    /// Derived from the flags: service, client and demo.
    #[test]
    fn every_flag_counts() {
        let known = known();
        for name in [
            "MILLSTREAM_ADMIN_LISTEN",
            "MILLSTREAM_STORE",
            "MILLSTREAM_KEY",
            "MILLSTREAM_PROFILE",
        ] {
            assert!(known.contains(name), "{name}");
        }
    }

    #[test]
    fn distances_are_those_of_the_books() {
        for (from, to, changes) in [
            ("kitten", "sitting", 3),
            ("", "abc", 3),
            ("abc", "", 3),
            ("same", "same", 0),
            ("flaw", "lawn", 2),
        ] {
            assert_eq!(distance(from, to), changes, "{from} {to}");
        }
    }
}
