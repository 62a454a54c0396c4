//! Plans: what a statement does, resolved and typed. Plain data; only [`BoundExpr`](crate::BoundExpr) holds code.

mod statement;
mod topology;

pub use statement::{
    CreateQueryPlan, CreateSourcePlan, DropPlan, ExplainPlan, InsertPlan, InsertRow, NewTopic, Plan,
    PrintPlan, PullAccess, PullPlan, PushPlan, QueryPlan, WindowBounds,
};
pub use topology::{
    AggregateCall, AggregateFunction, AggregateNode, NamedExpr, Node, NodeId, NodeKind, NullKeys, RowKind,
    RowSchema, SourceField, SourceNode, StoreSpec, SubTopology, SubTopologyId, Topology, TumblingWindow,
};
