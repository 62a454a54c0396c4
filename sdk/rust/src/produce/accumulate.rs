//! What waits in a producer: per partition, batches in the making and the one under way. No I/O.

use super::{Delivered, ProducerSettings};
use crate::error::Error;
use crate::record::Record;
use bytes::Bytes;
use millstream_kafka_wire::batch::{
    BatchBuilder, BatchError, Compression, NewRecord, Producer as Sequenced, batches,
};
use millstream_kafka_wire::partitioner::partition_for_key;
use millstream_model::{Backoff, ProducerEpoch, ProducerId, TimestampMs, Waits};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// The waits before what failed is sent again: first what a change of leader takes, last what is noticed when it is over.
pub(super) const RETRY: Waits = Waits::new(Duration::from_millis(40), Duration::from_millis(1_280));

/// A future of one record's delivery.
pub struct Delivery {
    result: oneshot::Receiver<Result<Delivered, Error>>,
}

impl Future for Delivery {
    type Output = Result<Delivered, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.result)
            .poll(context)
            .map(|result| result.unwrap_or_else(|_| Err(Error::Closed("the producer was closed".into()))))
    }
}

/// A topic and a partition.
pub(super) type Place = (Arc<str>, u32);

#[derive(Default)]
pub(super) struct State {
    queues: BTreeMap<Place, Queue>,
    /// Set once, when the producer cannot go on.
    failed: Option<Error>,
    closed: bool,
    /// Records ever enqueued, and of those the ones delivered or failed.
    enqueued: u64,
    settled: u64,
    /// Everything up to this count of records is sent without lingering.
    flush_to: u64,
    /// Spreads records without key.
    spread: u32,
    /// No request before this time: the service asked for it.
    muted_until: Option<Instant>,
}

#[derive(Default)]
struct Queue {
    drafts: VecDeque<Draft>,
    under_way: bool,
    next_sequence: i32,
    retry_at: Option<Instant>,
}

/// A batch in the making, or made and under way.
struct Draft {
    builder: BatchBuilder,
    waiters: Vec<(oneshot::Sender<Result<Delivered, Error>>, OwnedSemaphorePermit)>,
    opened: Instant,
    /// The number of its first record among all enqueued.
    first: u64,
    /// Once made, a batch never changes: a retry sends the same bytes.
    made: Option<Bytes>,
    backoff: Backoff,
}

/// A batch that is to be sent now.
pub(super) struct Outgoing {
    pub place: Place,
    pub batch: Bytes,
}

/// How the sending of a batch ended.
pub(super) enum Ending {
    Delivered { base_offset: i64 },
    Failed(Error),
}

