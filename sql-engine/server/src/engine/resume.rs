//! When an engine opens: rows are read, queries planned again from their text, and started in order.

use super::{Inner, Rows, of_catalog, of_shard};
use crate::answer::StatementError;
use crate::rows::{self, QueryRow, put_source};
use millstream_parser::{SqlError, parse_statement};
use millstream_planner::{Metastore, Plan, QueryFacts, QueryPlan, SessionProperties, plan};
use millstream_runtime::{QuerySpec, Shard, ShardError};

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
        let metastore = self.metastore(&known).await?;
        let shard = self.shard().await?;
        shard
            .remove_all_but(known.queries.keys().cloned().collect())
            .await
            .map_err(of_shard)?;
        for (row, planned) in planned_again(&known, metastore) {
            let outcome = match planned {
                Ok(query) => self.resume_query(&shard, &row, query).await?,
                Err(reason) => Err(reason),
            };
            let reads = match outcome {
                Ok(reads) => vec![reads],
                Err(reason) => {
                    tracing::error!(tenant = %self.tenant, query = %row.id, "query does not start: {reason}");
                    known.unplanned.insert(row.id.clone(), reason);
                    Vec::new()
                }
            };
            let facts = QueryFacts {
                id: row.id.clone(),
                reads,
                writes: row.sink,
            };
            known.facts.insert(row.id, facts);
        }
        self.show_unplanned(&known);
        Ok(())
    }

    /// Hands a query to the shard; the name of what it reads, or why it cannot run.
    async fn resume_query(
        &self,
        shard: &Shard,
        row: &QueryRow,
        query: QueryPlan,
    ) -> Result<Result<String, String>, StatementError> {
        let reads = query.reads.name.clone();
        let spec = QuerySpec {
            id: row.id.clone(),
            reads: query.reads,
            topology: query.topology,
            start: row.query_start(),
            push: None,
            options: row.options(),
        };
        match shard.resume(spec).await {
            Ok(()) => Ok(Ok(reads)),
            // The whole engine is opened again then.
            Err(error @ (ShardError::Stopped | ShardError::Busy)) => {
                shard.kill().await;
                *self.shard.lock().await = None;
                Err(of_shard(error))
            }
            Err(error) => Ok(Err(error.to_string())),
        }
    }
}

/// All queries in the order in which they were made, each planned as it was first: before the source that it makes,
/// and those that were made later.
fn planned_again(known: &Rows, mut metastore: Metastore) -> Vec<(QueryRow, Result<QueryPlan, String>)> {
    let mut order: Vec<&QueryRow> = known.queries.values().collect();
    order.sort_by_key(|row| (row.sequence, &row.id));
    for row in &order {
        metastore.remove_source(&row.sink);
    }
    let mut all = Vec::with_capacity(order.len());
    for row in order {
        row.plan_against(&mut metastore);
        all.push((row.clone(), replan(&row.text, &metastore)));
        if let Some(read) = row.reads.as_ref().and_then(|read| known.sources.get(&read.name)) {
            put_source(&mut metastore, read.source.clone());
        }
        if let Some(sink) = known.sources.get(&row.sink) {
            put_source(&mut metastore, sink.source.clone());
        }
    }
    all
}

/// The plan of a stored statement, or why there is none, in one line.
fn replan(text: &str, metastore: &Metastore) -> Result<QueryPlan, String> {
    let unplanned = |error: SqlError| {
        let error = error.with_text(text);
        format!(
            "its statement cannot be planned: {}: {}",
            error.position,
            error.headline()
        )
    };
    let statement = parse_statement(text).map_err(unplanned)?;
    match plan(&statement.node, metastore, &SessionProperties::new()) {
        Ok(Plan::CreateQuery(create)) => Ok(create.query),
        Ok(_) => Err("its statement makes no query any more".to_owned()),
        Err(error) => Err(unplanned(error)),
    }
}
