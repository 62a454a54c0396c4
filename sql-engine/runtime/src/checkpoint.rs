//! What a commit holds of a query, as keys and values of the shard's database.
//!
//! ```text
//!   t 0                                           up to where the changelog is in it (`state`)
//!   w 0                                           who writes results    e 0 topic 0 partition    how far they count (`reach`)
//!   q 0 id                                        tag, JSON: input offsets, stream times, clocks, store hashes
//!   s 0 id 0 store 0 task window key              value of a store    (task u32 BE; window i64 BE, sign flipped)
//!   r 0 id                                        it waits for room: what its state would take, bytes, u64 BE
//!   l 0 id 0 stage task writer                    rows that wait behind a repartition, Arrow IPC  (u32 BE each)
//! ```

use crate::planted::PlantedCore;
use crate::query::{RunningQuery, TaskInput};
use arrow::array::{ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use millstream_model::Offset;
use millstream_operators::{Batch, Corrupt, RowChange, StateKey};
use millstream_state::StateWrite;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

const VERSION: u8 = 1;

/// Why a checkpoint cannot be read into a query.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RestoreError {
    /// The plan keeps other state than the one stored.
    #[error(
        "the stored state does not fit this query: store {store} holds {stored}, the query needs {needed}"
    )]
    Incompatible {
        store: String,
        stored: String,
        needed: String,
    },
    /// Written by a version that this one does not know.
    #[error("the stored state has version {0}, this program reads {VERSION}")]
    Version(u8),
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    #[error("stored state is damaged: {0}")]
    Arrow(#[from] ArrowError),
}

const fn corrupt(what: &'static str) -> RestoreError {
    RestoreError::Corrupt(Corrupt { what })
}

/// The part of a checkpoint that is not keyed.
#[derive(Debug, Serialize, Deserialize)]
struct Tag {
    version: u8,
    /// The id of the topic that the offsets belong to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    /// The next offset of each partition.
    positions: Vec<i64>,
    /// Per stage and task.
    tasks: Vec<Vec<TaskTag>>,
    stores: Vec<StoreTag>,
}

#[derive(Debug, Serialize, Deserialize)]
struct TaskTag {
    /// Stream times of its stateful operators.
    times: Vec<i64>,
    clock: i64,
}

#[derive(Debug, Serialize, Deserialize)]
struct StoreTag {
    id: String,
    hash: u64,
    facts: String,
}

/// Where all tags begin.
pub(crate) const TAGS: &[u8] = b"q\0";

/// The query that a tag's key names.
pub(crate) fn tag_query(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.strip_prefix(TAGS)?).ok()
}

pub(crate) fn tag_key(query: &str) -> Vec<u8> {
    [TAGS, query.as_bytes()].concat()
}

/// Where it is noted that a query waits for room.
pub(crate) fn room_key(query: &str) -> Vec<u8> {
    [b"r\0", query.as_bytes()].concat()
}

pub(crate) fn room_value(wanted: usize) -> Vec<u8> {
    (wanted as u64).to_be_bytes().to_vec()
}

/// What a noted query's state would take.
pub(crate) fn room_wanted(value: &[u8]) -> Option<usize> {
    usize::try_from(u64::from_be_bytes(value.try_into().ok()?)).ok()
}

pub(crate) fn state_prefix(query: &str) -> Vec<u8> {
    [b"s\0", query.as_bytes(), b"\0"].concat()
}

pub(crate) fn lane_prefix(query: &str) -> Vec<u8> {
    [b"l\0", query.as_bytes(), b"\0"].concat()
}

fn number(value: usize) -> [u8; 4] {
    u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes()
}

fn state_key(query: &str, store: &str, task: usize, key: &StateKey) -> Vec<u8> {
    let window = (key.window ^ i64::MIN).to_be_bytes();
    let parts: [&[u8]; 6] = [
        &state_prefix(query),
        store.as_bytes(),
        b"\0",
        &number(task),
        &window,
        &key.key,
    ];
    parts.concat()
}

