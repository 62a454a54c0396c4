//! What a shard is asked to do between two turns: start, remove, read, report.

use super::{Command, Ending, Runner, of_commit};
use crate::checkpoint;
use crate::error::ShardError;
use crate::query::{End, PushEnd, PushItem, RunningQuery};
use millstream_state::StateWrite;

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
            Command::Leave { id, reply } => {
                self.leave(&id);
                let _ = reply.send(());
            }
            Command::RemoveAllBut { ids, reply } => {
                let outcome = self.remove_all_but(&ids).await;
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
                let _ = reply.send(self.core.pull(&request));
            }
            Command::Report { reply } => {
                let _ = reply.send(self.reports());
            }
            other => return Some(other),
        }
        None
    }

    /// Ends a push query. One that has ended by itself is no error: nothing of it is stored.
    fn leave(&mut self, id: &str) {
        let is_push = |query: &RunningQuery| query.id == id && !query.is_persistent();
        if let Some(at) = self.core.queries.iter().position(is_push) {
            let query = self.core.queries.remove(at);
            if let End::Push { sink, .. } = &query.end {
                let _ = sink.sender.try_send(PushItem::End(PushEnd::Stopped));
            }
            self.watch();
        }
    }

    async fn remove(&mut self, id: &str) -> Result<(), ShardError> {
        let unknown = || ShardError::UnknownQuery { id: id.to_owned() };
        let at = self.core.queries.iter().position(|query| query.id == id);
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

    /// Removes what is stored of a query. What a damaged object hides stays behind its removed tag: no query gets that id
    /// again, so it takes room and does nothing else.
    pub(super) async fn forget(&mut self, id: &str) -> Result<(), ShardError> {
        let mut gone = vec![checkpoint::tag_key(id), checkpoint::room_key(id)];
        for prefix in [checkpoint::state_prefix(id), checkpoint::lane_prefix(id)] {
            match self.stored(&prefix).await {
                Ok(rows) => gone.extend(rows.into_iter().map(|(key, _)| key.to_vec())),
                Err(ShardError::StateDamaged) => {
                    tracing::warn!(query = id, "its state is damaged and stays in the object store");
                }
                Err(error) => return Err(error),
            }
        }
        let removal = |key| StateWrite { key, value: None };
        self.core.forget(gone.into_iter().map(removal));
        self.commit().await.map_err(of_commit)
    }

    async fn remove_all_but(&mut self, ids: &[String]) -> Result<(), ShardError> {
        let tags = match self.stored(checkpoint::TAGS).await {
            // Each query finds out by itself whether its own tag is lost.
            Err(ShardError::StateDamaged) => return Ok(()),
            tags => tags?,
        };
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
}
