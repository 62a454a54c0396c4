//! PRINT: a topic's records as they come, keys and values shown as well as they can be.

use super::read::read_on;
use super::{Inner, Out, Stop, of_streams, topic_name};
use crate::answer::{Answer, RowsKind, StatementError};
use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use futures::StreamExt;
use millstream_model::{Offset, PartitionIndex, TopicName};
use millstream_planner::PrintPlan;
use millstream_runtime::{StreamFetch, StreamPosition, StreamRecord, Streams};
use std::fmt::Write;
use std::sync::Arc;

const FETCH_BYTES: usize = 256 * 1024;

/// How far a PRINT has come.
struct Printing<'a> {
    plan: &'a PrintPlan,
    topic: TopicName,
    schema: Arc<Schema>,
    streams: &'a dyn Streams,
    out: &'a Out,
    next: Vec<Offset>,
    ends: Vec<Offset>,
    seen: u64,
    sent: u64,
}

impl Inner {
    pub(super) async fn print(&self, plan: PrintPlan, out: &Out) -> Result<(), Stop> {
        let topic = topic_name(&plan.topic)?;
        let streams = self.backend.streams.as_ref();
        let schema = schema();
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
        let next = streams.offsets(&topic, &partitions, position).await;
        let ends = streams.offsets(&topic, &partitions, StreamPosition::Latest).await;
        let mut printing = Printing {
            plan: &plan,
            topic: topic.clone(),
            schema,
            streams,
            out,
            next: next.map_err(of_streams)?,
            ends: ends.map_err(of_streams)?,
            seen: 0,
            sent: 0,
        };
        let mut news = streams.watch(partitions.iter().map(|p| (topic.clone(), *p)).collect());
        loop {
            for partition in &partitions {
                printing.partition(*partition).await?;
            }
            if printing.is_full() {
                return Ok(out.finish(printing.sent).await?);
            }
            let report = tokio::select! {
                report = news.next() => report,
                () = out.gone() => return Err(Stop::Gone),
            };
            let Some(report) = report else {
                let ended = Answer::Finished {
                    rows: printing.sent,
                    note: "the log ended the watch".to_owned(),
                    resume: None,
                    commit: None,
                };
                return Ok(out.send(ended).await?);
            };
            if let Some(end) = printing.ends.get_mut(report.partition.0 as usize) {
                *end = (*end).max(report.end);
            }
        }
    }
}

impl Printing<'_> {
    fn is_full(&self) -> bool {
        self.plan.limit.is_some_and(|limit| self.sent >= limit)
    }

    /// Prints what a partition has, up to its end as it is known.
    async fn partition(&mut self, partition: PartitionIndex) -> Result<(), Stop> {
        let index = partition.0 as usize;
        while self.next[index] < self.ends[index] && !self.is_full() {
            let request = StreamFetch {
                topic: self.topic.clone(),
                partition,
                offset: self.next[index],
                bytes_max: FETCH_BYTES,
            };
            let fetched = read_on(self.streams, &request).await?;
            self.next[index] = fetched.next;
            let shown = self.choose(&fetched.records);
            if !shown.is_empty() {
                let rows = rows(&self.schema, partition, &shown).map_err(StatementError::internal)?;
                self.out.send(Answer::Rows { rows }).await?;
            }
        }
        Ok(())
    }

    /// Every so many of them, as many as may still be sent.
    fn choose<'r>(&mut self, records: &'r [StreamRecord]) -> Vec<&'r StreamRecord> {
        let mut shown = Vec::new();
        for record in records {
            let is_due = self.seen.is_multiple_of(self.plan.interval.max(1));
            self.seen += 1;
            if is_due && !self.is_full() {
                self.sent += 1;
                shown.push(record);
            }
        }
        shown
    }
}

fn schema() -> Arc<Schema> {
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    Arc::new(Schema::new(vec![
        Field::new("PARTITION", DataType::Int32, false),
        Field::new("OFFSET", DataType::Int64, false),
        Field::new("TIMESTAMP", time, false),
        Field::new("KEY", DataType::Utf8, true),
        Field::new("VALUE", DataType::Utf8, true),
    ]))
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

/// The last moment that a window start is taken for: the end of the year 9999, ms.
const WINDOW_START_MAX: i64 = 253_402_300_799_999;

/// Text as it is; 4 or 8 bytes as a number; either with a window start behind it as `key@start`; else hexadecimal.
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
    let number = |bytes: &[u8]| match bytes.len() {
        8 => bytes
            .try_into()
            .map(i64::from_be_bytes)
            .ok()
            .map(|n| n.to_string()),
        4 => bytes
            .try_into()
            .map(i32::from_be_bytes)
            .ok()
            .map(|n| n.to_string()),
        _ => None,
    };
    if let Some(number) = number(bytes) {
        return number;
    }
    if let Some((head, tail)) = bytes.split_last_chunk::<8>()
        && let start = i64::from_be_bytes(*tail)
        && (0..=WINDOW_START_MAX).contains(&start)
        && let Some(key) = printable(head).or_else(|| number(head))
    {
        return format!("{key}@{start}");
    }
    let mut hex = String::from("0x");
    for byte in bytes {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::readable;

    #[test]
    fn keys_are_shown_as_well_as_they_can_be() {
        let windowed = |key: &[u8], start: i64| [key, &start.to_be_bytes()].concat();
        let table: [(Vec<u8>, &str); 8] = [
            (b"bob".to_vec(), "bob"),
            (7_i32.to_be_bytes().to_vec(), "7"),
            ((-7_i64).to_be_bytes().to_vec(), "-7"),
            (windowed(b"bob", 60_000), "bob@60000"),
            (windowed(&7_i32.to_be_bytes(), 60_000), "7@60000"),
            (
                windowed(&(-7_i64).to_be_bytes(), 1_704_067_200_000),
                "-7@1704067200000",
            ),
            (windowed(b"bob", i64::MAX), "0x626f627fffffffffffffff"),
            (vec![1, 2, 3], "0x010203"),
        ];
        for (bytes, shown) in table {
            assert_eq!(readable(&bytes), shown);
        }
    }
}
