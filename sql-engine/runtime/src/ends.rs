//! Where the partitions that a shard reads end, as the log reports it.

use crate::streams::Streams;
use futures::StreamExt;
use millstream_model::{Offset, PartitionIndex, TopicName};
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Reports taken in at a time. Those that come together count together: a task that merges partitions must not see
/// one partition's news before another's of the same moment.
const REPORTS_MAX: usize = 16_384;

/// How long to wait before watching again when the log hung up.
const AGAIN: Duration = Duration::from_millis(200);

type Partition = (TopicName, PartitionIndex);

/// A watch over the partitions of all queries of a shard.
pub(crate) struct Ends {
    streams: Arc<dyn Streams>,
    known: Arc<Mutex<HashMap<Partition, Offset>>>,
    changed: Arc<Notify>,
    watched: BTreeSet<Partition>,
    watcher: Option<JoinHandle<()>>,
}

impl Ends {
    pub(crate) fn new(streams: Arc<dyn Streams>, changed: Arc<Notify>) -> Self {
        Self {
            streams,
            known: Arc::default(),
            changed,
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
        let partitions: Vec<Partition> = self.watched.iter().cloned().collect();
        self.watcher = Some(tokio::spawn(async move {
            loop {
                let mut reports = streams.watch(partitions.clone()).ready_chunks(REPORTS_MAX);
                while let Some(reports) = reports.next().await {
                    let mut known = known.lock();
                    for report in reports {
                        let end = known
                            .entry((report.topic, report.partition))
                            .or_insert(report.end);
                        *end = report.end.max(*end);
                    }
                    drop(known);
                    changed.notify_one();
                }
                tokio::time::sleep(AGAIN).await;
            }
        }));
    }

    /// What was just read from the log itself.
    pub(crate) fn learn(&self, topic: &TopicName, ends: &[(PartitionIndex, Offset)]) {
        let mut known = self.known.lock();
        for (partition, offset) in ends {
            let end = known.entry((topic.clone(), *partition)).or_insert(*offset);
            *end = (*end).max(*offset);
        }
    }

    /// Looks up many at one moment.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&HashMap<Partition, Offset>) -> T) -> T {
        look(&self.known.lock())
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(watcher) = self.watcher.take() {
            watcher.abort();
        }
    }
}
