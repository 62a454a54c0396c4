//! DROP and TERMINATE: rows first, so that a crash leaves nothing that would start again.

use super::create::word;
use super::{Inner, Out, Rows, Stop, of_shard, of_streams, topic_name};
use crate::answer::StatementError;
use crate::catalog::{SqlChange, SqlRowKind};
use millstream_planner::DropPlan;
use millstream_runtime::{ShardError, StreamsError};

impl Inner {
    pub(super) async fn drop_source(&self, known: &mut Rows, drop: DropPlan, out: &Out) -> Result<(), Stop> {
        let name = drop.source.name.clone();
        let mut changes = vec![SqlChange::Delete {
            kind: SqlRowKind::Source,
            name: name.clone(),
        }];
        changes.extend(deletes(&drop.terminates));
        let version = self.commit_rows(known, changes).await?;
        known.sources.remove(&name);
        self.end(known, &drop.terminates).await?;
        if drop.delete_topic {
            match self
                .backend
                .streams
                .delete_topic(&topic_name(&drop.source.topic)?)
                .await
            {
                Ok(()) | Err(StreamsError::UnknownTopic { .. }) => {}
                Err(error) => return Err(of_streams(error).into()),
            }
        }
        out.say(format!("{} {name} dropped.", word(drop.source.kind)), version)
            .await?;
        Ok(out.finish(0).await?)
    }

    pub(super) async fn terminate(&self, known: &mut Rows, ids: Vec<String>, out: &Out) -> Result<(), Stop> {
        let mut version = 0;
        if !ids.is_empty() {
            version = self.commit_rows(known, deletes(&ids)).await?;
        }
        self.end(known, &ids).await?;
        let text = match ids.as_slice() {
            [] => "No query runs.".to_owned(),
            [one] => format!("Query {one} terminated."),
            many => format!("Queries {} terminated.", many.join(", ")),
        };
        out.say(text, version).await?;
        Ok(out.finish(0).await?)
    }

    /// Ends queries whose rows are gone. State that cannot be removed now is removed when the engine opens again.
    async fn end(&self, known: &mut Rows, ids: &[String]) -> Result<(), StatementError> {
        for id in ids {
            known.queries.remove(id);
            known.facts.remove(id);
            known.unplanned.remove(id);
        }
        self.show_unplanned(known);
        let mut outcome = Ok(());
        for id in ids {
            match self.shard().await?.remove(id).await {
                Ok(()) | Err(ShardError::UnknownQuery { .. }) => {}
                Err(error) => outcome = Err(of_shard(error)),
            }
        }
        if !ids.is_empty() {
            self.close_if_idle().await;
        }
        outcome
    }
}

fn deletes(ids: &[String]) -> Vec<SqlChange> {
    ids.iter()
        .map(|id| SqlChange::Delete {
            kind: SqlRowKind::Query,
            name: id.clone(),
        })
        .collect()
}
