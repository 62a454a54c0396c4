//! The producer: records gather into one batch per partition, batches of many partitions travel in one request.
//!
//! One batch per partition is under way at a time; what arrives meanwhile gathers in the next one, so batches grow
//! with load and order never depends on retries. A retried batch is the same bytes with the same sequence number.

mod accumulate;
mod sender;

use crate::client::Client;
use crate::error::Error;
use crate::record::Record;
use accumulate::{Delivery, State};
use millstream_model::{ProducerEpoch, ProducerId};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};

pub use millstream_kafka_wire::batch::Compression;

/// When a record counts as delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// When it was sent.
    None,
    /// When the leader has it on disk.
    Leader,
    /// When every in-sync replica has it on disk.
    All,
}

/// How a producer behaves.
#[derive(Clone, Debug)]
pub struct ProducerSettings {
    /// When a record counts as delivered.
    pub acks: Acks,
    /// Whether retries may never double a record. Needs [`Acks::All`].
    pub idempotent: bool,
    /// How long a batch that is not full waits for company.
    pub linger: Duration,
    /// A batch is sent when it has this many bytes.
    pub batch_bytes: usize,
    /// Bytes that may wait; [`Producer::enqueue`] waits for room.
    pub buffer_bytes: usize,
    /// How batches are compressed.
    pub compression: Compression,
    /// How long a record may take, retries included.
    pub delivery_timeout: Duration,
    /// The id of an idempotent producer, from [`Client::init_producer`], where the caller must know it; its own when
    /// absent. No two producers may have one.
    pub identity: Option<(ProducerId, ProducerEpoch)>,
}

impl Default for ProducerSettings {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            idempotent: true,
            linger: Duration::from_millis(2),
            batch_bytes: 512 * 1024,
            buffer_bytes: 32 * 1024 * 1024,
            compression: Compression::None,
            delivery_timeout: Duration::from_secs(120),
            identity: None,
        }
    }
}

/// Where a record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its partition.
    pub partition: u32,
    /// Its offset; -1 with [`Acks::None`].
    pub offset: i64,
}

/// Sends records. Cheap to clone; all clones share one order and one buffer. Dropping the last one stops it after
/// what was enqueued is sent or has failed.
#[derive(Clone)]
pub struct Producer {
    shared: Arc<Shared>,
    _last: Arc<LastHandle>,
}

pub(crate) struct Shared {
    client: Client,
    settings: ProducerSettings,
    state: Mutex<State>,
    /// Rung when there may be something to send.
    wake: Notify,
    /// Rung when something was delivered or failed.
    settled: Notify,
    room: Arc<Semaphore>,
    partitions: Mutex<HashMap<String, u32>>,
}

/// Tells the sender to finish when the last producer handle goes.
struct LastHandle(Arc<Shared>);

impl Drop for LastHandle {
    fn drop(&mut self) {
        self.0.state.lock().close();
        self.0.wake.notify_one();
    }
}

impl Client {
    /// A producer with its own buffers and, if idempotent, its own producer id.
    pub fn producer(&self, settings: ProducerSettings) -> Producer {
        Producer::start(self.clone(), settings)
    }
}

impl Producer {
    pub(crate) fn start(client: Client, settings: ProducerSettings) -> Producer {
        let shared = Arc::new(Shared {
            room: Arc::new(Semaphore::new(settings.buffer_bytes.min(Semaphore::MAX_PERMITS))),
            client,
            settings,
            state: Mutex::new(State::default()),
            wake: Notify::new(),
            settled: Notify::new(),
            partitions: Mutex::new(HashMap::new()),
        });
        tokio::spawn(sender::run(Arc::clone(&shared)));
        Producer {
            _last: Arc::new(LastHandle(Arc::clone(&shared))),
            shared,
        }
    }

    /// Sends a record and waits until it is delivered.
    ///
    /// # Errors
    /// When the topic is unknown, the record is refused, or it was not delivered in time.
    pub async fn send(&self, topic: &str, record: Record) -> Result<Delivered, Error> {
        self.enqueue(topic, record).await?.await
    }

    /// Puts a record into its batch, waiting for room, and answers a future of its delivery. Records enqueued one
    /// after the other keep their order within a partition.
    ///
    /// # Errors
    /// When the topic is unknown, the record is too large for the buffer, or the producer has failed or was closed.
    pub async fn enqueue(&self, topic: &str, record: Record) -> Result<Delivery, Error> {
        let count = self.partition_count(topic).await?;
        if let Some(partition) = record.partition.filter(|it| *it >= count) {
            return Err(Error::Invalid(format!(
                "topic {topic} has {count} partitions, there is no {partition}"
            )));
        }
        let bytes = record.bytes();
        if bytes > self.shared.settings.buffer_bytes {
            return Err(Error::Invalid(format!(
                "a record of {bytes} bytes is larger than the producer's buffer of {}",
                self.shared.settings.buffer_bytes
            )));
        }
        let permits = u32::try_from(bytes).map_err(|_| Error::Invalid("the record is too large".into()))?;
        let room = Arc::clone(&self.shared.room).acquire_many_owned(permits).await;
        let room = room.map_err(|_| Error::Closed("the producer was closed".into()))?;
        let delivery = self
            .shared
            .state
            .lock()
            .push(topic, count, record, room, &self.shared.settings)?;
        self.shared.wake.notify_one();
        Ok(delivery)
    }

    /// Waits until everything enqueued so far is delivered or has failed; failures are told by their deliveries.
    pub async fn flush(&self) {
        let target = self.shared.state.lock().begin_flush();
        self.shared.wake.notify_one();
        loop {
            let settled = self.shared.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            if self.shared.state.lock().is_settled(target) {
                return;
            }
            settled.await;
        }
    }

    async fn partition_count(&self, topic: &str) -> Result<u32, Error> {
        if let Some(count) = self.shared.partitions.lock().get(topic) {
            return Ok(*count);
        }
        let count = self.shared.client.admin().get_topic(topic).await?.partitions;
        self.shared.partitions.lock().insert(topic.to_owned(), count);
        Ok(count)
    }
}
