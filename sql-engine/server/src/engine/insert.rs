//! INSERT INTO … VALUES: rows to records, those of neighbouring statements produced together.

use super::{Inner, Out, Stop, of_streams, topic_name};
use crate::answer::{Answer, StatementError, StatementErrorKind};
use arrow::array::ArrayRef;
use bytes::Bytes;
use millstream_columns::{JsonEncoder, KeyEncoder, KeyFormat, KeyWindow};
use millstream_model::{Offset, PartitionIndex, TimestampMs, TopicName};
use millstream_planner::{InsertPlan, Source, arrow_field};
use millstream_runtime::{StreamRecord, partition_for};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Rows that are written before more are taken, in bytes: what a request to the log carries without trouble.
const TOGETHER_BYTES_MAX: usize = 1024 * 1024;

/// INSERTs into one source that are written together, and what to tell about each.
#[derive(Default)]
pub(super) struct Inserts {
    topic: Option<TopicName>,
    partitions: BTreeMap<PartitionIndex, Vec<StreamRecord>>,
    bytes: usize,
    told: Vec<(Out, Told)>,
}

/// What a client hears of an INSERT that is done.
struct Told {
    started: String,
    done: String,
}

impl Inserts {
    /// The number of the first statement that is not written yet.
    pub(super) fn first(&self) -> Option<u32> {
        self.told.first().map(|(out, _)| out.statement)
    }

    fn add(&mut self, records: Vec<(PartitionIndex, StreamRecord)>) {
        for (partition, record) in records {
            let sizes = [&record.key, &record.value].map(|part| part.as_ref().map_or(0, Bytes::len));
            self.bytes += sizes.iter().sum::<usize>();
            self.partitions.entry(partition).or_default().push(record);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= TOGETHER_BYTES_MAX
    }
}

impl Inner {
    /// Adds the rows of one INSERT, whose text is `started`.
    pub(super) fn encode_insert(
        &self,
        insert: &InsertPlan,
        started: String,
        out: Out,
        to: &mut Inserts,
    ) -> Result<(), StatementError> {
        let source = &insert.target;
        to.topic = Some(topic_name(&source.topic)?);
        let invalid = |reason: String| StatementError::new(StatementErrorKind::Invalid, reason);
        let fields = |columns: &[millstream_planner::Column]| {
            columns
                .iter()
                .map(|c| Arc::new(arrow_field(&c.name, &c.sql_type)))
                .collect::<Vec<_>>()
        };
        let keys = KeyEncoder::new(key_format(source), KeyWindow::None, &fields(source.keys()))
            .map_err(|e| invalid(e.to_string()))?;
        let values = JsonEncoder::new(&fields(source.values())).map_err(|e| invalid(e.to_string()))?;
        let now = TimestampMs::now().0;
        let mut records = Vec::with_capacity(insert.rows.len());
        for inserted in &insert.rows {
            let columns: Vec<ArrayRef> = inserted
                .values
                .iter()
                .map(|value| value.to_array())
                .collect::<Result<_, _>>()
                .map_err(StatementError::internal)?;
            let key = keys
                .encode(&columns[..source.key_count], 0, None)
                .map(Bytes::from);
            let mut json = Vec::new();
            values.encode(&columns[source.key_count..], 0, &mut json);
            let partition = match &key {
                Some(key) => partition_for(key, source.partitions),
                None => self.next_keyless(source.partitions),
            };
            let record = StreamRecord {
                offset: Offset(-1),
                timestamp: TimestampMs(inserted.rowtime.unwrap_or(now)),
                key,
                value: Some(Bytes::from(json)),
            };
            records.push((partition, record));
        }
        to.add(records);
        let done = match insert.rows.len() {
            1 => format!("1 row inserted into {}.", source.name),
            rows => format!("{rows} rows inserted into {}.", source.name),
        };
        to.told.push((out, Told { started, done }));
        Ok(())
    }

    /// Writes the rows, then says so.
    pub(super) async fn insert(&self, inserts: Inserts) -> Result<(), Stop> {
        let Some(topic) = inserts.topic else {
            return Ok(());
        };
        let refused = self
            .backend
            .streams
            .produce(&topic, inserts.partitions.into_iter().collect())
            .await
            .map_err(of_streams)?;
        if let Some(refused) = refused.into_iter().next() {
            return Err(StatementError::new(StatementErrorKind::Refused, refused.reason).into());
        }
        for (out, told) in inserts.told {
            out.send(Answer::Started { text: told.started }).await?;
            out.say(told.done, 0).await?;
            out.finish(0).await?;
        }
        Ok(())
    }

    /// Rows without a key go to the partitions in turn.
    fn next_keyless(&self, partitions: u32) -> PartitionIndex {
        PartitionIndex(self.keyless.fetch_add(1, Ordering::Relaxed) % partitions.max(1))
    }
}

fn key_format(source: &Source) -> KeyFormat {
    match source.key_format {
        millstream_planner::KeyFormat::None => KeyFormat::None,
        millstream_planner::KeyFormat::Kafka => KeyFormat::Kafka,
        millstream_planner::KeyFormat::Json => KeyFormat::Json,
    }
}
