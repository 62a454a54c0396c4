//! When an engine opens: rows are read, queries planned again from their text, and started in order.

use super::{Inner, of_catalog, of_shard};
use crate::answer::StatementError;
use crate::rows;
use millstream_model::Retry;
use millstream_parser::parse_statement;
use millstream_planner::{Metastore, Plan, QueryFacts, QueryPlan, SessionProperties, plan};
use millstream_runtime::{QuerySpec, QueryStart};
use std::collections::BTreeSet;

impl Inner {
    pub(super) async fn resume(&self) -> Result<(), StatementError> {
        let stored = self.backend.catalog.load().await.map_err(of_catalog)?;
        let mut known = self.known().await;
        known.version = stored.version;
        for row in &stored.rows {
            known.add(rows::read(row).map_err(StatementError::internal)?);
        }
        if known.queries.is_empty() {
            return Ok(());
        }
        let shard = self.shard().await?;
        shard
            .retain(known.queries.keys().cloned().collect())
            .await
            .map_err(of_shard)?;
        let mut order: Vec<(u64, String)> = known
            .queries
            .values()
            .map(|row| (row.sequence, row.id.clone()))
            .collect();
        order.sort();
        // A query is planned as it was first: before the source that it makes, and those that were made later.
        let mut metastore = self.metastore(&known).await?;
        let made: BTreeSet<&String> = known.queries.values().map(|row| &row.sink).collect();
        for sink in &made {
            metastore.remove_source(sink);
        }
        let mut failed = Vec::new();
        for (_, id) in order {
            let Some(row) = known.queries.get(&id) else {
                continue;
            };
            let planned = replan(&row.text, &metastore);
            if let Some(sink) = known.sources.get(&row.sink) {
                metastore.put_source(sink.source.clone());
            }
            let start = if row.start == "earliest" {
                QueryStart::Earliest
            } else {
                QueryStart::Latest
            };
            let outcome = match planned {
                Ok(query) => {
                    let facts = QueryFacts {
                        id: id.clone(),
                        reads: vec![query.reads.name.clone()],
                        writes: query.sink.name.clone(),
                    };
                    let (reads, topology) = (query.reads, query.topology);
                    let spec = QuerySpec {
                        id: id.clone(),
                        reads,
                        topology,
                        start,
                        push: None,
                    };
                    match shard.start(spec).await.map_err(of_shard) {
                        Ok(()) => Ok(facts),
                        // What is away now may be back soon: the whole engine is opened again then.
                        Err(error) if error.fault().1 == Retry::Later => {
                            shard.kill();
                            *self.shard.lock().await = None;
                            return Err(error);
                        }
                        Err(error) => Err((facts, error.message)),
                    }
                }
                Err(reason) => {
                    let facts = QueryFacts {
                        id: id.clone(),
                        reads: Vec::new(),
                        writes: row.sink.clone(),
                    };
                    Err((facts, reason))
                }
            };
            failed.push((id, outcome));
        }
        for (id, outcome) in failed {
            let facts = match outcome {
                Ok(facts) => facts,
                Err((facts, reason)) => {
                    tracing::error!(tenant = %self.tenant, query = %id, "query does not start: {reason}");
                    known.unplanned.insert(id.clone(), reason);
                    facts
                }
            };
            known.facts.insert(id, facts);
        }
        Ok(())
    }
}

/// The plan of a stored statement.
fn replan(text: &str, metastore: &Metastore) -> Result<QueryPlan, String> {
    let statement = parse_statement(text).map_err(|e| e.to_string())?;
    match plan(&statement.node, metastore, &SessionProperties::new()) {
        Ok(Plan::CreateQuery(create)) => Ok(create.query),
        Ok(_) => Err("its statement makes no query any more".to_owned()),
        Err(error) => Err(error.with_text(text).to_string()),
    }
}
