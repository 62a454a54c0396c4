//! The processing log as a topic: what failed, one record per row, written with the results and before the state that
//! has moved on. A tenant has it once it makes a topic of that name; without it, the latest errors of each query are in
//! its report only.

use crate::sink::Pending;
use crate::streams::{StreamRecord, Streams, StreamsError, partition_for};
use bytes::Bytes;
use millstream_model::limits::SQL_LOG_MESSAGE_BYTES_MAX;
use millstream_model::{Offset, Retry, TimestampMs, TopicName};
use serde_json::json;
use std::time::{Duration, Instant};

/// The topic that ksqlDB makes for service id `default_`, without the id: a tenant is a service here.
pub const PROCESSING_LOG_TOPIC: &str = "ksql_processing_log";

/// What rows of each query failed of, for the processing log.
pub type Said = Vec<(String, Vec<String>)>;

/// How long to wait before looking whether the tenant has made the topic.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// A shard's way to the topic.
#[derive(Debug)]
pub(crate) struct ProcessingLog {
    topic: TopicName,
    /// Its partitions, when it was there.
    partitions: Option<u32>,
    looked: Option<Instant>,
    /// What was taken from the queries and is not acknowledged yet.
    unwritten: Pending,
}

impl ProcessingLog {
    pub(crate) fn new() -> Self {
        Self {
            topic: PROCESSING_LOG_TOPIC.parse().expect("bug: a legal name"),
            partitions: None,
            looked: None,
            unwritten: Vec::new(),
        }
    }

    /// Takes what the queries have to say.
    pub(crate) async fn take(&mut self, streams: &dyn Streams, said: Said) {
        if said.is_empty() {
            return;
        }
        let Some(partitions) = self.found(streams).await else {
            return;
        };
        for (query, messages) in said {
            let partition = partition_for(query.as_bytes(), partitions);
            let records = messages.iter().map(|message| record(&query, message));
            match self.unwritten.iter_mut().find(|(index, _)| *index == partition) {
                Some((_, waiting)) => waiting.extend(records),
                None => self.unwritten.push((partition, records.collect())),
            }
        }
    }

    async fn found(&mut self, streams: &dyn Streams) -> Option<u32> {
        if self.looked.is_none_or(|looked| looked.elapsed() > LOOK_AGAIN) {
            match streams.topic(&self.topic).await {
                Ok(found) => self.partitions = found.map(|topic| topic.partitions),
                Err(error) => tracing::debug!("the processing log cannot be looked for: {error}"),
            }
            self.looked = Some(Instant::now());
        }
        self.partitions
    }

    /// Writes what was taken; what a later try may write stays.
    pub(crate) async fn write(&mut self, streams: &dyn Streams) -> Result<(), StreamsError> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        match streams.produce(&self.topic, self.unwritten.clone()).await {
            Err(error) if error.retry().1 != Retry::Never => Err(error),
            outcome => {
                if let Err(error) = outcome {
                    tracing::warn!("the processing log is not written: {error}");
                    self.looked = None;
                    self.partitions = None;
                }
                self.unwritten.clear();
                Ok(())
            }
        }
    }
}

/// One record, as ksqlDB's processing log has it: every message is a recordProcessingError (type 1).
fn record(query: &str, message: &str) -> StreamRecord {
    let now = TimestampMs::now();
    let value = json!({
        "level": "ERROR",
        "logger": format!("processing.{query}"),
        "time": now.0,
        "message": {
            "type": 1,
            "recordProcessingError": {
                "errorMessage": clipped(message),
                "record": null,
                "cause": [],
            },
        },
    });
    StreamRecord {
        offset: Offset(-1),
        timestamp: now,
        key: Some(Bytes::copy_from_slice(query.as_bytes())),
        value: Some(Bytes::from(value.to_string())),
    }
}

/// A message may quote a value of the row.
pub(crate) fn clipped(message: &str) -> &str {
    let mut end = message.len().min(SQL_LOG_MESSAGE_BYTES_MAX);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    &message[..end]
}

#[cfg(test)]
mod tests {
    use super::{clipped, record};
    use millstream_model::limits::SQL_LOG_MESSAGE_BYTES_MAX;

    #[test]
    fn messages_are_cut_between_letters() {
        assert_eq!(clipped("short"), "short");
        let long = format!("x{}", "é".repeat(SQL_LOG_MESSAGE_BYTES_MAX));
        assert_eq!(clipped(&long).len(), SQL_LOG_MESSAGE_BYTES_MAX - 1);
    }

    #[test]
    fn a_record_is_what_ksqldb_users_read() {
        let value = record("CTAS_T_1", "it \"failed\"").value.unwrap();
        let read: serde_json::Value = serde_json::from_slice(&value).unwrap();
        assert_eq!(read["logger"], "processing.CTAS_T_1");
        assert_eq!(
            read["message"]["recordProcessingError"]["errorMessage"],
            "it \"failed\""
        );
    }
}
