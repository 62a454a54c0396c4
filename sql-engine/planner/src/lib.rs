//! Syntax tree and catalog to typed streaming plans.
//!
//! In: a [`Statement`](millstream_parser::Statement), a snapshot of the catalog ([`Metastore`]) and the session's
//! properties. Out: a [`Plan`], or one [`SqlError`](millstream_parser::SqlError) with line and column.
//!
//! ```text
//!  Statement ─▶ names and types (bind) ─▶ Plan ┬ CreateSource, CreateQuery(QueryPlan), Push, Pull, Insert, …
//!                                              └ QueryPlan = Topology = sub-topologies cut at repartitions
//! ```
//!
//! Invariants: planning is a pure function, the same inputs give the same plan, store ids and compatibility
//! hashes; an expression in a plan is typed, coerced and bound to the columns of its input
//! ([`BoundExpr`]), never folded; every row error of its evaluation is reported with its row (sql.md 8).
//! Not here: running plans (`operators`, `runtime`), the functions' kernels (`functions`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod bind;
mod bound;
mod canonical;
mod hash;
mod metastore;
mod plan;
mod properties;
mod query;
mod session;
mod source;
mod statement;

pub use bind::aggregate::aggregate_functions;

pub use bound::{BoundExpr, Evaluated};
pub use metastore::{Metastore, QueryFacts};
pub use millstream_functions::{arrow_field, arrow_type};
pub use plan::{
    AggregateCall, AggregateFunction, AggregateNode, CreateQueryPlan, CreateSourcePlan, DropPlan,
    ExplainPlan, InsertPlan, InsertRow, NamedExpr, NewTopic, Node, NodeId, NodeKind, NullKeys, Plan,
    PrintPlan, PullAccess, PullPlan, PushPlan, QueryPlan, RowKind, RowSchema, SourceField, SourceNode,
    StoreSpec, SubTopology, SubTopologyId, Topology, TumblingWindow, WindowBounds,
};
pub use session::{CommitToken, CommitTokenError, SessionProperties};
pub use source::{Column, KeyFormat, Source, TimestampColumn, ValueFormat};
pub use statement::plan;
