//! Where the partitions that a shard reads end, as the log reports it.

use crate::streams::{StreamPosition, Streams};
use futures::StreamExt;
use millstream_model::{Backoff, Offset, PartitionIndex, TopicName, Waits};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Reports taken in at a time. Those that come together count together: a task that merges partitions must not see
/// one partition's news before another's of the same moment.
const REPORTS_MAX: usize = 16_384;

/// How long to wait before watching again when the log hung up; longer while nothing is told.
const AGAIN: Waits = Waits::new(Duration::from_millis(200), Duration::from_secs(5));

/// How many partitions are asked at once where a watch tells nothing, and how long for.
const ASKED_AT_ONCE: usize = 16;
const ASK_MAX: Duration = Duration::from_secs(2);

type Partition = (TopicName, PartitionIndex);

/// Where partitions end, as far as it was told; ends only grow.
#[derive(Default)]
struct Known(Mutex<HashMap<Partition, Offset>>);

impl Known {
    fn take_in(&self, ends: impl Iterator<Item = (Partition, Offset)>) {
        let mut known = self.0.lock();
        for (partition, offset) in ends {
            let end = known.entry(partition).or_insert(offset);
            *end = offset.max(*end);
        }
    }
}

/// A watch over the partitions of all queries of a shard.
pub(crate) struct Ends {
    streams: Arc<dyn Streams>,
    known: Arc<Known>,
    changed: Arc<Notify>,
    /// The log hung up, or a watch has begun, since somebody last asked: a topic may be gone, or another one.
    troubled: Arc<AtomicBool>,
    watched: BTreeSet<Partition>,
    watcher: Option<JoinHandle<()>>,
}

impl Ends {
    pub(crate) fn new(streams: Arc<dyn Streams>, changed: Arc<Notify>) -> Self {
        Self {
            streams,
            known: Arc::default(),
            changed,
            troubled: Arc::default(),
            watched: BTreeSet::new(),
            watcher: None,
        }
    }

    /// Watches these partitions from now on, and no others.
    pub(crate) fn watch(&mut self, partitions: BTreeSet<Partition>) {
        if partitions == self.watched {
            return;
        }
        if let Some(watcher) = self.watcher.take() {
            watcher.abort();
        }
        self.watched = partitions;
        if self.watched.is_empty() {
            return;
        }
        let (streams, known, changed) = (self.streams.clone(), self.known.clone(), self.changed.clone());
        let troubled = self.troubled.clone();
        let partitions: Vec<Partition> = self.watched.iter().cloned().collect();
        self.watcher = Some(tokio::spawn(async move {
            let mut backoff = Backoff::new(AGAIN);
            loop {
                let mut reports = streams.watch(partitions.clone()).ready_chunks(REPORTS_MAX);
                let mut told = false;
                while let Some(reports) = reports.next().await {
                    if !told {
                        // What was deleted and made again before the watch began is not told by it.
                        troubled.store(true, Ordering::Release);
                    }
                    told = true;
                    backoff.reset();
                    let ends = reports.into_iter();
                    known.take_in(ends.map(|report| ((report.topic, report.partition), report.end)));
                    changed.notify_one();
                }
                troubled.store(true, Ordering::Release);
                changed.notify_one();
                if !told {
                    ask_each(streams.as_ref(), &partitions, &known).await;
                    changed.notify_one();
                }
                tokio::time::sleep(backoff.next(rand::random())).await;
            }
        }));
    }

    /// What was just read from the log itself.
    pub(crate) fn learn(&self, topic: &TopicName, ends: &[(PartitionIndex, Offset)]) {
        let of_topic = |(partition, end): &(PartitionIndex, Offset)| ((topic.clone(), *partition), *end);
        self.known.take_in(ends.iter().map(of_topic));
    }

    /// Whether the log hung up or a watch has begun since this was last asked: then topics are to be looked at. One that
    /// is gone ends the watch of all.
    pub(crate) fn was_troubled(&self) -> bool {
        self.troubled.swap(false, Ordering::AcqRel)
    }

    /// A topic was deleted: what was known of it says nothing of one that is made again.
    pub(crate) fn forget(&mut self, topic: &TopicName) {
        self.known.0.lock().retain(|(known, _), _| known != topic);
        // Watched anew, whatever is watched then.
        self.watched.clear();
        if let Some(watcher) = self.watcher.take() {
            watcher.abort();
        }
    }

    /// Looks up many at one moment.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&HashMap<Partition, Offset>) -> T) -> T {
        look(&self.known.0.lock())
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(watcher) = self.watcher.take() {
            watcher.abort();
        }
    }
}

/// Asks for each partition by itself: one that the log cannot tell of ends the watch of all.
async fn ask_each(streams: &dyn Streams, partitions: &[Partition], known: &Known) {
    let ask = |(topic, partition): Partition| async move {
        let asked = streams.offsets(&topic, std::slice::from_ref(&partition), StreamPosition::Latest);
        let ends = tokio::time::timeout(ASK_MAX, asked).await.ok()?.ok()?;
        Some(((topic, partition), *ends.first()?))
    };
    let asked = futures::stream::iter(partitions.iter().cloned().map(ask));
    let answers: Vec<_> = asked.buffer_unordered(ASKED_AT_ONCE).collect().await;
    known.take_in(answers.into_iter().flatten());
}
