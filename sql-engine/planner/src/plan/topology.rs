//! Streaming plans: nodes over changelog rows, grouped into sub-topologies that are cut at repartitions.
//!
//! ```text
//!  sub-topology 0: Source ─ Filter ─ Rekey ─ RepartitionSink ┐   (no cut when the key already is the group's)
//!  sub-topology 1: RepartitionSource ─ Aggregate ─ Filter ─ Project ─ Sink
//! ```
//! A row is one slot of a batch whose columns are laid out as [`RowSchema`] says, and beside it its timestamp
//! (ms) and, for tables, whether it is an insert, an update's before or after, or a delete.

use crate::{BoundExpr, Column, Source, arrow_field};
use arrow::datatypes::{Schema, SchemaRef};
use millstream_parser::SqlType;
use std::sync::Arc;

/// Position of a node in its query, counted over all sub-topologies in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// Position of a sub-topology in its query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubTopologyId(pub u32);

/// Whether rows are facts or changes of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowKind {
    /// Inserts only.
    Stream,
    /// Inserts, updates (before and after) and deletes, by key.
    Table,
}

/// How a node's output batches are laid out: `keys…, [WINDOWSTART, WINDOWEND,] values…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowSchema {
    pub kind: RowKind,
    pub columns: Vec<Column>,
    /// The first columns are the key.
    pub key_count: usize,
    /// The two columns behind the keys are WINDOWSTART and WINDOWEND (BIGINT, ms); they belong to the key.
    pub windowed: bool,
}

impl RowSchema {
    /// The Arrow schema of its batches; every field is nullable.
    #[must_use]
    pub fn arrow_schema(&self) -> SchemaRef {
        let fields: Vec<_> = self
            .columns
            .iter()
            .map(|c| arrow_field(&c.name, &c.sql_type))
            .collect();
        Arc::new(Schema::new(fields))
    }

    #[must_use]
    pub fn keys(&self) -> &[Column] {
        &self.columns[..self.key_count]
    }

    /// The index of the first value column.
    #[must_use]
    pub fn values_from(&self) -> usize {
        self.key_count + if self.windowed { 2 } else { 0 }
    }

    #[must_use]
    pub fn values(&self) -> &[Column] {
        &self.columns[self.values_from()..]
    }

    /// The index of WINDOWSTART; WINDOWEND is the one behind it.
    #[must_use]
    pub fn window_start_index(&self) -> Option<usize> {
        self.windowed.then_some(self.key_count)
    }
}

/// Where a column that a source node reads comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceField {
    /// Index into the source's key columns.
    Key(usize),
    /// Index into the source's value columns.
    Value(usize),
    /// The row's time as BIGINT, ms: the timestamp column's value, or else the record's timestamp.
    RowTime,
    /// The record's partition, INT.
    RowPartition,
    /// The record's offset, BIGINT.
    RowOffset,
    /// Of windowed keys: BIGINT, ms.
    WindowStart,
    /// Of windowed keys: BIGINT, ms.
    WindowEnd,
}

/// Reads a topic. Its output has one column per entry of `fields`, in that order: first all key columns, then
/// the window's bounds of a windowed source, then the other columns that the query uses (decode no others,
/// except the timestamp column).
#[derive(Clone, Debug, PartialEq)]
pub struct SourceNode {
    pub source: Arc<Source>,
    pub fields: Vec<SourceField>,
    /// Where the latest row per key is kept, when the source is a table: changes need the row before.
    pub store: Option<StoreSpec>,
}

/// An expression and the name of the column it makes.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedExpr {
    pub name: String,
    pub expr: BoundExpr,
}

/// What becomes of a row whose new key has a null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NullKeys {
    /// GROUP BY: the row takes no part.
    Drop,
    /// PARTITION BY: the row goes on with a null key.
    Keep,
}

/// Windows of one size that do not overlap, aligned to 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TumblingWindow {
    pub size_ms: i64,
    /// A row is late, and dropped, when its window's end + grace ≤ stream time.
    pub grace_ms: i64,
    /// A window is kept until its start + retention ≤ stream time; at least size + grace.
    pub retention_ms: i64,
}

