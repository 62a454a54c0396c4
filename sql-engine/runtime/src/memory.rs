//! Topics in memory: the log of the test kit, with the semantics that tasks rely on.

use crate::streams::{
    Changelog, ChangelogError, ChangelogPart, Fence, NewStreamTopic, RefusedRecord, StreamEnd, StreamFetch,
    StreamFetched, StreamPosition, StreamRecord, StreamTopic, StreamWriter, Streams, StreamsError,
    WrittenFrom, WrittenTo,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use millstream_model::{Offset, OwnerEpoch, PartitionIndex, ProducerId, TopicId, TopicName};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use tokio::sync::watch;

/// A writer without an id of its own.
const NOBODY: ProducerId = ProducerId(-1);

/// Pieces that one read of a changelog gives: few, so that reading goes on.
const PIECES_READ: usize = 64;
/// `max.message.bytes` of a topic that says nothing.
const MESSAGE_BYTES_MAX: usize = 1_048_588;

struct Topic {
    description: StreamTopic,
    partitions: Vec<Vec<StreamRecord>>,
    /// Who wrote each record.
    writers: Vec<Vec<ProducerId>>,
}

#[derive(Default)]
struct Topics {
    by_name: Mutex<BTreeMap<TopicName, Topic>>,
    version: watch::Sender<u64>,
}

/// A changelog in memory.
#[derive(Default)]
struct Log {
    epoch: OwnerEpoch,
    start: i64,
    pieces: Vec<Bytes>,
}

/// One tenant's topics, in memory.
#[derive(Default)]
pub struct MemoryStreams {
    topics: Arc<Topics>,
    changelogs: Mutex<BTreeMap<u32, Arc<Mutex<Log>>>>,
    writers: AtomicI64,
}

impl MemoryStreams {
    /// Every record of a partition, as it lies there.
    pub fn records(&self, topic: &TopicName, partition: PartitionIndex) -> Vec<StreamRecord> {
        let topics = self.topics.by_name.lock();
        let partitions = topics
            .get(topic)
            .map(|topic| topic.partitions.as_slice())
            .unwrap_or_default();
        partitions.get(partition.0 as usize).cloned().unwrap_or_default()
    }

    /// How many pieces a shard's changelog holds.
    pub fn changelog_pieces(&self, shard: u32) -> usize {
        let log = self.changelogs.lock().get(&shard).cloned();
        log.map_or(0, |log| log.lock().pieces.len())
    }
}

impl Topics {
    fn append(
        &self,
        topic: &TopicName,
        writer: ProducerId,
        records: Vec<(PartitionIndex, Vec<StreamRecord>)>,
    ) -> Result<Vec<WrittenTo>, StreamsError> {
        let mut topics = self.by_name.lock();
        let found = topics.get_mut(topic).ok_or_else(|| unknown(topic))?;
        if records
            .iter()
            .any(|(partition, _)| partition.0 >= found.description.partitions)
        {
            return Err(unknown(topic));
        }
        let bytes_max = found.description.config.get("max.message.bytes");
        let bytes_max = bytes_max
            .and_then(|it| it.parse().ok())
            .unwrap_or(MESSAGE_BYTES_MAX);
        let mut written = Vec::with_capacity(records.len());
        for (partition, records) in records {
            let mut part = WrittenTo::default();
            let log = &mut found.partitions[partition.0 as usize];
            for mut record in records {
                let bytes = [&record.key, &record.value].map(|part| part.as_ref().map_or(0, |it| it.len()));
                let bytes = bytes.iter().sum::<usize>();
                if bytes > bytes_max {
                    part.refused.push(RefusedRecord {
                        partition,
                        timestamp: record.timestamp,
                        reason: format!("a record of {bytes} bytes is larger than the {bytes_max} allowed"),
                    });
                    continue;
                }
                record.offset = offset(log.len());
                log.push(record);
                part.end = Some(offset(log.len()));
            }
            found.writers[partition.0 as usize].resize(log.len(), writer);
            written.push(part);
        }
        drop(topics);
        self.version.send_modify(|version| *version += 1);
        Ok(written)
    }
}

struct Writer {
    id: ProducerId,
    topics: Arc<Topics>,
}

#[async_trait]
impl StreamWriter for Writer {
    fn id(&self) -> ProducerId {
        self.id
    }

    async fn produce(
        &self,
        topic: &TopicName,
        records: Vec<(PartitionIndex, Vec<StreamRecord>)>,
    ) -> Vec<Result<WrittenTo, StreamsError>> {
        let partitions = records.len();
        match self.topics.append(topic, self.id, records) {
            Ok(written) => written.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error); partitions],
        }
    }
}

