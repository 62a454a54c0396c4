//! An answer as text that two brokers can agree on.

use std::collections::BTreeMap;
use std::fmt::Debug;

/// What an answer says, without what may differ from broker to broker: the words of texts, ports, epochs of leaders.
/// A field that has its type's zero is left out, so that older versions read like newer ones.
pub fn of(answer: &impl Debug) -> String {
    let pretty = format!("{answer:#?}");
    let mut out = String::new();
    let mut lines = pretty.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        let (name, value) = line.split_once(": ").unwrap_or(("", line));
        let said = if WORDS.contains(&name) && value == "Some(" {
            let words = lines.next().unwrap_or_default();
            lines.next();
            let said = if words == "\"\"," { "empty" } else { "words" };
            format!("{name}: {said},")
        } else {
            field(name, value)
        };
        if is_zero(value) && said.ends_with(value) && !name.is_empty() {
            continue;
        }
        if !out.is_empty() && !out.ends_with('{') && !out.ends_with('(') && !out.ends_with('[') {
            out.push(' ');
        }
        out.push_str(&said);
    }
    UNSAID.iter().fold(out, |out, unsaid| out.replace(unsaid, ""))
}

/// Texts for people: that there is one can be compared, the words cannot. Null is left out, as everywhere, and is not the
/// same as an empty text.
const WORDS: [&str; 3] = ["error_message", "batch_index_error_message", "documentation"];

/// Tagged structs that nobody filled.
const UNSAID: [&str; 3] = [
    " diverging_epoch: EpochEndOffset {epoch: -1, end_offset: -1, },",
    " current_leader: LeaderIdAndEpoch {leader_id: -1, leader_epoch: -1, },",
    " snapshot_id: SnapshotId {end_offset: -1, epoch: -1, },",
];

fn is_zero(value: &str) -> bool {
    const ZEROS: [&str; 6] = [
        "0,",
        "None,",
        "\"\",",
        "[],",
        "false,",
        "00000000-0000-0000-0000-000000000000,",
    ];
    ZEROS.contains(&value)
}

fn field(name: &str, value: &str) -> String {
    let known = value.trim_end_matches(',').parse::<i64>().is_ok_and(|it| it >= 0);
    // What each broker chooses for itself.
    let placeholder = match name {
        "port" | "node_id" | "leader_id" | "broker_id" | "controller_id" | "leader_epoch" if known => "…,",
        "producer_id" if known => "…,",
        "cluster_authorized_operations" | "topic_authorized_operations" | "authorized_operations"
            if known =>
        {
            "…,"
        }
        _ => value,
    };
    if name.is_empty() {
        placeholder.to_owned()
    } else {
        format!("{name}: {placeholder}")
    }
}

/// Whether two answers to a step say the same, version by version. Words beside an error are no difference where Kafka
/// has none: they help whoever reads them, and clients take them or leave them. The reverse is one, and so is any text
/// where nothing is wrong.
pub fn agree(theirs: &str, ours: &str) -> bool {
    let (theirs, ours) = (by_version(theirs), by_version(ours));
    theirs.len() == ours.len()
        && theirs.iter().all(|(version, answer)| {
            ours.get(version)
                .is_some_and(|ours| agree_but_for_words(answer, ours))
        })
}

/// Each version's answer: `v3-5: …` stands for three of them, a line without a version for itself.
fn by_version(text: &str) -> BTreeMap<i16, &str> {
    let mut answers = BTreeMap::new();
    for line in text.lines() {
        let versioned = line.strip_prefix('v').and_then(|rest| rest.split_once(": "));
        let range = versioned.and_then(|(versions, answer)| {
            let (first, last) = versions.split_once('-').unwrap_or((versions, versions));
            Some((first.parse::<i16>().ok()?, last.parse::<i16>().ok()?, answer))
        });
        let (first, last, answer) = range.unwrap_or((-1, -1, line));
        answers.extend((first..=last).map(|version| (version, answer)));
    }
    answers
}

fn agree_but_for_words(theirs: &str, ours: &str) -> bool {
    const WORDS: &str = " error_message: words,";
    let mut rest = theirs;
    let mut before = String::new();
    for (index, piece) in ours.split(WORDS).enumerate() {
        if index > 0 {
            let own = before.rsplit('{').next().unwrap_or_default();
            match rest.strip_prefix(WORDS) {
                Some(behind) => rest = behind,
                None if own.contains("error_code: ") => {}
                None => return false,
            }
        }
        match rest.strip_prefix(piece) {
            Some(behind) => rest = behind,
            None => return false,
        }
        before.push_str(piece);
    }
    rest.is_empty()
}

#[test]
fn null_empty_and_words_are_told_apart() {
    let error = |text: &str| format!("v0-1: R {{topics: [T {{error_code: 3,{text} name: \"a\", }}, ], }}");
    let fine = |text: &str| format!("v0-1: R {{topics: [T {{{text}name: \"a\", }}, ], }}");
    let (null, empty, words) = ("", " error_message: empty,", " error_message: words,");
    for (theirs, ours, same) in [
        (error(null), error(null), true),
        (error(null), error(empty), false),
        (error(null), error(words), true),
        (error(empty), error(null), false),
        (error(empty), error(words), false),
        (error(words), error(null), false),
        (error(words), error(empty), false),
        (error(words), error(words), true),
        (fine(""), fine(""), true),
        (fine(""), fine("error_message: empty, "), false),
        (fine(""), fine("error_message: words, "), false),
        (fine("error_message: words, "), fine(""), false),
        ("v0-1: a".to_owned(), "v0: a\nv1: a".to_owned(), true),
        ("v0-1: a".to_owned(), "v0: a".to_owned(), false),
        ("v0: a".to_owned(), "v0-1: a".to_owned(), false),
        ("v0-1: a".to_owned(), "v0: a\nv1: b".to_owned(), false),
        ("closed".to_owned(), "closed".to_owned(), true),
    ] {
        assert_eq!(agree(&theirs, &ours), same, "{theirs} and {ours}");
    }
}
