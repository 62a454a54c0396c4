//! A log that cuts what it answers at random, and a fuse that stops everything at a chosen moment.

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use millstream_model::{Offset, OwnerEpoch, PartitionIndex, ProducerId, TopicName};
use millstream_runtime::{
    Changelog, ChangelogError, ChangelogPart, Fence, MemoryStreams, NewStreamTopic, RefusedRecord, StreamEnd,
    StreamFetch, StreamFetched, StreamPosition, StreamRecord, StreamTopic, StreamWriter, Streams,
    StreamsError, WrittenTo,
};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::Notify;

/// What kills at a chosen moment.
pub struct Fuse {
    random: Mutex<StdRng>,
    /// Calls until it blows; none when it is out.
    left: Mutex<Option<u32>>,
    blown: Arc<Notify>,
}

/// Topics in memory behind chance.
pub struct ChaosStreams {
    pub inner: Arc<MemoryStreams>,
    random: Mutex<StdRng>,
    /// At most so many records of a partition per fetch.
    cut: Option<usize>,
    fuse: Arc<Fuse>,
    /// Told when the fuse has blown.
    pub blown: Arc<Notify>,
    /// A topic that takes nothing now.
    sick: Arc<Mutex<Option<TopicName>>>,
    /// The changelog takes nothing now.
    closed: Arc<Mutex<bool>>,
    /// A piece of the changelog that is lost.
    lost: Arc<Mutex<Option<Offset>>>,
    /// A partition that cannot be read now.
    mute: Arc<Mutex<Option<(TopicName, PartitionIndex)>>>,
    /// A partition that cannot be read from an offset on.
    damaged: Mutex<Option<(TopicName, PartitionIndex, Offset)>>,
    /// Offsets that have no records, in every partition.
    hole: Mutex<Option<Range<i64>>>,
    /// Writes that were asked for.
    pub writes: Arc<AtomicU32>,
    /// What happens before the next watch begins.
    pub before_watch: Mutex<Option<BeforeWatch>>,
}

/// Something that happens to the log itself.
pub type BeforeWatch = Box<dyn FnOnce(&MemoryStreams) + Send>;

impl ChaosStreams {
    pub fn new(inner: Arc<MemoryStreams>, seed: u64, cut: Option<usize>) -> Self {
        let blown = Arc::new(Notify::new());
        let fuse = Fuse {
            random: Mutex::new(StdRng::seed_from_u64(!seed)),
            left: Mutex::new(None),
            blown: blown.clone(),
        };
        Self {
            inner,
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            cut,
            fuse: Arc::new(fuse),
            blown,
            sick: Arc::default(),
            closed: Arc::default(),
            lost: Arc::default(),
            mute: Arc::default(),
            before_watch: Mutex::default(),
            damaged: Mutex::new(None),
            hole: Mutex::new(None),
            writes: Arc::default(),
        }
    }

    /// The fuse blows in so many calls.
    pub fn arm(&self, calls: u32) {
        *self.fuse.left.lock() = Some(calls);
    }

    /// This topic takes no records until another is named.
    pub fn sicken(&self, topic: Option<&str>) {
        *self.sick.lock() = topic.map(|name| name.parse().unwrap());
    }

    /// The changelog takes nothing until it is opened again.
    pub fn close_changelog(&self, closed: bool) {
        *self.closed.lock() = closed;
    }

    /// The changelog keeps the offset of a piece, without the piece, as a mended journal does.
    pub fn lose_piece(&self, at: Option<i64>) {
        *self.lost.lock() = at.map(Offset);
    }

    /// This partition cannot be read until another is named.
    pub fn mute(&self, partition: Option<(&str, u32)>) {
        *self.mute.lock() = partition.map(|(topic, index)| (topic.parse().unwrap(), PartitionIndex(index)));
    }

    /// This partition is damaged from an offset on, until it is repaired.
    pub fn damage(&self, place: Option<(&str, u32, i64)>) {
        *self.damaged.lock() = place
            .map(|(topic, index, offset)| (topic.parse().unwrap(), PartitionIndex(index), Offset(offset)));
    }

