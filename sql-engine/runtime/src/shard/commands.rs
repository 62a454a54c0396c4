//! What a shard is asked to do between two turns: start, remove, read, report.

use super::{Command, Reply, Runner, of_commit};
use crate::checkpoint;
use crate::handle::{PullRequest, PulledRows, ShardError};
use crate::query::{End, PushEnd, PushItem, QuerySpec, QueryStart, RunningQuery};
use crate::streams::StreamPosition;
use millstream_model::{Offset, PartitionIndex, TopicName};
use millstream_operators::PullRows;
use millstream_state::Change;

impl Runner {
    /// Takes one command; gives back the reply of a stop.
    pub(super) async fn obey(&mut self, command: Command) -> Option<Reply<()>> {
        match command {
            Command::Start { spec, reply } => {
                let outcome = self.start(*spec).await;
                let _ = reply.send(outcome);
            }
            Command::Remove { id, reply } => {
                let outcome = self.remove(&id).await;
                let _ = reply.send(outcome);
            }
            Command::Retain { ids, reply } => {
                let outcome = self.retain(&ids).await;
                let _ = reply.send(outcome);
            }
            Command::Pull { request, reply } => {
                let outcome = self.pull(&request);
                let _ = reply.send(outcome);
            }
            Command::Report { reply } => {
                let _ = reply.send(self.queries.iter().map(RunningQuery::report).collect());
            }
            Command::Commit { reply } => {
                let _ = reply.send(self.commit().await.map_err(of_commit));
            }
            Command::Stop { reply } => return Some(reply),
        }
        None
    }

    async fn start(&mut self, spec: QuerySpec) -> Result<(), ShardError> {
        let failed = |reason: String| ShardError::Query { reason };
        if self.queries.iter().any(|query| query.id == spec.id) {
            return Err(failed(format!("query {} runs already", spec.id)));
        }
        let start = spec.start.clone();
        let mut query =
            RunningQuery::build(spec, self.settings.coalesce).map_err(|error| failed(error.to_string()))?;
        let partitions: Vec<PartitionIndex> = query.inputs().map(|input| input.partition).collect();
        let topic = query.topic.clone();
        let tag = match query.is_persistent() {
            true => self.cold.scan(&checkpoint::tag_key(&query.id)).await?,
            false => Vec::new(),
        };
        // A scan by prefix also finds longer ids.
        let tag = tag
            .into_iter()
            .find(|(key, _)| checkpoint::tag_query(key) == Some(query.id.as_str()));
        let ends = self
            .streams
            .offsets(&topic, &partitions, StreamPosition::Latest)
            .await?;
        if let Some((_, tag)) = tag {
            let state = self.cold.scan(&checkpoint::state_prefix(&query.id)).await?;
            let lanes = self.cold.scan(&checkpoint::lane_prefix(&query.id)).await?;
            if let Err(error) = checkpoint::restore(&mut query, &tag, state, lanes) {
                // It is kept, parked, so that it can be seen and its state is not lost.
                query.park(error.to_string());
            }
        } else {
            let starts = self.first_offsets(&topic, &partitions, &ends, &start).await?;
            for (input, offset) in query.inputs_mut().zip(starts) {
                (input.fetched, input.position, input.committed) = (offset, offset, offset);
                input.settled = offset;
            }
            query.dirty = query.is_persistent();
        }
        let known: Vec<(PartitionIndex, Offset)> = partitions.into_iter().zip(ends).collect();
        self.ends.learn(&topic, &known);
        let must_commit = query.dirty;
        self.queries.push(query);
        self.watch();
        if must_commit {
            // Where a query begins must not move when the process is killed before its first rows.
            self.commit().await.map_err(of_commit)?;
        }
        Ok(())
    }

    async fn first_offsets(
        &self,
        topic: &TopicName,
        partitions: &[PartitionIndex],
        ends: &[Offset],
        start: &QueryStart,
    ) -> Result<Vec<Offset>, ShardError> {
        if *start == QueryStart::Latest {
            return Ok(ends.to_vec());
        }
        let mut offsets = self
            .streams
            .offsets(topic, partitions, StreamPosition::Earliest)
            .await?;
        if let QueryStart::At(at) = start {
            for ((offset, partition), end) in offsets.iter_mut().zip(partitions).zip(ends) {
                if let Some(wanted) = at.get(&partition.0) {
                    *offset = (*wanted).clamp(*offset, (*end).max(*offset));
                }
            }
        }
        Ok(offsets)
    }

    async fn remove(&mut self, id: &str) -> Result<(), ShardError> {
        let unknown = || ShardError::UnknownQuery { id: id.to_owned() };
        let at = self.queries.iter().position(|query| query.id == id);
        if let Some(at) = at.filter(|at| !self.queries[*at].is_persistent()) {
            let query = self.queries.remove(at);
            if let End::Push { sink, .. } = &query.end {
                let _ = sink.sender.try_send(PushItem::End(PushEnd::Stopped));
            }
            self.watch();
            return Ok(());
        }
        // What the query has done so far is kept in its topic, if that can be written now.
        if at.is_some()
            && let Err(error) = self.commit().await
        {
            tracing::warn!(query = %id, "its last results are not written: {error}");
        }
        self.queries.retain(|query| query.id != id);
        self.watch();
        self.unwritten.records.retain(|(query, ..)| query != id);
        self.forget(id).await?;
        at.map(|_| ()).ok_or_else(unknown)
    }

    async fn forget(&mut self, id: &str) -> Result<(), ShardError> {
        let mut changes = vec![Change {
            key: checkpoint::tag_key(id),
            value: None,
        }];
        for prefix in [checkpoint::state_prefix(id), checkpoint::lane_prefix(id)] {
            let rows = self.cold.scan(&prefix).await?;
            changes.extend(rows.into_iter().map(|(key, _)| Change {
                key: key.to_vec(),
                value: None,
            }));
        }
        Ok(self.cold.checkpoint(changes).await?)
    }

    async fn retain(&mut self, ids: &[String]) -> Result<(), ShardError> {
        let tags = self.cold.scan(checkpoint::TAGS).await?;
        let stored = tags.iter().filter_map(|(key, _)| checkpoint::tag_query(key));
        let gone: Vec<String> = stored
            .filter(|id| !ids.iter().any(|kept| kept == id))
            .map(str::to_owned)
            .collect();
        for id in gone {
            self.forget(&id).await?;
        }
        Ok(())
    }

    fn pull(&mut self, request: &PullRequest) -> Result<PulledRows, ShardError> {
        let unknown = || ShardError::UnknownQuery {
            id: request.query.clone(),
        };
        let query = self
            .queries
            .iter_mut()
            .find(|query| query.id == request.query)
            .ok_or_else(unknown)?;
        let wanted = PullRows {
            keys: request.keys.as_deref(),
            windows: request.windows,
        };
        let mut parts = Vec::new();
        let last = query.stages.last_mut().ok_or_else(unknown)?;
        for task in &mut last.tasks {
            let pulled = task.pipeline.pull(wanted).map_err(|e| ShardError::Query {
                reason: e.to_string(),
            })?;
            let batch = pulled.ok_or_else(|| ShardError::Query {
                reason: format!("query {} keeps no table", request.query),
            })?;
            if !batch.is_empty() {
                parts.push((batch.rows, batch.times));
            }
        }
        Ok(PulledRows {
            parts,
            commit: self.commits,
        })
    }
}
