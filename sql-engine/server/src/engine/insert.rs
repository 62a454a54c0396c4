//! INSERT INTO … VALUES: rows to records, produced at once.

use super::{Inner, Out, Stop, of_streams, topic_name};
use crate::answer::{StatementError, StatementErrorKind};
use arrow::array::ArrayRef;
use bytes::Bytes;
use millstream_columns::{JsonEncoder, KeyEncoder, KeyFormat, KeyWindow};
use millstream_model::{Offset, PartitionIndex, TimestampMs};
use millstream_planner::{InsertPlan, Source, arrow_field};
use millstream_runtime::{StreamRecord, partition_for};
use std::sync::Arc;

impl Inner {
    pub(super) async fn insert(&self, insert: InsertPlan, out: &Out) -> Result<(), Stop> {
        let source = &insert.target;
        let topic = topic_name(&source.topic)?;
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
        let mut partitions: Vec<(PartitionIndex, Vec<StreamRecord>)> = Vec::new();
        for (row, inserted) in insert.rows.iter().enumerate() {
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
                None => PartitionIndex(u32::try_from(row).unwrap_or(0) % source.partitions.max(1)),
            };
            let record = StreamRecord {
                offset: Offset(-1),
                timestamp: TimestampMs(inserted.rowtime.unwrap_or(now)),
                key,
                value: Some(Bytes::from(json)),
            };
            match partitions.iter_mut().find(|(index, _)| *index == partition) {
                Some((_, records)) => records.push(record),
                None => partitions.push((partition, vec![record])),
            }
        }
        self.backend
            .streams
            .produce(&topic, partitions)
            .await
            .map_err(of_streams)?;
        let text = match insert.rows.len() {
            1 => format!("1 row inserted into {}.", source.name),
            rows => format!("{rows} rows inserted into {}.", source.name),
        };
        out.say(text, 0).await?;
        Ok(out.finish(0).await?)
    }
}

fn key_format(source: &Source) -> KeyFormat {
    match source.key_format {
        millstream_planner::KeyFormat::None => KeyFormat::None,
        millstream_planner::KeyFormat::Kafka => KeyFormat::Kafka,
        millstream_planner::KeyFormat::Json => KeyFormat::Json,
    }
}
