//! Topics in memory: the log of the test kit, with the semantics that tasks rely on.

use crate::streams::{
    NewStreamTopic, RefusedRecord, StreamEnd, StreamFetch, StreamFetched, StreamPosition, StreamRecord,
    StreamTopic, Streams, StreamsError,
};
use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use millstream_model::{Offset, PartitionIndex, TopicId, TopicName};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// `max.message.bytes` of a topic that says nothing.
const MESSAGE_BYTES_MAX: usize = 1_048_588;

struct Topic {
    description: StreamTopic,
    partitions: Vec<Vec<StreamRecord>>,
}

/// One tenant's topics, in memory.
pub struct MemoryStreams {
    topics: Arc<Mutex<BTreeMap<TopicName, Topic>>>,
    version: watch::Sender<u64>,
}

impl Default for MemoryStreams {
    fn default() -> Self {
        Self {
            topics: Arc::default(),
            version: watch::Sender::new(0),
        }
    }
}

impl MemoryStreams {
    /// Every record of a partition, as it lies there.
    pub fn records(&self, topic: &TopicName, partition: PartitionIndex) -> Vec<StreamRecord> {
        let topics = self.topics.lock();
        let partitions = topics
            .get(topic)
            .map(|topic| topic.partitions.as_slice())
            .unwrap_or_default();
        partitions.get(partition.0 as usize).cloned().unwrap_or_default()
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
            .lock()
            .get(name)
            .map(|topic| topic.description.clone()))
    }

    async fn topics(&self) -> Result<Vec<StreamTopic>, StreamsError> {
        Ok(self
            .topics
            .lock()
            .values()
            .map(|topic| topic.description.clone())
            .collect())
    }

    async fn create_topic(&self, topic: NewStreamTopic) -> Result<StreamTopic, StreamsError> {
        let mut topics = self.topics.lock();
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
                partitions,
            },
        );
        Ok(description)
    }

    async fn delete_topic(&self, name: &TopicName) -> Result<(), StreamsError> {
        let gone = self.topics.lock().remove(name);
        self.version.send_modify(|version| *version += 1);
        gone.map(|_| ()).ok_or_else(|| unknown(name))
    }

    async fn offsets(
        &self,
        topic: &TopicName,
        partitions: &[PartitionIndex],
        position: StreamPosition,
    ) -> Result<Vec<Offset>, StreamsError> {
        let topics = self.topics.lock();
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
        let topics = self.topics.lock();
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
            Ok(StreamFetched {
                end,
                start: Offset(0),
                next: offset(from + records.len()),
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
        let mut topics = self.topics.lock();
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
        let mut refused = Vec::new();
        for (partition, records) in records {
            let log = &mut found.partitions[partition.0 as usize];
            for mut record in records {
                let bytes = [&record.key, &record.value].map(|part| part.as_ref().map_or(0, |it| it.len()));
                let bytes = bytes.iter().sum::<usize>();
                if bytes > bytes_max {
                    refused.push(RefusedRecord {
                        partition,
                        timestamp: record.timestamp,
                        reason: format!("a record of {bytes} bytes is larger than the {bytes_max} allowed"),
                    });
                    continue;
                }
                record.offset = offset(log.len());
                log.push(record);
            }
        }
        drop(topics);
        self.version.send_modify(|version| *version += 1);
        Ok(refused)
    }

    fn watch(&self, partitions: Vec<(TopicName, PartitionIndex)>) -> BoxStream<'static, StreamEnd> {
        let mut changes = self.version.subscribe();
        changes.mark_changed();
        let topics = self.topics.clone();
        let id =
            |(topic, _): &(TopicName, PartitionIndex)| topics.lock().get(topic).map(|it| it.description.id);
        let ids: Vec<Option<TopicId>> = partitions.iter().map(id).collect();
        // As over the wire: a partition that is not there, or not there any more, ends the watch of all.
        let ends = move || {
            let topics = topics.lock();
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