impl State {
    pub(super) fn push(
        &mut self,
        topic: &str,
        partitions: u32,
        record: Record,
        room: OwnedSemaphorePermit,
        settings: &ProducerSettings,
    ) -> Result<Delivery, Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let partition = self.choose_partition(&record, partitions);
        let first = self.enqueued;
        let queue = self.queues.entry((Arc::from(topic), partition)).or_default();
        let headers: Vec<(&str, Option<&[u8]>)> = record
            .headers
            .iter()
            .map(|it| (it.name.as_str(), it.value.as_deref()))
            .collect();
        let new = NewRecord {
            timestamp: record.timestamp_ms.map_or_else(TimestampMs::now, TimestampMs),
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        };
        let fits = queue.drafts.back().is_some_and(|draft| {
            draft.made.is_none() && draft.builder.size() + BatchBuilder::size_of(&new) <= settings.batch_bytes
        });
        let (sender, result) = oneshot::channel();
        if fits && let Some(draft) = queue.drafts.back_mut() {
            draft.builder.push(new).map_err(refused)?;
            draft.waiters.push((sender, room));
        } else {
            let mut builder = BatchBuilder::new().compression(settings.compression);
            builder.push(new).map_err(refused)?;
            let waiters = vec![(sender, room)];
            queue.drafts.push_back(Draft {
                builder,
                waiters,
                opened: Instant::now(),
                first,
                made: None,
                backoff: Backoff::new(RETRY),
            });
        }
        self.enqueued += 1;
        Ok(Delivery { result })
    }

    fn choose_partition(&mut self, record: &Record, partitions: u32) -> u32 {
        match (record.partition, &record.key) {
            (Some(partition), _) => partition,
            (None, Some(key)) => partition_for_key(key, partitions),
            (None, None) => {
                self.spread = self.spread.wrapping_add(1);
                // Runs of 64 share a partition, so that batches have company.
                (self.spread >> 6) % partitions.max(1)
            }
        }
    }

    pub(super) fn close(&mut self) {
        self.closed = true;
        self.flush_to = self.enqueued;
    }

    pub(super) fn begin_flush(&mut self) -> u64 {
        self.flush_to = self.enqueued;
        self.enqueued
    }

    pub(super) fn is_settled(&self, target: u64) -> bool {
        self.settled >= target
            || self
                .queues
                .values()
                .all(|queue| queue.drafts.front().is_none_or(|it| it.first >= target))
    }

    /// Whether the sender has nothing left to do, ever.
    pub(super) fn is_finished(&self) -> bool {
        self.closed && self.queues.values().all(|queue| queue.drafts.is_empty())
    }

    pub(super) fn mute(&mut self, until: Instant) {
        self.muted_until = Some(until);
    }

    /// Takes what is due, up to `bytes_max`, and says when the next thing will be due.
    pub(super) fn take_due(
        &mut self,
        now: Instant,
        producer: Option<(ProducerId, ProducerEpoch)>,
        settings: &ProducerSettings,
        bytes_max: usize,
    ) -> (Vec<Outgoing>, Option<Instant>) {
        if let Some(until) = self.muted_until.filter(|until| *until > now) {
            return (Vec::new(), Some(until));
        }
        let (mut due, mut next, mut bytes) = (Vec::new(), None::<Instant>, 0);
        let mut settled = 0;
        for (place, queue) in &mut self.queues {
            if queue.under_way || queue.drafts.is_empty() {
                continue;
            }
            let at = queue.due_at(settings, self.flush_to);
            if at > now {
                next = Some(next.map_or(at, |it| it.min(at)));
                continue;
            }
            if bytes >= bytes_max {
                next = Some(now);
                break;
            }
            match queue.make(producer) {
                Ok(batch) => {
                    bytes += batch.len();
                    queue.under_way = true;
                    due.push(Outgoing {
                        place: place.clone(),
                        batch,
                    });
                }
                Err(error) => settled += queue.settle(place.1, &Ending::Failed(refused(error))),
            }
        }
        self.settled += settled;
        (due, next)
    }

    /// A batch is done, for better or worse.
    pub(super) fn finish(&mut self, place: &Place, ending: &Ending) {
        if let Some(queue) = self.queues.get_mut(place) {
            self.settled += queue.settle(place.1, ending);
        }
    }

    /// A batch is to be sent again, unless its time is up. Answers the error if so.
    pub(super) fn retry(&mut self, place: &Place, error: Error, timeout: Duration) -> Option<Error> {
        let queue = self.queues.get_mut(place)?;
        let draft = queue.drafts.front_mut()?;
        if draft.opened.elapsed() >= timeout {
            let late = late(error, timeout);
            self.settled += queue.settle(place.1, &Ending::Failed(late.clone()));
            return Some(late);
        }
        queue.retry_at = Some(Instant::now() + draft.backoff.next(rand::random()));
        queue.under_way = false;
        None
    }

    /// A batch was refused for what is in it: it is cut in two, so that in the end only the record at fault is refused.
    /// Says whether that can be: one record is not cut.
    pub(super) fn split(&mut self, place: &Place, settings: &ProducerSettings) -> bool {
        self.queues
            .get_mut(place)
            .is_some_and(|queue| queue.split(settings))
    }

    /// The producer cannot go on: everything that waits fails.
    pub(super) fn fail(&mut self, error: &Error) {
        self.failed.get_or_insert_with(|| error.clone());
        for (place, queue) in &mut self.queues {
            while !queue.drafts.is_empty() {
                self.settled += queue.settle(place.1, &Ending::Failed(error.clone()));
            }
        }
    }
}

impl Queue {
    fn due_at(&self, settings: &ProducerSettings, flush_to: u64) -> Instant {
        let Some(draft) = self.drafts.front() else {
            return Instant::now() + settings.linger;
        };
        let ready = draft.made.is_some()
            || self.drafts.len() > 1
            || draft.first < flush_to
            || draft.builder.size() >= settings.batch_bytes;
        let at = if ready {
            draft.opened
        } else {
            draft.opened + settings.linger
        };
        self.retry_at.map_or(at, |retry_at| at.max(retry_at))
    }