    /// What the log answers of a partition that is damaged: what precedes the damage, or an error.
    fn hurt(&self, request: &StreamFetch, answer: &mut Result<StreamFetched, StreamsError>) {
        let damaged = self.damaged.lock();
        let Some((topic, partition, from)) = damaged.as_ref() else {
            return;
        };
        if (topic, *partition) != (&request.topic, request.partition) {
            return;
        }
        if request.offset >= *from {
            *answer = Err(StreamsError::Damaged {
                topic: topic.clone(),
                partition: *partition,
                reason: "bits have flipped".to_owned(),
            });
        } else if let Ok(answer) = answer {
            answer.records.retain(|record| record.offset < *from);
        }
    }

    fn is_mute(&self, topic: &TopicName, partition: PartitionIndex) -> bool {
        self.mute.lock().as_ref() == Some(&(topic.clone(), partition))
    }

    /// These offsets have no records: the log answers such a run alone, as it keeps it.
    pub fn dig(&self, hole: Range<i64>) {
        *self.hole.lock() = Some(hole);
    }

    pub fn disarm(&self) {
        *self.fuse.left.lock() = None;
    }
}

impl Fuse {
    /// Counts a call; says whether the fuse blows with it.
    fn burns(&self) -> bool {
        let mut fuse = self.left.lock();
        match fuse.as_mut() {
            None => false,
            Some(0) => {
                *fuse = None;
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }

    /// The process is killed while it waits here.
    async fn die<T>(&self) -> T {
        self.blown.notify_one();
        std::future::pending().await
    }
}

/// What the log answers where a run of offsets has no records: up to it, or it alone, or from its end on.
fn pass_over(answer: &mut StreamFetched, from: Offset, hole: Range<i64>) {
    if hole.contains(&from.0) {
        answer.records.clear();
        answer.next = Offset(hole.end);
    } else if from.0 < hole.start {
        answer.records.retain(|record| record.offset.0 < hole.start);
        answer.next = Offset(answer.next.0.min(hole.start));
    }
}

#[async_trait]
impl Streams for ChaosStreams {
    async fn topic(&self, name: &TopicName) -> Result<Option<StreamTopic>, StreamsError> {
        self.inner.topic(name).await
    }

    async fn topics(&self) -> Result<Vec<StreamTopic>, StreamsError> {
        self.inner.topics().await
    }

    async fn create_topic(&self, topic: NewStreamTopic) -> Result<StreamTopic, StreamsError> {
        self.inner.create_topic(topic).await
    }

    async fn delete_topic(&self, name: &TopicName) -> Result<(), StreamsError> {
        self.inner.delete_topic(name).await
    }

    async fn offsets(
        &self,
        topic: &TopicName,
        partitions: &[PartitionIndex],
        position: StreamPosition,
    ) -> Result<Vec<Offset>, StreamsError> {
        if partitions.iter().any(|partition| self.is_mute(topic, *partition)) {
            let reason = "it is mute".to_owned();
            return Err(StreamsError::Unavailable { reason });
        }
        self.inner.offsets(topic, partitions, position).await
    }

    async fn fetch(&self, requests: &[StreamFetch]) -> Vec<Result<StreamFetched, StreamsError>> {
        if self.fuse.burns() {
            return self.fuse.die().await;
        }
        let mut answers = self.inner.fetch(requests).await;
        for (request, answer) in requests.iter().zip(&mut answers) {
            if self.is_mute(&request.topic, request.partition) {
                let reason = "it is mute".to_owned();
                *answer = Err(StreamsError::Unavailable { reason });
            }
            self.hurt(request, answer);
            let Ok(answer) = answer else { continue };
            if let Some(cut) = self.cut {
                // None: no room was left for this one.
                answer.records.truncate(self.random.lock().random_range(0..=cut));
            }
            answer.next = answer
                .records
                .last()
                .map_or(request.offset, |last| last.offset.plus(1));
            if let Some(hole) = self.hole.lock().clone() {
                pass_over(answer, request.offset, hole);
            }
        }
        answers
    }

    async fn produce(
        &self,
        topic: &TopicName,
        records: Vec<(PartitionIndex, Vec<StreamRecord>)>,
    ) -> Result<Vec<RefusedRecord>, StreamsError> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        self.inner.produce(topic, records).await
    }

    async fn open_writer(&self) -> Result<Arc<dyn StreamWriter>, StreamsError> {
        Ok(Arc::new(ChaosWriter {
            inner: self.inner.open_writer().await?,
            fuse: self.fuse.clone(),
            sick: self.sick.clone(),
            writes: self.writes.clone(),
        }))
    }

    fn changelog(&self, shard: u32) -> Arc<dyn Changelog> {
        Arc::new(ChaosChangelog {
            inner: self.inner.changelog(shard),
            fuse: self.fuse.clone(),
            closed: self.closed.clone(),
            lost: self.lost.clone(),
        })
    }

    fn watch(&self, partitions: Vec<(TopicName, PartitionIndex)>) -> BoxStream<'static, StreamEnd> {
        if let Some(first) = self.before_watch.lock().take() {
            first(&self.inner);
        }
        // As over the wire: a partition that the log cannot tell of ends the watch of all.
        let mute = self.mute.clone();
        let told = move |_: &StreamEnd| std::future::ready(mute.lock().is_none());
        self.inner.watch(partitions).take_while(told).boxed()
    }
}

