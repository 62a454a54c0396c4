//! What each statement does.

use super::{NamedExpr, SourceField, Topology};
use crate::{BoundExpr, Column, Source};
use datafusion_common::ScalarValue;
use millstream_parser::{IfTaken, Shown};
use std::ops::Bound;
use std::sync::Arc;

/// What to do for one statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Plan {
    CreateSource(CreateSourcePlan),
    CreateQuery(Box<CreateQueryPlan>),
    /// IF NOT EXISTS found it, or IF EXISTS did not: the sentence to answer.
    Nothing(String),
    Push(Box<PushPlan>),
    Pull(Box<PullPlan>),
    Insert(InsertPlan),
    Print(PrintPlan),
    /// The name is known and the value allowed.
    Set {
        key: String,
        value: String,
    },
    Unset {
        key: String,
    },
    Show {
        what: Shown,
        extended: bool,
    },
    Describe {
        source: Arc<Source>,
        extended: bool,
    },
    /// The function's name as the registry has it.
    DescribeFunction {
        name: String,
    },
    Explain(ExplainPlan),
    Drop(DropPlan),
    /// The query's id; it exists.
    Terminate {
        query: String,
    },
    TerminateAll,
}

/// A topic to make first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    pub partitions: u32,
    pub replicas: Option<u32>,
    /// How long it keeps records, ms, -1 for ever; when it is not said, as the topic that it is `like`.
    pub retention_ms: Option<i64>,
    /// Topic whose retention it inherits.
    pub like: Option<String>,
}

/// CREATE STREAM or TABLE over a topic.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateSourcePlan {
    pub source: Source,
    pub if_taken: IfTaken,
    /// The source of that name that OR REPLACE replaces.
    pub replaces: Option<Arc<Source>>,
    /// Set when the topic does not exist.
    pub new_topic: Option<NewTopic>,
}

/// A query that runs until it is terminated.
#[derive(Clone, Debug, PartialEq)]
pub struct QueryPlan {
    /// `CSAS_NAME` or `CTAS_NAME`; whoever stores the query adds a number behind it.
    pub id_prefix: String,
    pub reads: Arc<Source>,
    /// The source that it makes and writes.
    pub sink: Arc<Source>,
    pub topology: Topology,
}

/// CREATE STREAM or TABLE AS SELECT.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateQueryPlan {
    pub query: QueryPlan,
    pub if_taken: IfTaken,
    /// The sink's topic, when it does not exist.
    pub new_topic: Option<NewTopic>,
}

/// SELECT … EMIT CHANGES.
#[derive(Clone, Debug, PartialEq)]
pub struct PushPlan {
    pub reads: Arc<Source>,
    /// Ends in an [`NodeKind::Output`](super::NodeKind::Output) whose input's columns hold the answer's.
    pub topology: Topology,
    /// Which columns of the output rows the client sees, and their names.
    pub output: Vec<(usize, Column)>,
    /// Stop after so many rows.
    pub limit: Option<u64>,
}

/// Which keys a pull query reads.
#[derive(Clone, Debug, PartialEq)]
pub enum PullAccess {
    /// These keys only: each has one value per key column, of its Arrow type, never null. No key is there twice.
    Keys(Vec<Vec<ScalarValue>>),
    Scan,
}

/// Bounds on a windowed table's windows, ms; both unbounded unless the query says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowBounds {
    pub start: (Bound<i64>, Bound<i64>),
    pub end: (Bound<i64>, Bound<i64>),
}

impl WindowBounds {
    /// Every window.
    pub const ALL: WindowBounds = WindowBounds {
        start: (Bound::Unbounded, Bound::Unbounded),
        end: (Bound::Unbounded, Bound::Unbounded),
    };
}

/// SELECT without EMIT CHANGES. `access` and `windows` only narrow what is read; `filter` decides.
#[derive(Clone, Debug, PartialEq)]
pub struct PullPlan {
    /// A table (its committed rows) or a stream (a bounded read of its topic).
    pub source: Arc<Source>,
    pub access: PullAccess,
    pub windows: WindowBounds,
    /// The columns that `filter` and `columns` are bound to: all keys, window bounds, what else is used.
    pub fields: Vec<SourceField>,
    /// The whole WHERE clause.
    pub filter: Option<BoundExpr>,
    pub columns: Vec<NamedExpr>,
    pub limit: Option<u64>,
}

/// INSERT INTO … VALUES.
#[derive(Clone, Debug, PartialEq)]
pub struct InsertPlan {
    pub target: Arc<Source>,
    pub rows: Vec<InsertRow>,
}

/// One row to write.
#[derive(Clone, Debug, PartialEq)]
pub struct InsertRow {
    /// One value per column of the target, of its Arrow type; what was not named is null.
    pub values: Vec<ScalarValue>,
    /// ROWTIME, ms, when it was given.
    pub rowtime: Option<i64>,
}

/// PRINT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrintPlan {
    pub topic: String,
    pub partitions: u32,
    pub from_beginning: bool,
    /// Print every n-th record.
    pub interval: u64,
    pub limit: Option<u64>,
}

/// EXPLAIN.
#[derive(Clone, Debug, PartialEq)]
pub enum ExplainPlan {
    /// A running query, by id.
    Query(String),
    Plan(Box<Plan>),
}

/// DROP STREAM or TABLE.
#[derive(Clone, Debug, PartialEq)]
pub struct DropPlan {
    pub source: Arc<Source>,
    /// Queries that write it and end with it.
    pub terminates: Vec<String>,
    pub delete_topic: bool,
}