    /// The first draft as bytes; made once.
    fn make(&mut self, producer: Option<(ProducerId, ProducerEpoch)>) -> Result<Bytes, BatchError> {
        let Some(draft) = self.drafts.front_mut() else {
            return Ok(Bytes::new());
        };
        if let Some(made) = &draft.made {
            return Ok(made.clone());
        }
        let mut builder = std::mem::take(&mut draft.builder);
        let count = builder.record_count();
        if let Some((id, epoch)) = producer {
            builder = builder.producer(Sequenced {
                id,
                epoch,
                base_sequence: self.next_sequence,
            });
        }
        let made = builder.build()?;
        // Sequence numbers wrap to 0 after 2^31 - 1.
        self.next_sequence = self.next_sequence.wrapping_add(count) & i32::MAX;
        draft.made = Some(made.clone());
        Ok(made)
    }

    /// Makes two drafts of the first one, in order.
    fn split(&mut self, settings: &ProducerSettings) -> bool {
        let Some(draft) = self.drafts.front() else {
            return false;
        };
        let count = draft.waiters.len();
        let halves = draft
            .made
            .clone()
            .filter(|_| count > 1)
            .and_then(|made| halves(&made, count / 2, settings.compression));
        let Some((first, second)) = halves else {
            return false;
        };
        let Some(mut draft) = self.drafts.pop_front() else {
            return false;
        };
        // Refused, so not written: its numbers are free again.
        let numbers = i32::try_from(count).unwrap_or(i32::MAX);
        self.next_sequence = self.next_sequence.wrapping_sub(numbers) & i32::MAX;
        let behind = draft.waiters.split_off(count / 2);
        let before = draft.waiters.len() as u64;
        let of = |builder, waiters, first| Draft {
            builder,
            waiters,
            opened: draft.opened,
            first,
            made: None,
            backoff: Backoff::new(RETRY),
        };
        self.drafts.push_front(of(second, behind, draft.first + before));
        let waiters = std::mem::take(&mut draft.waiters);
        self.drafts.push_front(of(first, waiters, draft.first));
        (self.under_way, self.retry_at) = (false, None);
        true
    }

    /// Tells the waiters of the first draft and drops it; answers how many there were.
    fn settle(&mut self, partition: u32, ending: &Ending) -> u64 {
        self.under_way = false;
        self.retry_at = None;
        let Some(draft) = self.drafts.pop_front() else {
            return 0;
        };
        let count = draft.waiters.len();
        if matches!(ending, Ending::Failed(_)) && draft.made.is_some() {
            // Refused, so not written: its numbers are free again. (An unclear end fails the whole producer.)
            let count = i32::try_from(count).unwrap_or(i32::MAX);
            self.next_sequence = self.next_sequence.wrapping_sub(count) & i32::MAX;
        }
        for (index, (waiter, _room)) in draft.waiters.into_iter().enumerate() {
            let result = match ending {
                Ending::Delivered { base_offset: -1 } => Ok(Delivered {
                    partition,
                    offset: -1,
                }),
                Ending::Delivered { base_offset } => Ok(Delivered {
                    partition,
                    offset: base_offset + i64::try_from(index).unwrap_or(i64::MAX),
                }),
                Ending::Failed(error) => Err(error.clone()),
            };
            // The caller may have stopped waiting.
            let _ = waiter.send(result);
        }
        u64::try_from(count).unwrap_or(u64::MAX)
    }
}

/// The records of a batch as two batches, the first with `count` of them. None if it does not read.
fn halves(made: &Bytes, count: usize, compression: Compression) -> Option<(BatchBuilder, BatchBuilder)> {
    let mut halves = [(); 2].map(|()| BatchBuilder::new().compression(compression));
    let mut index = 0;
    for batch in batches(made.clone()) {
        let set = batch.ok()?.records().ok()?;
        for record in set.iter() {
            let record = record.ok()?;
            let named: Vec<_> = record.headers.map(|it| (it.name(), it.value)).collect();
            let headers: Vec<(&str, Option<&[u8]>)> = named
                .iter()
                .map(|(name, value)| (name.as_ref(), *value))
                .collect();
            let half = &mut halves[usize::from(index >= count)];
            half.push(NewRecord {
                timestamp: record.timestamp,
                key: record.key,
                value: record.value,
                headers: &headers,
            })
            .ok()?;
            index += 1;
        }
    }
    let [first, second] = halves;
    Some((first, second))
}

