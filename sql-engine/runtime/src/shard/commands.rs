//! What a shard is asked to do between two turns: start, remove, read, report.

use super::{Command, Ending, Runner, of_commit};
use crate::checkpoint;
use crate::handle::{PullRequest, PulledRows, ShardError};
use crate::query::{End, PushEnd, PushItem, RunningQuery, State};
use millstream_operators::PullRows;
use millstream_state::Change;

impl Runner {
    /// Takes one command; gives back whom to tell of a stop.
    pub(super) async fn obey(&mut self, command: Command) -> Option<Ending> {
        match command {
            Command::Start { spec, reply } => {
                let outcome = self.start(*spec).await;
                self.publish();
                let _ = reply.send(outcome);
            }
            Command::Resume { spec, reply } => {
                let outcome = self.resume(*spec).await;
                self.publish();
                let _ = reply.send(outcome);
            }
            Command::Remove { id, reply } => {
                let outcome = self.remove(&id).await;
                self.publish();
                let _ = reply.send(outcome);
            }
            Command::Retain { ids, reply } => {
                let outcome = self.retain(&ids).await;
                let _ = reply.send(outcome);
            }
            read @ (Command::Pull { .. } | Command::Report { .. }) => {
                self.answer_read(read);
            }
            Command::Commit { reply } => {
                let _ = reply.send(self.commit().await.map_err(of_commit));
            }
            Command::Stop { reply } => return Some(Ending::Stop(reply)),
            Command::StopIfIdle { idle, reply } if self.core.queries.is_empty() => {
                return Some(Ending::Idle(idle, reply));
            }
            Command::StopIfIdle { reply, .. } => {
                let _ = reply.send(Ok(false));
            }
        }
        None
    }

    /// Answers a question that changes nothing; gives back any other command.
    pub(super) fn answer_read(&mut self, command: Command) -> Option<Command> {
        match command {
            Command::Pull { request, reply } => {
                let _ = reply.send(self.pull(&request));
            }
            Command::Report { reply } => {
                let _ = reply.send(self.core.queries.iter().map(RunningQuery::report).collect());
            }
            other => return Some(other),
        }
        None
    }

    async fn remove(&mut self, id: &str) -> Result<(), ShardError> {
        let unknown = || ShardError::UnknownQuery { id: id.to_owned() };
        let at = self.core.queries.iter().position(|query| query.id == id);
        if let Some(at) = at.filter(|at| !self.core.queries[*at].is_persistent()) {
            let query = self.core.queries.remove(at);
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
        self.core.queries.retain(|query| query.id != id);
        self.watch();
        self.core.drop_results(id);
        self.forget(id).await?;
        at.map(|_| ()).ok_or_else(unknown)
    }

    /// Removes what is stored of a query.
    pub(super) async fn forget(&mut self, id: &str) -> Result<(), ShardError> {
        let mut gone = vec![checkpoint::tag_key(id)];
        for prefix in [checkpoint::state_prefix(id), checkpoint::lane_prefix(id)] {
            let rows = self.stored(&prefix).await?;
            gone.extend(rows.into_iter().map(|(key, _)| key.to_vec()));
        }
        let removal = |key| Change { key, value: None };
        self.core.forget(gone.into_iter().map(removal));
        self.commit().await.map_err(of_commit)
    }

    async fn retain(&mut self, ids: &[String]) -> Result<(), ShardError> {
        let tags = self.stored(checkpoint::TAGS).await?;
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
        if self.core.commits.number() < request.commit_min {
            return Err(ShardError::Behind {
                commit: self.core.commits.number(),
                wanted: request.commit_min,
            });
        }
        let commit = self.core.commits.number();
        let unknown = || ShardError::UnknownQuery {
            id: request.query.clone(),
        };
        let query = self
            .core
            .queries
            .iter_mut()
            .find(|query| query.id == request.query)
            .ok_or_else(unknown)?;
        if let (false, State::Parked { reason }) = (query.loaded, &query.state) {
            return Err(ShardError::State {
                reason: format!("query {} is parked: {reason}", request.query),
            });
        }
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
        Ok(PulledRows { parts, commit })
    }
}
