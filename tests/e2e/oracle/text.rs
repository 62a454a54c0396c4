//! An answer as text that two brokers can agree on.

use std::fmt::Debug;

/// What an answer says, without what may differ from broker to broker: the words of messages, ports, epochs of leaders.
/// A field that has its type's zero is left out, so that older versions read like newer ones.
pub fn of(answer: &impl Debug) -> String {
    let pretty = format!("{answer:#?}");
    let mut out = String::new();
    let mut lines = pretty.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        let (name, value) = line.split_once(": ").unwrap_or(("", line));
        if name == "error_message" || name == "batch_index_error_message" {
            if value == "Some(" {
                lines.next();
                lines.next();
            }
            continue;
        }
        let said = field(name, value);
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
