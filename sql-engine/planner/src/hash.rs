//! Compatibility hashes of stores: FNV-1a, 64 bits, over readable facts. Stored; must never change.

use crate::{AggregateCall, Column, StoreSpec, TumblingWindow};
use std::fmt::Write as _;

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

fn fnv1a(text: &str) -> u64 {
    text.bytes()
        .fold(OFFSET, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

fn spec(id: String, facts: String) -> StoreSpec {
    StoreSpec {
        id,
        hash: fnv1a(&facts),
        facts,
    }
}

fn types(columns: &[Column]) -> String {
    columns
        .iter()
        .map(|column| column.sql_type.to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// The state of an aggregation. `position` is the node's place in the plan.
pub fn aggregate_store(
    position: u32,
    keys: &[Column],
    aggregates: &[AggregateCall],
    window: Option<&TumblingWindow>,
) -> StoreSpec {
    let mut facts = format!("aggregate v1 by ({})", types(keys));
    for call in aggregates {
        let argument = call
            .argument
            .as_ref()
            .map_or(String::new(), |argument| argument.sql_type().to_string());
        let _ = write!(facts, "; {:?}({argument}) {}", call.function, call.result_type);
    }
    if let Some(window) = window {
        let TumblingWindow {
            size_ms,
            grace_ms,
            retention_ms,
        } = window;
        let _ = write!(
            facts,
            "; tumbling {size_ms} grace {grace_ms} retention {retention_ms}"
        );
    }
    spec(format!("aggregate-{position}"), facts)
}

/// The latest row per key of a table that is read.
pub fn table_store(position: u32, keys: &[Column], columns: &[Column]) -> StoreSpec {
    let named = columns
        .iter()
        .map(|column| format!("{} {}", column.name, column.sql_type));
    let facts = format!(
        "table v1 by ({}); {}",
        types(keys),
        named.collect::<Vec<_>>().join(", ")
    );
    spec(format!("table-{position}"), facts)
}
