//! The commit of a shard: results first, then state and input offsets in one durable batch, then what is visible.

use crate::checkpoint;
use crate::query::{End, Parking, RunningQuery, TaskInput};
use crate::sink::Pending;
use crate::streams::{RefusedRecord, Streams, StreamsError};
use futures::future::join_all;
use millstream_model::{Retry, TopicName};
use millstream_state::{Cold, ColdError};

/// Results that were taken from a sink and are not acknowledged yet.
#[derive(Debug, Default)]
pub(crate) struct Unwritten {
    /// By query.
    pub(crate) records: Vec<(String, TopicName, Pending)>,
}

/// Why a commit did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommitError {
    /// The same commit may succeed later.
    #[error("{0}")]
    Later(String),
    /// This process no longer owns the shard.
    #[error("another process has taken over this shard")]
    Fenced,
}

/// What became of results. Neither: all are acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Queries whose results are refused, and why.
    pub(crate) refused: Vec<(String, String)>,
    /// Why some results must be written later: nothing may be committed before.
    pub(crate) later: Option<String>,
    /// Results that their topic does not take as they are: by query, to be told as its failed rows.
    pub(crate) skipped: Vec<(String, Vec<RefusedRecord>)>,
}

/// Takes what waits in the sinks and writes it; what could not be written stays in `unwritten`.
pub(crate) async fn write_results<'a>(
    streams: &dyn Streams,
    queries: impl Iterator<Item = &'a mut RunningQuery>,
    unwritten: &mut Unwritten,
) -> Written {
    for query in queries {
        if let End::Sink(sink) = &mut query.end
            && sink.waiting() > 0
        {
            query.rows_out += sink.waiting() as u64;
            query.metrics.rows_out.inc_by(sink.waiting() as u64);
            unwritten
                .records
                .push((query.id.clone(), sink.topic().clone(), sink.drain()));
        }
    }
    let writes = unwritten
        .records
        .iter()
        .map(|(_, topic, records)| streams.produce(topic, records.clone()));
    let outcomes = join_all(writes).await;
    let mut written = Written::default();
    let mut outcomes = outcomes.into_iter();
    unwritten.records.retain(|(query, ..)| match outcomes.next() {
        Some(Err(error)) => keep_for_later(query, error, &mut written),
        Some(Ok(refused)) => {
            if !refused.is_empty() {
                written.skipped.push((query.clone(), refused));
            }
            false
        }
        None => false,
    });
    written
}

fn keep_for_later(query: &str, error: StreamsError, written: &mut Written) -> bool {
    if error.retry().1 == Retry::Never {
        written.refused.push((query.to_owned(), error.to_string()));
        return false;
    }
    written.later = Some(error.to_string());
    true
}

/// Makes what the queries changed durable, and visible; answers with the number of the commit that has it, which is
/// one more than the last if anything changed.
pub(crate) async fn checkpoint(
    cold: &Cold,
    queries: &mut [RunningQuery],
    commits: u64,
) -> Result<u64, CommitError> {
    let mut changes = Vec::new();
    for query in queries
        .iter_mut()
        .filter(|query| query.is_persistent() && query.dirty)
    {
        match checkpoint::changes(query) {
            Ok(more) => changes.extend(more),
            Err(error) => query.park(format!("its state cannot be written: {error}"), Parking::ForGood),
        }
    }
    let mut number = commits;
    if !changes.is_empty() {
        number += 1;
        changes.push(checkpoint::counted(number));
    }
    match cold.checkpoint(changes).await {
        Ok(()) => {}
        Err(ColdError::Fenced) => return Err(CommitError::Fenced),
        Err(error) => return Err(CommitError::Later(error.to_string())),
    }
    for query in queries.iter_mut().filter(|query| query.dirty) {
        for task in query.stages.iter_mut().flat_map(|stage| &mut stage.tasks) {
            task.pipeline.fold();
            if let TaskInput::Inbox(inbox) = &mut task.input {
                inbox.mark_stored();
            }
        }
        for input in query.inputs_mut() {
            input.committed = input.position;
        }
        query.settle();
        query.dirty = false;
        query.retry.recovered();
        query.uncommitted_rows = 0;
        let rows = query.rows_in;
        query.rate.sample(rows);
    }
    Ok(number)
}
