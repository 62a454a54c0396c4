//! A query on its way into the shard: put where its checkpoint left it, or where it is to begin.

use super::{Runner, of_commit};
use crate::checkpoint;
use crate::error::ShardError;
use crate::query::{Parking, QuerySpec, QueryStart, RunningQuery, State};
use crate::streams::{StreamPosition, StreamsError};
use millstream_columns::RowError;
use millstream_model::{Offset, PartitionIndex, TimestampMs, TopicName};
use std::time::Instant;

/// Whether a query of this id has lived before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    First,
    /// In an earlier life of the shard.
    Resumed,
    /// In this one: it was parked and is tried again.
    Tried,
}

impl Runner {
    /// A new query. What an earlier one of its id left behind is removed.
    pub(super) async fn start(&mut self, spec: QuerySpec) -> Result<(), ShardError> {
        let (id, start) = (spec.id.clone(), spec.start.clone());
        let mut query = self.build(spec)?;
        if query.is_persistent() {
            self.open().await?;
            self.forget_leftovers(&id).await?;
        }
        self.bring(&mut query, &start, Life::First).await?;
        self.core.queries.push(query);
        self.watch();
        if let Err(error) = self.commit_start(&id).await {
            // Whoever asked is told that it does not run.
            self.core.queries.retain(|query| query.id != id);
            self.watch();
            return Err(error);
        }
        Ok(())
    }

    /// A query of an earlier life of the shard. What may pass does not keep it out: it is tried again.
    pub(super) async fn resume(&mut self, spec: QuerySpec) -> Result<(), ShardError> {
        let (id, start) = (spec.id.clone(), spec.start.clone());
        let mut query = self.build(spec)?;
        match self.bring(&mut query, &start, Life::Resumed).await {
            Ok(()) => {}
            Err(error) if parking(&error) == Parking::AWhile => {
                query.park(error.to_string(), Parking::AWhile);
            }
            Err(error) => return Err(error),
        }
        // Who is in a commit cannot make room.
        self.commit_ended().await;
        self.core.queries.push(query);
        self.admit(&id);
        self.watch();
        // A commit that fails is repeated: the query is in, and its start counts once one succeeds.
        match self.commit_start(&id).await {
            Err(ShardError::Stopped) => Err(ShardError::Stopped),
            _ => Ok(()),
        }
    }

    pub(super) fn build(&self, spec: QuerySpec) -> Result<RunningQuery, ShardError> {
        let failed = |reason: String| ShardError::Query { reason };
        if self.core.queries.iter().any(|query| query.id == spec.id) {
            return Err(failed(format!("query {} runs already", spec.id)));
        }
        RunningQuery::build(spec, &self.settings, &self.meters.metrics)
            .map_err(|error| failed(error.to_string()))
    }

    /// Where a query begins must not move when the process is killed before its first rows.
    async fn commit_start(&mut self, id: &str) -> Result<(), ShardError> {
        match self
            .core
            .queries
            .iter()
            .any(|query| query.id == id && query.dirty)
        {
            true => self.commit().await.map_err(of_commit),
            false => Ok(()),
        }
    }