fn refused(error: BatchError) -> Error {
    Error::Invalid(format!("the record does not fit into a batch: {error}"))
}

/// What is told when the time is up: the service's last refusal, if it answered at all.
fn late(error: Error, timeout: Duration) -> Error {
    match error {
        Error::Partition {
            topic,
            partition,
            code,
            message,
            retriable,
        } => Error::Partition {
            topic,
            partition,
            code,
            message: format!("not delivered within {timeout:?}: {message}"),
            retriable,
        },
        silent => Error::Timeout(format!("not delivered within {timeout:?}: {silent}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Ending, Error, Place, ProducerSettings, State, batches, late};
    use crate::record::Record;
    use bytes::Bytes;
    use millstream_model::{ProducerEpoch, ProducerId};
    use std::sync::Arc;
    use std::time::{Duration, Instant};
    use tokio::sync::Semaphore;

    /// One record of many is at fault: those before and behind it are sent, in order and with numbers in a row.
    #[tokio::test]
    async fn a_refused_batch_is_cut_until_one_record_is_refused() {
        let settings = ProducerSettings::default();
        let place: Place = (Arc::from("t"), 0);
        let room = Arc::new(Semaphore::new(1000));
        let mut state = State::default();
        let mut deliveries = Vec::new();
        for value in 0..7_u8 {
            let record = Record {
                partition: Some(0),
                value: Some(Bytes::from(vec![value])),
                timestamp_ms: Some(i64::from(value)),
                headers: vec![crate::record::Header {
                    name: "h".into(),
                    value: Some(Bytes::from(vec![value])),
                }],
                ..Record::default()
            };
            let permit = room.clone().acquire_many_owned(1).await.unwrap();
            deliveries.push(state.push("t", 1, record, permit, &settings).unwrap());
        }
        state.begin_flush();
        let (mut written, mut next) = (Vec::new(), 0);
        while let (mut due, _) = state.take_due(
            Instant::now(),
            Some((ProducerId(1), ProducerEpoch(0))),
            &settings,
            1 << 20,
        ) && let Some(outgoing) = due.pop()
        {
            let batch = batches(outgoing.batch).next().unwrap().unwrap();
            assert_eq!(batch.header().base_sequence, next, "numbers in a row");
            let set = batch.records().unwrap();
            let records: Vec<_> = set.iter().map(Result::unwrap).collect();
            assert!(records.iter().all(|it| it.headers.count() == 1));
            let values: Vec<u8> = records.iter().map(|it| it.value.unwrap()[0]).collect();
            if values.contains(&4) {
                if !state.split(&place, &settings) {
                    state.finish(&place, &Ending::Failed(Error::Invalid("no".into())));
                }
                continue;
            }
            next += i32::try_from(values.len()).unwrap();
            written.extend(values);
            state.finish(&place, &Ending::Delivered { base_offset: 0 });
        }
        assert_eq!(written, [0, 1, 2, 3, 5, 6]);
        let mut failed = Vec::new();
        for (index, delivery) in deliveries.into_iter().enumerate() {
            if delivery.await.is_err() {
                failed.push(index);
            }
        }
        assert_eq!(failed, [4]);
        assert_eq!(room.available_permits(), 1000);
    }

    #[test]
    fn a_service_that_answered_is_not_said_to_be_silent() {
        let timeout = Duration::from_secs(120);
        let full = Error::Partition {
            topic: "t".into(),
            partition: 0,
            code: "THROTTLING_QUOTA_EXCEEDED".into(),
            message: "the journal is full".into(),
            retriable: true,
        };
        assert_eq!(
            late(full, timeout).to_string(),
            "t-0: not delivered within 120s: the journal is full (THROTTLING_QUOTA_EXCEEDED)"
        );
        assert!(matches!(
            late(Error::Unavailable("gone".into()), timeout),
            Error::Timeout(_)
        ));
    }
}
