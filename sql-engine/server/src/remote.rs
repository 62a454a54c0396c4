//! The production seams: a tenant's topics and SQL rows through `sdk/rust`, over a socket or in process.

mod changelog;
mod send;
mod writer;

use crate::catalog::{CatalogError, SqlCatalog, SqlChange, SqlRow, SqlRowKind, SqlRows};
use async_trait::async_trait;
use bytes::Bytes;
use changelog::RemoteChangelog;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, StreamExt};
use millstream_kafka_wire::batch::batches;
use millstream_model::{Backoff, Offset, PartitionIndex, TimestampMs, TopicName, Waits};
use millstream_runtime::{
    Changelog, NewStreamTopic, RefusedRecord, StreamEnd, StreamFetch, StreamFetched, StreamPosition,
    StreamRecord, StreamTopic, StreamWriter, Streams, StreamsError, WrittenFrom,
};
use millstream_rust::rpc::control::{SqlRow as RpcRow, SqlRowName, Topic};
use millstream_rust::{Client, Error, FetchedPartition, Position, Producer, ProducerSettings, Watermark};
use parking_lot::Mutex;
use send::send;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use writer::RemoteWriter;

/// How long a transient failure is retried before it is told.
const RETRY_FOR: Duration = Duration::from_secs(10);

/// The waits between two attempts.
const RETRY: Waits = Waits::new(Duration::from_millis(100), Duration::from_secs(1));

/// A tenant's topics.
pub struct RemoteStreams {
    client: Client,
    /// Made when first used, and again after it failed for good.
    producer: Mutex<Option<Producer>>,
}

impl RemoteStreams {
    /// Through this client, which speaks for the tenant.
    pub fn new(client: Client) -> RemoteStreams {
        RemoteStreams {
            client,
            producer: Mutex::new(None),
        }
    }

    fn producer(&self) -> Producer {
        let make = || {
            self.client.producer(ProducerSettings {
                linger: Duration::ZERO,
                ..ProducerSettings::default()
            })
        };
        self.producer.lock().get_or_insert_with(make).clone()
    }
}

/// Tries again what is transient, for a while; and once, at once, who was not known: a token may end on its way when the
/// clock is set, and every attempt shows a fresh one.
async fn patiently<'a, T>(attempt: impl Fn() -> BoxFuture<'a, Result<T, Error>>) -> Result<T, Error> {
    let until = Instant::now() + RETRY_FOR;
    let mut backoff = Backoff::new(RETRY);
    let mut was_unknown = false;
    loop {
        match attempt().await {
            Err(Error::Unauthenticated(_)) if !std::mem::replace(&mut was_unknown, true) => {}
            Err(error) if error.is_retriable() && Instant::now() < until => {
                tokio::time::sleep(backoff.next(rand::random())).await
            }
            ended => return ended,
        }
    }
}

fn streams_error(error: Error, topic: &TopicName) -> StreamsError {
    match error {
        Error::NotFound(_) => StreamsError::UnknownTopic { topic: topic.clone() },
        Error::Partition { ref code, .. } if code == "UNKNOWN_TOPIC_OR_PARTITION" => {
            StreamsError::UnknownTopic { topic: topic.clone() }
        }
        Error::AlreadyExists(_) => StreamsError::TopicExists { topic: topic.clone() },
        error if error.is_retriable() => StreamsError::Unavailable {
            reason: error.to_string(),
        },
        Error::Closed(_) | Error::Protocol(_) => StreamsError::Unavailable {
            reason: error.to_string(),
        },
        error => StreamsError::Refused {
            reason: error.to_string(),
        },
    }
}

fn stream_topic(topic: Topic) -> Result<StreamTopic, StreamsError> {
    let unreadable = |what: &str| StreamsError::Unavailable {
        reason: format!("the service told a topic's {what} wrongly"),
    };
    Ok(StreamTopic {
        name: topic.name.parse().map_err(|_| unreadable("name"))?,
        id: topic.id.parse().map_err(|_| unreadable("id"))?,
        partitions: topic.partitions,
        replicas: topic.replication_factor,
        config: topic.config.into_iter().collect(),
    })
}

#[async_trait]
impl Streams for RemoteStreams {
    async fn topic(&self, name: &TopicName) -> Result<Option<StreamTopic>, StreamsError> {
        let found =
            patiently(|| Box::pin(async { self.client.admin().get_topic(name.as_str()).await })).await;
        match found {
            Ok(topic) => stream_topic(topic).map(Some),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(streams_error(error, name)),
        }
    }

    async fn topics(&self) -> Result<Vec<StreamTopic>, StreamsError> {
        let found = patiently(|| Box::pin(async { self.client.admin().list_topics().await })).await;
        let found = found.map_err(|error| StreamsError::Unavailable {
            reason: error.to_string(),
        })?;
        found
            .into_iter()
            .filter(|topic| !topic.internal)
            .map(stream_topic)
            .collect()
    }