    /// Puts a query where it goes on. It may end up parked for good: then its state does not fit.
    pub(super) async fn bring(
        &mut self,
        query: &mut RunningQuery,
        start: &QueryStart,
        life: Life,
    ) -> Result<(), ShardError> {
        let restored = life != Life::First && self.restore(query, life).await?;
        if query.state != State::Running {
            return Ok(());
        }
        let partitions: Vec<PartitionIndex> = query.inputs().map(|input| input.partition).collect();
        let name = query.topic.clone();
        let topic = self.streams.topic(&name).await?;
        let topic = topic.ok_or_else(|| StreamsError::UnknownTopic { topic: name.clone() })?;
        if topic.partitions as usize != partitions.len() {
            let reason = format!(
                "its topic '{name}' has {} partitions now, it was planned for {}: drop it and make it again",
                topic.partitions,
                partitions.len()
            );
            return Err(ShardError::Query { reason });
        }
        let was = query.topic_id.replace(topic.id);
        let made_again = was.is_some_and(|was| was != topic.id);
        let ends = self
            .streams
            .offsets(&name, &partitions, StreamPosition::Latest)
            .await?;
        if made_again {
            self.ends.forget(&name);
            let message = format!(
                "topic '{name}' was deleted and made again: reading the new one from its first record"
            );
            query.log(vec![RowError::new(TimestampMs::now(), message)]);
        }
        if made_again || !restored {
            let start = if made_again { &QueryStart::Earliest } else { start };
            let starts = self.first_offsets(&name, &partitions, &ends, start).await?;
            for (input, offset) in query.inputs_mut().zip(starts) {
                (input.fetched, input.position, input.committed) = (offset, offset, offset);
                input.settled = offset;
            }
            query.dirty = query.is_persistent();
        }
        let known: Vec<(PartitionIndex, Offset)> = partitions.into_iter().zip(ends).collect();
        self.ends.learn(&name, &known);
        Ok(())
    }

    /// Reads a query's checkpoint into it; says whether there was one. Of one that waited for room when the shard ended
    /// nothing is loaded: it waits on.
    async fn restore(&mut self, query: &mut RunningQuery, life: Life) -> Result<bool, ShardError> {
        query.loaded = false;
        let Some(tag) = self.stored_tag(&query.id).await? else {
            query.loaded = true;
            return Ok(false);
        };
        let waits = match life {
            Life::Resumed => self.stored_room(&query.id).await?,
            Life::First | Life::Tried => None,
        };
        let (mut state, mut lanes) = (Vec::new(), Vec::new());
        if waits.is_none() {
            state = self.stored(&checkpoint::state_prefix(&query.id)).await?;
            lanes = self.stored(&checkpoint::lane_prefix(&query.id)).await?;
        }
        match (self.core.restore(query, &tag, state, lanes), waits) {
            (Ok(()), None) => query.loaded = true,
            (Ok(()), Some(wanted)) => {
                let bytes_max = self.settings.state_bytes_max;
                let why = format!(
                    "there was no room for its state before the shard's last start; {bytes_max} bytes are allowed for all of the tenant's queries"
                );
                query.wait_for_room(wanted, why);
                query.retry.come_last(Instant::now());
            }
            // It is kept, parked, so that it can be seen and its state is not lost.
            (Err(error), _) => query.park(error.to_string(), Parking::Forever),
        }
        Ok(true)
    }

    /// What the state of a query would take that waited for room.
    async fn stored_room(&mut self, id: &str) -> Result<Option<usize>, ShardError> {
        let key = checkpoint::room_key(id);
        let notes = self.stored(&key).await?;
        // A scan by prefix also finds longer ids.
        let note = notes.into_iter().find(|(found, _)| *found == key);
        Ok(note.and_then(|(_, value)| checkpoint::room_wanted(&value)))
    }

    async fn stored_tag(&mut self, id: &str) -> Result<Option<bytes::Bytes>, ShardError> {
        let tags = self.stored(&checkpoint::tag_key(id)).await?;
        // A scan by prefix also finds longer ids.
        let tag = tags
            .into_iter()
            .find(|(key, _)| checkpoint::tag_query(key) == Some(id));
        Ok(tag.map(|(_, tag)| tag))
    }

    async fn forget_leftovers(&mut self, id: &str) -> Result<(), ShardError> {
        match self.stored_tag(id).await? {
            Some(_) => self.forget(id).await,
            None => Ok(()),
        }
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
}

/// Whether what failed may pass by itself.
pub(super) fn parking(error: &ShardError) -> Parking {
    match error {
        // A topic may be made again, a quota raised, a store come back, an object be put back.
        ShardError::Streams(_) | ShardError::State { .. } | ShardError::StateDamaged | ShardError::Busy => {
            Parking::AWhile
        }
        ShardError::UnknownQuery { .. }
        | ShardError::Query { .. }
        | ShardError::Parked { .. }
        | ShardError::Behind
        | ShardError::Damaged { .. }
        | ShardError::Stopped => Parking::Forever,
    }
}