#[async_trait]
impl Changelog for Mutex<Log> {
    async fn fence(&self) -> Result<Fence, ChangelogError> {
        let mut log = self.lock();
        log.epoch = OwnerEpoch(log.epoch.0 + 1);
        Ok(Fence {
            epoch: log.epoch,
            start: Offset(log.start),
            end: offset(log.pieces.len()).plus(log.start),
        })
    }

    async fn append(&self, epoch: OwnerEpoch, piece: Bytes) -> Result<Offset, ChangelogError> {
        let mut log = self.lock();
        if epoch != log.epoch {
            return Err(ChangelogError::Fenced);
        }
        let at = offset(log.pieces.len()).plus(log.start);
        log.pieces.push(piece);
        Ok(at)
    }

    async fn read(&self, from: Offset) -> Result<ChangelogPart, ChangelogError> {
        let log = self.lock();
        let skip = usize::try_from(from.0 - log.start).map_err(|_| ChangelogError::Unavailable {
            reason: format!("{from} is trimmed"),
        })?;
        let pieces: Vec<Bytes> = log.pieces.iter().skip(skip).take(PIECES_READ).cloned().collect();
        let next = from.plus(offset(pieces.len()).0);
        Ok(ChangelogPart { pieces, next })
    }

    async fn trim(&self, before: Offset) -> Result<(), ChangelogError> {
        let mut log = self.lock();
        let gone = usize::try_from(before.0 - log.start)
            .unwrap_or(0)
            .min(log.pieces.len());
        log.pieces.drain(..gone);
        log.start += offset(gone).0;
        Ok(())
    }
}

fn offset(index: usize) -> Offset {
    Offset(i64::try_from(index).unwrap_or(i64::MAX))
}

fn unknown(topic: &TopicName) -> StreamsError {
    StreamsError::UnknownTopic { topic: topic.clone() }
}

#[async_trait]
impl Streams for MemoryStreams {
    async fn topic(&self, name: &TopicName) -> Result<Option<StreamTopic>, StreamsError> {
        Ok(self
            .topics
            .by_name
            .lock()
            .get(name)
            .map(|topic| topic.description.clone()))
    }

    async fn topics(&self) -> Result<Vec<StreamTopic>, StreamsError> {
        Ok(self
            .topics
            .by_name
            .lock()
            .values()
            .map(|topic| topic.description.clone())
            .collect())
    }

    async fn create_topic(&self, topic: NewStreamTopic) -> Result<StreamTopic, StreamsError> {
        let mut topics = self.topics.by_name.lock();
        if topics.contains_key(&topic.name) {
            return Err(StreamsError::TopicExists { topic: topic.name });
        }
        if topic.partitions == 0 {
            return Err(StreamsError::Refused {
                reason: "a topic has at least one partition".to_owned(),
            });
        }
        let description = StreamTopic {
            name: topic.name.clone(),
            id: TopicId::random(),
            partitions: topic.partitions,
            replicas: 1,
            config: topic.config,
        };
        let partitions = vec![Vec::new(); topic.partitions as usize];
        topics.insert(
            topic.name,
            Topic {
                description: description.clone(),
                writers: vec![Vec::new(); partitions.len()],
                partitions,
            },
        );
        Ok(description)
    }

    async fn delete_topic(&self, name: &TopicName) -> Result<(), StreamsError> {
        let gone = self.topics.by_name.lock().remove(name);
        self.topics.version.send_modify(|version| *version += 1);
        gone.map(|_| ()).ok_or_else(|| unknown(name))
    }

    async fn offsets(
        &self,
        topic: &TopicName,
        partitions: &[PartitionIndex],
        position: StreamPosition,
    ) -> Result<Vec<Offset>, StreamsError> {
        let topics = self.topics.by_name.lock();
        let found = topics.get(topic).ok_or_else(|| unknown(topic))?;
        let of = |partition: &PartitionIndex| {
            let records = found
                .partitions
                .get(partition.0 as usize)
                .ok_or_else(|| unknown(topic))?;
            Ok(match position {
                StreamPosition::Earliest => Offset(0),
                StreamPosition::Latest => offset(records.len()),
                StreamPosition::AtOrAfter(time) => offset(
                    records
                        .iter()
                        .position(|r| r.timestamp >= time)
                        .unwrap_or(records.len()),
                ),
            })
        };
        partitions.iter().map(of).collect()
    }