    async fn create_topic(&self, topic: NewStreamTopic) -> Result<StreamTopic, StreamsError> {
        // Not tried again: an answer that got lost would read as "exists already".
        let made = self
            .client
            .admin()
            .create_topic(topic.name.as_str(), topic.partitions, topic.config)
            .await;
        stream_topic(made.map_err(|error| streams_error(error, &topic.name))?)
    }

    async fn delete_topic(&self, name: &TopicName) -> Result<(), StreamsError> {
        let deleted = self.client.admin().delete_topic(name.as_str()).await;
        deleted.map_err(|error| streams_error(error, name))
    }

    async fn offsets(
        &self,
        topic: &TopicName,
        partitions: &[PartitionIndex],
        position: StreamPosition,
    ) -> Result<Vec<Offset>, StreamsError> {
        let indexes: Vec<u32> = partitions.iter().map(|it| it.0).collect();
        let list = |position| {
            let indexes = &indexes;
            patiently(move || {
                Box::pin(async move { self.client.list_offsets(topic.as_str(), indexes, position).await })
            })
        };
        let failed = |error| streams_error(error, topic);
        let found = match position {
            StreamPosition::Earliest => list(Position::Earliest).await.map_err(failed)?,
            StreamPosition::Latest => list(Position::Latest).await.map_err(failed)?,
            StreamPosition::AtOrAfter(time) => {
                // The end first: what arrives in between is then not skipped.
                let ends = list(Position::Latest).await.map_err(failed)?;
                let found = list(Position::AtOrAfter(time.0)).await.map_err(failed)?;
                found
                    .into_iter()
                    .zip(ends)
                    .map(|(at, end)| if at < 0 { end } else { at })
                    .collect()
            }
        };
        Ok(found.into_iter().map(Offset).collect())
    }

    async fn fetch(&self, requests: &[StreamFetch]) -> Vec<Result<StreamFetched, StreamsError>> {
        let asked: Vec<(String, u32, i64)> = requests
            .iter()
            .map(|it| (it.topic.to_string(), it.partition.0, it.offset.0))
            .collect();
        let bytes_max = requests.iter().map(|it| it.bytes_max).max().unwrap_or(0);
        let fetched = patiently(|| {
            let asked = &asked;
            Box::pin(async move { self.client.fetch(asked, bytes_max, Duration::ZERO).await })
        })
        .await;
        match fetched {
            Ok(parts) => requests
                .iter()
                .zip(parts)
                .map(|(request, part)| fetched_part(request, part))
                .collect(),
            Err(error) => {
                let reason = error.to_string();
                vec![Err(StreamsError::Unavailable { reason }); requests.len()]
            }
        }
    }

    async fn produce(
        &self,
        topic: &TopicName,
        records: Vec<(PartitionIndex, Vec<StreamRecord>)>,
    ) -> Result<Vec<RefusedRecord>, StreamsError> {
        let producer = self.producer();
        let mut sent = Vec::with_capacity(records.len());
        for (partition, records) in records {
            sent.push(send(&producer, topic, partition, records).await);
        }
        producer.flush().await;
        let (mut refused, mut ended) = (Vec::new(), Ok(()));
        for part in sent {
            let settled = part.settled().await;
            refused.extend(settled.refused);
            ended = settled.failed.map_or(ended, Err);
        }
        if let Err(error) = &ended
            && !error.is_retriable()
        {
            // The producer may have failed for good: the next call begins with a fresh one.
            self.producer.lock().take();
        }
        ended
            .map(|()| refused)
            .map_err(|error| streams_error(error, topic))
    }

    async fn open_writer(&self) -> Result<Arc<dyn StreamWriter>, StreamsError> {
        Ok(Arc::new(RemoteWriter::open(&self.client).await?))
    }

    fn changelog(&self, shard: u32) -> Arc<dyn Changelog> {
        Arc::new(RemoteChangelog::new(self.client.clone(), shard))
    }

    fn watch(&self, partitions: Vec<(TopicName, PartitionIndex)>) -> BoxStream<'static, StreamEnd> {
        let client = self.client.clone();
        let ends = async move {
            let named: Vec<(String, u32)> = partitions
                .iter()
                .map(|(topic, index)| (topic.to_string(), index.0))
                .collect();
            match client.watch(&named).await {
                Ok(marks) => marks
                    .scan((), |(), mark| std::future::ready(stream_end(mark)))
                    .boxed(),
                Err(error) => {
                    tracing::debug!(%error, "a watch was refused");
                    futures::stream::empty().boxed()
                }
            }
        };
        futures::stream::once(ends).flatten().boxed()
    }
}

/// None ends the stream.
fn stream_end(mark: Result<Watermark, Error>) -> Option<StreamEnd> {
    let mark = mark
        .inspect_err(|error| tracing::debug!(%error, "a watch ended"))
        .ok()?;
    let topic = mark.topic.parse().ok()?;
    Some(StreamEnd {
        topic,
        partition: PartitionIndex(mark.partition),
        end: Offset(mark.high_watermark),
    })
}