/// What must be written so that the query can go on from here.
pub(crate) fn changes(query: &RunningQuery) -> Result<Vec<StateWrite>, ArrowError> {
    let mut changes = Vec::new();
    let mut tasks = Vec::new();
    for (index, stage) in query.stages.iter().enumerate() {
        let mut tags = Vec::new();
        for (number_of_task, task) in stage.tasks.iter().enumerate() {
            tags.push(TaskTag {
                times: task.pipeline.stream_times(),
                clock: task.clock,
            });
            changes.extend(task.pipeline.changes().into_iter().map(|change| StateWrite {
                key: state_key(&query.id, &change.store, number_of_task, &change.key),
                value: change.value,
            }));
            if let TaskInput::Inbox(inbox) = &task.input {
                for writer in (0..query.stages[index - 1].tasks.len()).filter(|w| inbox.needs_writing(*w)) {
                    let place = [number(index), number(number_of_task), number(writer)].concat();
                    let key = [lane_prefix(&query.id), place].concat();
                    changes.push(StateWrite {
                        key,
                        value: lane_bytes(&inbox.lane(writer))?,
                    });
                }
            }
        }
        tasks.push(tags);
    }
    let store = |(id, hash, facts): &(String, u64, String)| StoreTag {
        id: id.clone(),
        hash: *hash,
        facts: facts.clone(),
    };
    let tag = Tag {
        version: VERSION,
        topic: query.topic_id.map(|id| id.to_string()),
        positions: query.inputs().map(|input| input.position.0).collect(),
        tasks,
        stores: query.stores.iter().map(store).collect(),
    };
    let value = serde_json::to_vec(&tag).map_err(|e| ArrowError::JsonError(e.to_string()))?;
    changes.push(StateWrite {
        key: tag_key(&query.id),
        value: Some(value),
    });
    Ok(changes)
}

/// Puts a query where its last checkpoint left it.
pub(crate) fn restore(
    query: &mut RunningQuery,
    tag: &[u8],
    state: Vec<(Bytes, Bytes)>,
    lanes: Vec<(Bytes, Bytes)>,
    planted: PlantedCore,
) -> Result<(), RestoreError> {
    let tag: Tag = serde_json::from_slice(tag).map_err(|_| corrupt("tag"))?;
    if tag.version != VERSION {
        return Err(RestoreError::Version(tag.version));
    }
    for stored in &tag.stores {
        let needed = query.stores.iter().find(|(id, _, _)| *id == stored.id);
        if needed.is_none_or(|(_, hash, _)| *hash != stored.hash) {
            return Err(RestoreError::Incompatible {
                store: stored.id.clone(),
                stored: stored.facts.clone(),
                needed: needed.map_or_else(|| "no such store".to_owned(), |(_, _, facts)| facts.clone()),
            });
        }
    }
    query.topic_id = match &tag.topic {
        Some(id) => Some(id.parse().map_err(|_| corrupt("topic id"))?),
        None => None,
    };
    for (input, position) in query.inputs_mut().zip(&tag.positions) {
        let position = Offset(*position);
        (input.position, input.fetched, input.committed) = (position, position, position);
        // What waits behind a repartition has not had its effect: at least one record is told as lag.
        input.settled = Offset((position.0 - 1).max(0));
    }
    for (stage, tags) in query.stages.iter_mut().zip(&tag.tasks) {
        for (task, tag) in stage.tasks.iter_mut().zip(tags) {
            task.clock = tag.clock;
            if !planted.stream_time_not_restored {
                task.pipeline.restore_times(&tag.times);
            }
        }
    }
    let prefix = state_prefix(&query.id).len();
    for (key, value) in state {
        load(query, &key[prefix..], &value)?;
    }
    let prefix = lane_prefix(&query.id).len();
    for (key, value) in lanes {
        let mut place = key[prefix..]
            .as_chunks::<4>()
            .0
            .iter()
            .map(|word| u32::from_be_bytes(*word) as usize);
        let (Some(stage), Some(task), Some(writer)) = (place.next(), place.next(), place.next()) else {
            return Err(corrupt("key of waiting rows"));
        };
        let reader = query
            .stages
            .get_mut(stage)
            .and_then(|stage| stage.tasks.get_mut(task));
        let Some(TaskInput::Inbox(inbox)) = reader.map(|task| &mut task.input) else {
            return Err(corrupt("key of waiting rows"));
        };
        let (batch, clocks) = lane_rows(&value)?;
        inbox.push(writer, batch, clocks);
        inbox.mark_stored();
    }
    query.settle();
    Ok(())
}