/// The aggregate functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AggregateFunction {
    /// COUNT(*): rows. No argument.
    CountRows,
    /// COUNT(x): rows whose argument is not null.
    Count,
    /// Of the argument's type; overflow is a row error. Nulls are skipped.
    Sum,
    /// DOUBLE: sum / count of what is not null. The argument is a DOUBLE (the planner converts).
    Avg,
    Min,
    Max,
    /// The argument of the row that came last; nulls are skipped.
    LatestByOffset,
    /// The argument of the row that came last, null or not.
    LatestByOffsetWithNulls,
}

/// One aggregate of an [`AggregateNode`].
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateCall {
    pub function: AggregateFunction,
    /// None for COUNT(*) only.
    pub argument: Option<BoundExpr>,
    /// The name of the column that it makes.
    pub name: String,
    pub result_type: SqlType,
}

/// What a piece of keyed state holds. Two plans whose stores have the same id and hash can share the state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StoreSpec {
    /// From the plan's shape: unique within the query, the same for the same query text.
    pub id: String,
    /// Over operator, key types, aggregates and their types, window: [`StoreSpec::facts`], hashed.
    pub hash: u64,
    /// What was hashed, readable: shown when a stored hash differs.
    pub facts: String,
}

/// Groups rows by their key (and window). Output: keys, the window's bounds when windowed, one column per
/// aggregate; rows of kind Table.
#[derive(Clone, Debug, PartialEq)]
pub struct AggregateNode {
    pub window: Option<TumblingWindow>,
    pub aggregates: Vec<AggregateCall>,
    pub store: StoreSpec,
}

/// What a node does to the rows of its input.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    Source(SourceNode),
    /// Reads what the RepartitionSink of that sub-topology wrote, same layout.
    RepartitionSource {
        from: SubTopologyId,
    },
    /// Keeps rows whose predicate (BOOLEAN) is true; one that errs or is null is dropped. On a table, a change
    /// whose new row is dropped deletes the old row if that had passed.
    Filter {
        predicate: BoundExpr,
    },
    /// Makes the output columns, in order: key columns first (the windows' bounds are among the expressions).
    Project {
        columns: Vec<NamedExpr>,
    },
    /// Makes new key columns from expressions; all columns of the input follow them as values.
    Rekey {
        keys: Vec<NamedExpr>,
        null_keys: NullKeys,
    },
    Aggregate(AggregateNode),
    /// Hands rows to the partition that their key hashes to (murmur2 over the key as the format writes it);
    /// in memory within a shard.
    RepartitionSink {
        partitions: u32,
    },
    /// Writes rows to the source's topic: on a stream the record's value, on a table a record per change of a
    /// key (the last row, or a tombstone). The row's columns are exactly the source's, windows' bounds behind
    /// the keys. The record's timestamp is the row's, or the sink's own timestamp column where it has one.
    Sink {
        sink: Arc<Source>,
    },
    /// Gives rows to the caller of a push query.
    Output,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub id: NodeId,
    /// The nodes it reads from, in this sub-topology; empty for sources. (Exactly one until joins come.)
    pub inputs: Vec<NodeId>,
    pub kind: NodeKind,
    /// What it puts out (sinks: what they take in).
    pub schema: RowSchema,
}

/// Nodes that run together in a task, one task per partition of its input; inputs before those who read them.
#[derive(Clone, Debug, PartialEq)]
pub struct SubTopology {
    pub id: SubTopologyId,
    pub nodes: Vec<Node>,
    /// How many tasks it has.
    pub partitions: u32,
}

/// A streaming plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Topology {
    pub sub_topologies: Vec<SubTopology>,
}

impl Topology {
    /// All nodes in order.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.sub_topologies.iter().flat_map(|sub| &sub.nodes)
    }

    /// All state that the plan keeps.
    pub fn stores(&self) -> impl Iterator<Item = &StoreSpec> {
        self.nodes().filter_map(|node| match &node.kind {
            NodeKind::Source(source) => source.store.as_ref(),
            NodeKind::Aggregate(aggregate) => Some(&aggregate.store),
            _ => None,
        })
    }
}