fn fetched_part(request: &StreamFetch, part: FetchedPartition) -> Result<StreamFetched, StreamsError> {
    let (start, end) = (Offset(part.log_start), Offset(part.high_watermark));
    if let Some(error) = part.error {
        return Err(match &error {
            Error::Partition { code, .. } if code == "OFFSET_OUT_OF_RANGE" => {
                StreamsError::OffsetOutOfRange {
                    topic: request.topic.clone(),
                    partition: request.partition,
                    offset: request.offset,
                    start,
                    end,
                }
            }
            Error::Partition { code, message, .. } if code == "CORRUPT_MESSAGE" => StreamsError::Damaged {
                topic: request.topic.clone(),
                partition: request.partition,
                reason: message.clone(),
            },
            _ => streams_error(error, &request.topic),
        });
    }
    let mut fetched = StreamFetched {
        end,
        start,
        next: request.offset,
        records: Vec::new(),
        writers: Vec::new(),
    };
    decode(request, part.records, &mut fetched)?;
    Ok(fetched)
}

fn unreadable(topic: &str, partition: u32, at: Offset, error: &dyn std::fmt::Display) -> String {
    format!("{topic}-{partition} cannot be read at {at}: {error}")
}

/// The records of whole batches from the asked offset on, who wrote them, and where the batches end: some have no
/// records. A batch that does not read is an error: skipping it would be a silent gap.
fn decode(request: &StreamFetch, bytes: Bytes, fetched: &mut StreamFetched) -> Result<(), StreamsError> {
    let damaged = |error: &dyn std::fmt::Display| StreamsError::Unavailable {
        reason: unreadable(request.topic.as_str(), request.partition.0, request.offset, error),
    };
    for batch in batches(bytes) {
        let batch = batch.map_err(|error| damaged(&error))?;
        let header = batch.header();
        fetched.next = fetched.next.max(header.next_offset());
        if header.attributes.is_control() {
            continue;
        }
        if fetched
            .writers
            .last()
            .is_none_or(|last| last.writer != header.producer_id)
        {
            fetched.writers.push(WrittenFrom {
                from: header.base_offset,
                writer: header.producer_id,
            });
        }
        let set = batch.records().map_err(|error| damaged(&error))?;
        fetched
            .records
            .reserve(usize::try_from(header.record_count).unwrap_or(0));
        for record in set.shared() {
            let record = record.map_err(|error| damaged(&error))?;
            if record.offset >= request.offset {
                fetched.records.push(StreamRecord {
                    offset: record.offset,
                    timestamp: TimestampMs(record.timestamp.0),
                    key: record.key,
                    value: record.value,
                });
            }
        }
    }
    Ok(())
}

/// A tenant's SQL rows.
pub struct RemoteCatalog {
    client: Client,
}

impl RemoteCatalog {
    /// Through this client, which speaks for the tenant.
    pub fn new(client: Client) -> RemoteCatalog {
        RemoteCatalog { client }
    }
}

fn catalog_error(error: Error) -> CatalogError {
    if error.is_retriable() {
        CatalogError::Unavailable {
            reason: error.to_string(),
        }
    } else {
        CatalogError::Refused {
            reason: error.to_string(),
        }
    }
}

#[async_trait]
impl SqlCatalog for RemoteCatalog {
    async fn load(&self) -> Result<SqlRows, CatalogError> {
        let found = patiently(|| Box::pin(async { self.client.admin().list_sql_rows(0).await })).await;
        let found = found.map_err(catalog_error)?;
        let rows = found.rows.into_iter().filter_map(|row| {
            Some(SqlRow {
                kind: SqlRowKind::parse(&row.kind)?,
                name: row.name,
                body: row.body,
                pinned_topics: row.pinned_topics,
            })
        });
        Ok(SqlRows {
            version: found.version,
            rows: rows.collect(),
        })
    }

    async fn commit(&self, changes: Vec<SqlChange>) -> Result<u64, CatalogError> {
        // The last change of a row counts.
        let mut last: BTreeMap<(SqlRowKind, String), Option<SqlRow>> = BTreeMap::new();
        for change in changes {
            match change {
                SqlChange::Put(row) => last.insert((row.kind, row.name.clone()), Some(row)),
                SqlChange::Delete { kind, name } => last.insert((kind, name), None),
            };
        }
        let (mut put, mut delete) = (Vec::new(), Vec::new());
        for ((kind, name), row) in last {
            let kind = kind.as_str().to_owned();
            match row {
                Some(row) => put.push(RpcRow {
                    kind,
                    name,
                    body: row.body,
                    text: String::new(),
                    version: 0,
                    pinned_topics: row.pinned_topics,
                }),
                None => delete.push(SqlRowName { kind, name }),
            }
        }
        let version = self
            .client
            .admin()
            .write_sql_rows(put, delete, None)
            .await
            .map_err(catalog_error)?;
        // Sees its own write.
        self.client
            .admin()
            .list_sql_rows(version)
            .await
            .map_err(catalog_error)?;
        Ok(version)
    }
}