struct ChaosWriter {
    inner: Arc<dyn StreamWriter>,
    fuse: Arc<Fuse>,
    sick: Arc<Mutex<Option<TopicName>>>,
    writes: Arc<AtomicU32>,
}

#[async_trait]
impl StreamWriter for ChaosWriter {
    fn id(&self) -> ProducerId {
        self.inner.id()
    }

    async fn produce(
        &self,
        topic: &TopicName,
        mut records: Vec<(PartitionIndex, Vec<StreamRecord>)>,
    ) -> Vec<Result<WrittenTo, StreamsError>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        if self.sick.lock().as_ref() == Some(topic) {
            let reason = "it is sick".to_owned();
            return vec![Err(StreamsError::Unavailable { reason }); records.len()];
        }
        if self.fuse.burns() {
            // Killed before the records were written, or some of them, or all before anybody knew.
            let written = self.fuse.random.lock().random_range(0..=records.len());
            records.truncate(written);
            self.inner.produce(topic, records).await;
            return self.fuse.die().await;
        }
        self.inner.produce(topic, records).await
    }
}

struct ChaosChangelog {
    inner: Arc<dyn Changelog>,
    fuse: Arc<Fuse>,
    closed: Arc<Mutex<bool>>,
    lost: Arc<Mutex<Option<Offset>>>,
}

#[async_trait]
impl Changelog for ChaosChangelog {
    async fn fence(&self) -> Result<Fence, ChangelogError> {
        self.inner.fence().await
    }

    async fn append(&self, epoch: OwnerEpoch, piece: Bytes) -> Result<Offset, ChangelogError> {
        let reason = "it is closed".to_owned();
        if *self.closed.lock() {
            // Nobody knows whether a refused piece is there.
            if self.fuse.random.lock().random() {
                self.inner.append(epoch, piece).await?;
            }
            return Err(ChangelogError::Unavailable { reason });
        }
        if self.fuse.burns() {
            if self.fuse.random.lock().random() {
                self.inner.append(epoch, piece).await?;
            }
            return self.fuse.die().await;
        }
        self.inner.append(epoch, piece).await
    }

    async fn read(&self, from: Offset) -> Result<ChangelogPart, ChangelogError> {
        let mut part = self.inner.read(from).await?;
        let lost = self.lost.lock().filter(|lost| (from..part.next).contains(lost));
        if let Some(lost) = lost {
            part.pieces.remove(usize::try_from(lost.0 - from.0).unwrap());
        }
        Ok(part)
    }

    async fn trim(&self, before: Offset) -> Result<(), ChangelogError> {
        self.inner.trim(before).await
    }
}
