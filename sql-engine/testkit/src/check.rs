//! What was expected against what came.

use crate::case::{Asked, Record};
use crate::world::{Answered, shown};
use bytes::Bytes;
use millstream_runtime::QueryReport;
use std::collections::{BTreeMap, BTreeSet};

/// What may be seen of the changes of a key in a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outputs {
    /// All, once.
    Exact,
    /// All, some again.
    Repeated,
    /// Some, the last one always.
    Coalesced,
}

/// Whether a request answered as it must.
pub(crate) fn answer(asked: &Asked, answered: &Answered) -> Result<(), String> {
    if let Some(failure) = &asked.fails {
        let Some(error) = &answered.failed else {
            return Err(format!("expected an error '{}', but it succeeded", failure.piece));
        };
        let place = error.line.zip(error.column);
        if place != failure.place || !error.message.contains(&failure.piece) {
            let show = |place: Option<(u32, u32)>| place.map_or("-".to_owned(), |(l, c)| format!("{l}:{c}"));
            return Err(format!(
                "expected the error {} …{}…\n  got {} {}",
                show(failure.place),
                failure.piece,
                show(place),
                error.message
            ));
        }
    } else if let Some(error) = &answered.failed {
        let place = error
            .line
            .zip(error.column)
            .map_or(String::new(), |(l, c)| format!("{l}:{c} "));
        return Err(format!("it failed: {place}{}", error.message));
    }
    if let Some(count) = asked.count.filter(|count| *count != answered.rows.len()) {
        return Err(format!("expected {count} rows, got {}", listed(&answered.rows)));
    }
    if let Some(expected) = &asked.rows {
        let (mut expected, mut got) = (canonical(expected), canonical(&answered.rows));
        if !asked.ordered {
            expected.sort();
            got.sort();
        }
        if expected != got {
            return Err(format!("expected {}\n  got {}", listed(&expected), listed(&got)));
        }
    }
    for piece in &asked.says {
        let said = answered.said.iter().chain(&answered.rows);
        if !said.clone().any(|text| text.contains(piece.as_str())) {
            let all: Vec<String> = said.cloned().collect();
            return Err(format!(
                "expected it to say '{piece}'\n  it said {}",
                listed(&all)
            ));
        }
    }
    Ok(())
}

/// Rows with every DOUBLE written in one way (1e10 is 10000000000.0).
fn canonical(rows: &[String]) -> Vec<String> {
    let cell = |cell: &str| match cell.parse::<f64>() {
        Ok(number) if cell.contains(['e', 'E']) => format!("{number:?}"),
        _ => cell.to_owned(),
    };
    rows.iter()
        .map(|row| row.split(" | ").map(cell).collect::<Vec<_>>().join(" | "))
        .collect()
}

fn listed(rows: &[String]) -> String {
    match rows {
        [] => "nothing".to_owned(),
        rows => format!("{} rows:\n    {}", rows.len(), rows.join("\n    ")),
    }
}

type Changes<'r> = BTreeMap<Option<Bytes>, Vec<&'r Record>>;

fn by_key(records: &[Record]) -> Changes<'_> {
    let mut keys = Changes::new();
    for record in records {
        keys.entry(record.key.clone()).or_default().push(record);
    }
    keys
}

/// Whether a topic holds what it must: the same changes of each key, in order.
pub(crate) fn records(expected: &[Record], got: &[Record], outputs: Outputs) -> Result<(), String> {
    let (wanted, found) = (by_key(expected), by_key(got));
    let keys: BTreeSet<_> = wanted.keys().chain(found.keys()).cloned().collect();
    for key in keys {
        let nothing = Vec::new();
        let (wanted, found) = (
            wanted.get(&key).unwrap_or(&nothing),
            found.get(&key).unwrap_or(&nothing),
        );
        let agree = match outputs {
            Outputs::Exact => {
                wanted.len() == found.len() && wanted.iter().zip(found).all(|(w, f)| same(w, f))
            }
            Outputs::Repeated => ends_alike(wanted, found) && within(found, wanted) && within(wanted, found),
            Outputs::Coalesced => ends_alike(wanted, found) && within(found, wanted),
        };
        if !agree {
            let list = |records: &[&Record]| {
                let line = |r: &&Record| {
                    let partition = r.partition.map_or(String::new(), |p| format!(" partition={p}"));
                    format!("ts={}{partition} value={}", r.timestamp, shown(r.value.as_ref()))
                };
                listed(&records.iter().map(line).collect::<Vec<_>>())
            };
            return Err(format!(
                "records of key {}: expected {}\n  got {}",
                shown(key.as_ref()),
                list(wanted),
                list(found)
            ));
        }
    }
    Ok(())
}

fn same(wanted: &Record, found: &Record) -> bool {
    wanted.value == found.value
        && wanted.timestamp == found.timestamp
        && (wanted.partition.is_none() || wanted.partition == found.partition)
}

fn ends_alike(wanted: &[&Record], found: &[&Record]) -> bool {
    match (wanted.last(), found.last()) {
        (Some(wanted), Some(found)) => same(wanted, found),
        // A change that was taken back before it was committed may never be seen.
        (None, None) => true,
        (Some(wanted), None) => wanted.value.is_none(),
        (None, Some(_)) => false,
    }
}

fn within(some: &[&Record], all: &[&Record]) -> bool {
    some.iter()
        .all(|one| all.iter().any(|other| same(one, other) || same(other, one)))
}

/// Whether the query that writes `sink` reports what it must: rows that failed, came too late and had no key.
pub(crate) fn report(reports: &[QueryReport], sink: &str, expected: [Option<u64>; 3]) -> Result<(), String> {
    let writes = |report: &&QueryReport| {
        let id = report.id.trim_start_matches("CTAS_").trim_start_matches("CSAS_");
        id.rsplit_once('_').is_some_and(|(name, _)| name == sink)
    };
    let Some(found) = reports.iter().find(writes) else {
        return Err(format!("no query writes {sink}"));
    };
    let told = |[errors, late, keyless]: [u64; 3]| format!("errors={errors} late={late} keyless={keyless}");
    let found = [found.errors, found.late_rows, found.keyless_rows];
    let wanted: [u64; 3] = std::array::from_fn(|at| expected[at].unwrap_or(found[at]));
    if wanted != found {
        return Err(format!("expected {}\n  got {}", told(wanted), told(found)));
    }
    Ok(())
}