    async fn fetch(&self, requests: &[StreamFetch]) -> Vec<Result<StreamFetched, StreamsError>> {
        let topics = self.topics.by_name.lock();
        let answer = |request: &StreamFetch| {
            let topic = topics
                .get(&request.topic)
                .ok_or_else(|| unknown(&request.topic))?;
            let records = topic
                .partitions
                .get(request.partition.0 as usize)
                .ok_or_else(|| unknown(&request.topic))?;
            let end = offset(records.len());
            let from = usize::try_from(request.offset.0)
                .ok()
                .filter(|from| *from <= records.len());
            let Some(from) = from else {
                return Err(StreamsError::OffsetOutOfRange {
                    topic: request.topic.clone(),
                    partition: request.partition,
                    offset: request.offset,
                    start: Offset(0),
                    end,
                });
            };
            let mut bytes = 0;
            let size = |r: &StreamRecord| {
                r.key.as_ref().map_or(0, |k| k.len()) + r.value.as_ref().map_or(0, |v| v.len())
            };
            let taken = records[from..].iter().take_while(|record| {
                let fits = bytes == 0 || bytes + size(record) <= request.bytes_max;
                bytes += size(record).max(1);
                fits
            });
            let records: Vec<StreamRecord> = taken.cloned().collect();
            let writers = topic.writers[request.partition.0 as usize].iter().enumerate();
            let writers = writers
                .skip(from)
                .take(records.len())
                .map(|(at, writer)| WrittenFrom {
                    from: offset(at),
                    writer: *writer,
                });
            Ok(StreamFetched {
                end,
                start: Offset(0),
                next: offset(from + records.len()),
                writers: writers.collect(),
                records,
            })
        };
        requests.iter().map(answer).collect()
    }

    async fn produce(
        &self,
        topic: &TopicName,
        records: Vec<(PartitionIndex, Vec<StreamRecord>)>,
    ) -> Result<Vec<RefusedRecord>, StreamsError> {
        let written = self.topics.append(topic, NOBODY, records)?;
        Ok(written.into_iter().flat_map(|part| part.refused).collect())
    }

    async fn open_writer(&self) -> Result<Arc<dyn StreamWriter>, StreamsError> {
        Ok(Arc::new(Writer {
            id: ProducerId(self.writers.fetch_add(1, Ordering::Relaxed)),
            topics: self.topics.clone(),
        }))
    }

    fn changelog(&self, shard: u32) -> Arc<dyn Changelog> {
        self.changelogs.lock().entry(shard).or_default().clone()
    }

    fn watch(&self, partitions: Vec<(TopicName, PartitionIndex)>) -> BoxStream<'static, StreamEnd> {
        let mut changes = self.topics.version.subscribe();
        changes.mark_changed();
        let topics = self.topics.clone();
        let id = |(topic, _): &(TopicName, PartitionIndex)| {
            topics.by_name.lock().get(topic).map(|it| it.description.id)
        };
        let ids: Vec<Option<TopicId>> = partitions.iter().map(id).collect();
        // As over the wire: a partition that is not there, or not there any more, ends the watch of all.
        let ends = move || {
            let topics = topics.by_name.lock();
            let end = |((topic, partition), id): (&(TopicName, PartitionIndex), &Option<TopicId>)| {
                let found = topics.get(topic).filter(|it| Some(it.description.id) == *id)?;
                let records = found.partitions.get(partition.0 as usize)?;
                Some(StreamEnd {
                    topic: topic.clone(),
                    partition: *partition,
                    end: offset(records.len()),
                })
            };
            let ends: Option<Vec<StreamEnd>> = partitions.iter().zip(&ids).map(end).collect();
            Some(futures::stream::iter(ends?))
        };
        let later = futures::stream::unfold((changes, ends), |(mut changes, ends)| async move {
            changes.changed().await.ok()?;
            Some((ends()?, (changes, ends)))
        });
        later.flatten().boxed()
    }
}
