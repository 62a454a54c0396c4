//! EXPLAIN: a plan in lines, one per node.

use super::table::{Cells, send};
use super::{Inner, Out, Stop};
use millstream_parser::parse_statement;
use millstream_planner::{
    AggregateNode, ExplainPlan, NamedExpr, Node, NodeKind, Plan, PullAccess, SessionProperties, Topology,
    plan,
};

impl Inner {
    pub(super) async fn explain(&self, explain: ExplainPlan, out: &Out) -> Result<(), Stop> {
        let lines = match explain {
            ExplainPlan::Plan(inner) => lines_of(&inner),
            ExplainPlan::Query(id) => self.explain_query(&id).await?,
        };
        let rows = send(out, "", vec![("PLAN", Cells::text(lines))]).await?;
        Ok(out.finish(rows).await?)
    }

    /// A running query is planned again from its text, as when it is resumed.
    async fn explain_query(&self, id: &str) -> Result<Vec<String>, Stop> {
        let known = self.known().await;
        let mut metastore = self.metastore(&known).await?;
        let row = known.queries.get(id).cloned();
        drop(known);
        let Some(row) = row else {
            return Ok(vec![format!("query {id} is not known")]);
        };
        row.plan_against(&mut metastore);
        let statement = parse_statement(&row.text);
        let planned =
            statement.and_then(|statement| plan(&statement.node, &metastore, &SessionProperties::new()));
        Ok(match planned {
            Ok(planned) => lines_of(&planned),
            Err(error) => vec![format!("it cannot be planned any more: {error}")],
        })
    }
}

fn lines_of(plan: &Plan) -> Vec<String> {
    match plan {
        Plan::CreateQuery(create) => topology(&create.query.topology),
        Plan::Push(push) => topology(&push.topology),
        Plan::Pull(pull) => {
            let access = match &pull.access {
                PullAccess::Keys(keys) => format!("lookup of {} keys in {}", keys.len(), pull.source.name),
                PullAccess::Scan => format!("scan of {}", pull.source.name),
            };
            let mut lines = vec![access];
            lines.extend(
                pull.filter
                    .as_ref()
                    .map(|filter| format!("  filter {}", filter.text())),
            );
            lines.push(format!("  project {}", named(&pull.columns)));
            lines.extend(pull.limit.map(|limit| format!("  limit {limit}")));
            lines
        }
        other => vec![
            format!("{other:?}")
                .split(['(', ' ', '{'])
                .next()
                .unwrap_or("")
                .to_owned(),
        ],
    }
}

fn topology(topology: &Topology) -> Vec<String> {
    let mut lines = Vec::new();
    for sub in &topology.sub_topologies {
        lines.push(format!("sub-topology {}, {} tasks", sub.id.0, sub.partitions));
        lines.extend(sub.nodes.iter().map(|node| format!("  {}", step(node))));
    }
    lines
}

fn step(node: &Node) -> String {
    match &node.kind {
        NodeKind::Source(source) => {
            let kept = source
                .store
                .as_ref()
                .map_or_else(String::new, |store| format!(", kept in {}", store.id));
            format!(
                "source {} (topic {}){kept}",
                source.source.name, source.source.topic
            )
        }
        NodeKind::RepartitionSource { from } => format!("from sub-topology {}", from.0),
        NodeKind::Filter { predicate } => format!("filter {}", predicate.text()),
        NodeKind::Project { columns } => format!("project {}", named(columns)),
        NodeKind::Rekey { keys, .. } => format!("rekey by {}", named(keys)),
        NodeKind::Aggregate(aggregate) => aggregation(aggregate),
        NodeKind::RepartitionSink { partitions } => format!("repartition over {partitions}"),
        NodeKind::Sink { sink } => format!("sink {} (topic {})", sink.name, sink.topic),
        NodeKind::Output => "output".to_owned(),
    }
}

fn aggregation(node: &AggregateNode) -> String {
    let calls: Vec<String> = node
        .aggregates
        .iter()
        .map(|call| {
            let argument = call.argument.as_ref().map_or("*", |argument| argument.text());
            format!("{:?}({argument}) AS {}", call.function, call.name)
        })
        .collect();
    let window = node.window.map_or_else(String::new, |w| {
        format!(
            ", tumbling {} ms, grace {} ms, retention {} ms",
            w.size_ms, w.grace_ms, w.retention_ms
        )
    });
    format!(
        "aggregate {}{window}, kept in {}",
        calls.join(", "),
        node.store.id
    )
}

fn named(columns: &[NamedExpr]) -> String {
    let one = |column: &NamedExpr| format!("{} AS {}", column.expr.text(), column.name);
    columns.iter().map(one).collect::<Vec<_>>().join(", ")
}