fn load(query: &mut RunningQuery, key: &[u8], value: &[u8]) -> Result<(), RestoreError> {
    let at = key
        .iter()
        .position(|byte| *byte == 0)
        .ok_or(corrupt("state key"))?;
    let store = std::str::from_utf8(&key[..at]).map_err(|_| corrupt("state key"))?;
    let (task, rest) = key[at + 1..]
        .split_first_chunk::<4>()
        .ok_or(corrupt("state key"))?;
    let (window, rest) = rest.split_first_chunk::<8>().ok_or(corrupt("state key"))?;
    let task = u32::from_be_bytes(*task) as usize;
    let key = StateKey {
        key: rest.into(),
        window: i64::from_be_bytes(*window) ^ i64::MIN,
    };
    // Store ids are unique in a query, so only one stage takes it.
    let mut found = Err(corrupt("store id"));
    for stage in &mut query.stages {
        if let Some(task) = stage.tasks.get_mut(task)
            && task.pipeline.load(store, key.clone(), value).is_ok()
        {
            found = Ok(());
        }
    }
    found
}

/// Rows with their times, clocks and changes as one IPC stream; `None` when there are none.
fn lane_bytes(batches: &[(Batch, Vec<i64>)]) -> Result<Option<Vec<u8>>, ArrowError> {
    let Some((first, _)) = batches.first() else {
        return Ok(None);
    };
    let mut fields: Vec<Arc<Field>> = first.rows.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("\0time", DataType::Int64, false)));
    fields.push(Arc::new(Field::new("\0clock", DataType::Int64, false)));
    fields.push(Arc::new(Field::new("\0change", DataType::Int32, false)));
    let schema = Arc::new(Schema::new(fields));
    let mut all = Vec::with_capacity(batches.len());
    for (batch, clocks) in batches {
        let mut columns: Vec<ArrayRef> = batch.rows.columns().to_vec();
        columns.push(Arc::new(Int64Array::from(batch.times.clone())));
        columns.push(Arc::new(Int64Array::from(clocks.clone())));
        let changes = (0..batch.len()).map(|row| match batch.change(row) {
            RowChange::Insert => 0,
            RowChange::UpdateBefore => 1,
            RowChange::UpdateAfter => 2,
            RowChange::Delete => 3,
        });
        columns.push(Arc::new(Int32Array::from_iter_values(changes)));
        all.push(RecordBatch::try_new(schema.clone(), columns)?);
    }
    let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
    writer.write(&concat_batches(&schema, &all)?)?;
    Ok(Some(writer.into_inner()?))
}

fn lane_rows(bytes: &[u8]) -> Result<(Batch, Vec<i64>), RestoreError> {
    let mut reader = StreamReader::try_new(bytes, None)?;
    let rows = reader.next().ok_or(corrupt("waiting rows"))??;
    let width = rows.num_columns().checked_sub(3).ok_or(corrupt("waiting rows"))?;
    let numbers = |column: usize| {
        rows.column(column)
            .as_primitive_opt::<Int64Type>()
            .ok_or(corrupt("waiting rows"))
    };
    let (times, clocks) = (
        numbers(width)?.values().to_vec(),
        numbers(width + 1)?.values().to_vec(),
    );
    let changes = rows
        .column(width + 2)
        .as_primitive_opt::<Int32Type>()
        .ok_or(corrupt("waiting rows"))?;
    let changes: Vec<RowChange> = changes
        .values()
        .iter()
        .map(|change| match change {
            0 => RowChange::Insert,
            1 => RowChange::UpdateBefore,
            2 => RowChange::UpdateAfter,
            _ => RowChange::Delete,
        })
        .collect();
    let rows = rows.project(&(0..width).collect::<Vec<_>>())?;
    Ok((
        Batch {
            rows,
            times,
            changes: Some(changes),
        },
        clocks,
    ))
}
