//! PRINT: a topic's records as they come, keys and values shown as well as they can be.

use super::{Inner, Out, Stop, of_streams, topic_name};
use crate::answer::{Answer, RowsKind, StatementError};
use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use futures::StreamExt;
use millstream_model::{Offset, PartitionIndex};
use millstream_planner::PrintPlan;
use millstream_runtime::{StreamFetch, StreamPosition, StreamRecord};
use std::fmt::Write;
use std::sync::Arc;

const FETCH_BYTES: usize = 256 * 1024;

impl Inner {
    pub(super) async fn print(&self, plan: PrintPlan, out: &Out) -> Result<(), Stop> {
        let topic = topic_name(&plan.topic)?;
        let streams = &self.backend.streams;
        let schema = Arc::new(Schema::new(vec![
            Field::new("PARTITION", DataType::Int32, false),
            Field::new("OFFSET", DataType::Int64, false),
            Field::new(
                "TIMESTAMP",
                DataType::Timestamp(TimeUnit::Millisecond, None),
                false,
            ),
            Field::new("KEY", DataType::Utf8, true),
            Field::new("VALUE", DataType::Utf8, true),
        ]));
        out.send(Answer::Schema {
            schema: schema.clone(),
            kind: RowsKind::Changes,
            title: String::new(),
        })
        .await?;
        let partitions: Vec<PartitionIndex> = (0..plan.partitions).map(PartitionIndex).collect();
        let position = if plan.from_beginning {
            StreamPosition::Earliest
        } else {
            StreamPosition::Latest
        };
        let mut next = streams
            .offsets(&topic, &partitions, position)
            .await
            .map_err(of_streams)?;
        let mut ends = streams
            .offsets(&topic, &partitions, StreamPosition::Latest)
            .await
            .map_err(of_streams)?;
        let mut news = streams.watch(partitions.iter().map(|p| (topic.clone(), *p)).collect());
        let (mut seen, mut sent) = (0_u64, 0_u64);
        loop {
            for index in 0..partitions.len() {
                while next[index] < ends[index] {
                    let partition = partitions[index];
                    let request = StreamFetch {
                        topic: topic.clone(),
                        partition,
                        offset: next[index],
                        bytes_max: FETCH_BYTES,
                    };
                    let fetched = streams
                        .fetch(std::slice::from_ref(&request))
                        .await
                        .map_err(of_streams)?;
                    let records = fetched.into_iter().next().map(|f| f.records).unwrap_or_default();
                    let Some(last) = records.last() else { break };
                    next[index] = Offset(last.offset.0 + 1);
                    let mut shown = Vec::new();
                    for record in &records {
                        seen += 1;
                        let full = plan.limit.is_some_and(|limit| sent + shown.len() as u64 >= limit);
                        if !full && (seen - 1) % plan.interval.max(1) == 0 {
                            shown.push(record);
                        }
                    }
                    sent += shown.len() as u64;
                    if !shown.is_empty() {
                        let rows = rows(&schema, partition, &shown).map_err(StatementError::internal)?;
                        out.send(Answer::Rows { rows, commit: 0 }).await?;
                    }
                    if plan.limit.is_some_and(|limit| sent >= limit) {
                        return Ok(out.finish(sent).await?);
                    }
                }
            }
            let report = tokio::select! {
                report = news.next() => report,
                () = out.gone() => return Err(Stop::Gone),
            };
            let Some(report) = report else {
                let note = "the log ended the watch".to_owned();
                return Ok(out
                    .send(Answer::Finished {
                        rows: sent,
                        note,
                        resume: None,
                    })
                    .await?);
            };
            if let Some(end) = ends.get_mut(report.partition.0 as usize) {
                *end = (*end).max(report.end);
            }
        }
    }
}

fn rows(
    schema: &Arc<Schema>,
    partition: PartitionIndex,
    records: &[&StreamRecord],
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let text = |bytes: Option<&bytes::Bytes>| bytes.map(|bytes| readable(bytes));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_value(
            i32::try_from(partition.0).unwrap_or(i32::MAX),
            records.len(),
        )),
        Arc::new(Int64Array::from_iter_values(records.iter().map(|r| r.offset.0))),
        Arc::new(TimestampMillisecondArray::from_iter_values(
            records.iter().map(|r| r.timestamp.0),
        )),
        Arc::new(StringArray::from_iter(
            records.iter().map(|r| text(r.key.as_ref())),
        )),
        Arc::new(StringArray::from_iter(
            records.iter().map(|r| text(r.value.as_ref())),
        )),
    ];
    RecordBatch::try_new(schema.clone(), columns)
}

/// Text as it is; text with a window start behind it as `text@start`; 4 or 8 bytes as a number; else hexadecimal.
fn readable(bytes: &[u8]) -> String {
    let printable = |bytes: &[u8]| {
        std::str::from_utf8(bytes)
            .ok()
            .filter(|text| !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t'))
            .map(str::to_owned)
    };
    if let Some(text) = printable(bytes) {
        return text;
    }
    if let Ok(word) = <[u8; 8]>::try_from(bytes) {
        return i64::from_be_bytes(word).to_string();
    }
    if let Ok(word) = <[u8; 4]>::try_from(bytes) {
        return i32::from_be_bytes(word).to_string();
    }
    if let Some((head, tail)) = bytes.split_last_chunk::<8>()
        && let Some(text) = printable(head)
    {
        return format!("{text}@{}", i64::from_be_bytes(*tail));
    }
    let mut hex = String::from("0x");
    for byte in bytes {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}
