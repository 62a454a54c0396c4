//! A broker over a temporary folder and a store in memory, which can be stopped, killed and started again.

use crate::catalog::{Catalog, partition};
use bytes::Bytes;
use millstream_access::{Principal, RootKeys};
use millstream_broker::interface::{
    Acks, Fetch, FetchPartition, Fetched, Isolation, ListOffset, OffsetError, Produce, ProduceError, Produced,
};
use millstream_broker::{Broker, Components, Handle, Settings, StartError};
use millstream_kafka_wire::batch::{BatchBuilder, NewRecord, Producer, batches};
use millstream_metadata::HostPort;
use millstream_model::{Offset, OwnerEpoch, PartitionId, TimestampMs, TopicId};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

pub struct World {
    pub catalog: Arc<Catalog>,
    pub folder: TempDir,
    pub store: Arc<dyn ObjectStore>,
    pub roots: Arc<RootKeys>,
}

pub struct Node {
    pub broker: Broker,
    pub handle: Handle,
    pub registry: Registry,
}

impl World {
    pub fn new() -> World {
        // Shown when a test fails; whoever comes second finds it done.
        let _ = tracing_subscriber::fmt()
            .with_test_writer()
            .with_env_filter("info,millstream_broker=debug")
            .try_init();
        World {
            catalog: Catalog::new(),
            folder: tempfile::tempdir().unwrap(),
            store: Arc::new(InMemory::new()),
            roots: Arc::new(RootKeys::from_random([7; 32])),
        }
    }

    pub fn settings(&self) -> Settings {
        let address = |port| HostPort {
            host: "localhost".to_owned(),
            port,
        };
        let mut settings = Settings::new(self.folder.path().to_owned(), address(9092), address(8080));
        settings.journal.size_bytes = 16 * 1024 * 1024;
        settings.journal.file_bytes = 2 * 1024 * 1024;
        settings.journal.commit_bytes_max = 1024 * 1024;
        settings.flush.age_ms = i64::MAX;
        settings.flush_interval = Duration::from_millis(20);
        settings.snapshot_interval = Duration::from_secs(3600);
        settings.groups.initial_rebalance_delay_ms = 50;
        settings.groups.session_timeout_ms_min = 10;
        settings
    }

    pub async fn start(&self, settings: Settings) -> Node {
        self.try_start(settings).await.unwrap()
    }

    pub async fn try_start(&self, settings: Settings) -> Result<Node, StartError> {
        let components = Components {
            image: self.catalog.watch.clone(),
            commands: Arc::clone(&self.catalog) as _,
            store: Arc::clone(&self.store),
            prefix: object_store::path::Path::default(),
            roots: Arc::clone(&self.roots),
        };
        let mut registry = Registry::default();
        let (broker, handle) = Broker::start(settings, components, &mut registry).await?;
        Ok(Node {
            broker,
            handle,
            registry,
        })
    }

    /// Takes every file that the disk holds.
    pub fn erase_disk(&mut self) {
        self.folder = tempfile::tempdir().unwrap();
    }
}

impl Node {
    pub async fn stop(self) {
        let Node { broker, handle, .. } = self;
        drop(broker);
        handle.shutdown().await.unwrap();
    }

    pub fn metric(&self, name: &str) -> f64 {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let name = format!("broker_{name}");
        // The sum over its labels, unless they are named.
        let is_meant = |line: &&str| match name.contains('{') {
            true => line.starts_with(&name),
            false => line.split([' ', '{']).next() == Some(&name),
        };
        let lines = text.lines().filter(is_meant);
        let values = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum()
    }
}

/// How many batches were refused, for each of these reasons.
pub fn refused<const N: usize>(node: &Node, reasons: [&str; N]) -> [f64; N] {
    reasons.map(|reason| node.metric(&format!("produce_refused_total{{reason=\"{reason}\"}}")))
}

/// A batch of records whose values are given.
pub fn batch(values: &[&str]) -> Bytes {
    batch_at(TimestampMs::now(), values)
}

pub fn batch_at(timestamp: TimestampMs, values: &[&str]) -> Bytes {
    fill(BatchBuilder::new(), timestamp, values)
}

pub fn idempotent(producer: Producer, values: &[&str]) -> Bytes {
    fill(BatchBuilder::new().producer(producer), TimestampMs::now(), values)
}

fn fill(mut builder: BatchBuilder, timestamp: TimestampMs, values: &[&str]) -> Bytes {
    for value in values {
        let record = NewRecord {
            timestamp,
            key: None,
            value: Some(value.as_bytes()),
            headers: &[],
        };
        builder.push(record).unwrap();
    }
    builder.build().unwrap()
}

pub async fn produce(
    broker: &Broker,
    who: &Principal,
    to: PartitionId,
    batch: Bytes,
) -> Result<Produced, ProduceError> {
    let timeout = Duration::from_secs(20);
    broker
        .produce(
            who,
            Produce {
                partition: to,
                batch,
                owner_epoch: OwnerEpoch(0),
                acks: Acks::All,
                timeout,
            },
        )
        .await
}

pub fn fetch_of(from: PartitionId, offset: i64, wait: Duration) -> Fetch {
    let asked = FetchPartition {
        partition: from,
        offset: Offset(offset),
        leader_epoch: None,
        bytes_max: 1024 * 1024,
    };
    Fetch {
        partitions: vec![asked],
        bytes_min: 1,
        bytes_max: 4 * 1024 * 1024,
        wait_max: wait,
        isolation: Isolation::ReadUncommitted,
    }
}

pub async fn fetch(broker: &Broker, who: &Principal, from: PartitionId, offset: i64) -> Fetched {
    broker.fetch(who, fetch_of(from, offset, Duration::ZERO)).await
}

/// Every value from an offset on, with its offset, however many fetches it takes.
pub async fn read_all(
    broker: &Broker,
    who: &Principal,
    from: PartitionId,
    offset: i64,
) -> Vec<(i64, String)> {
    let (mut next, mut values) = (offset, Vec::new());
    loop {
        let fetched = fetch(broker, who, from, next).await;
        let [answer] = &fetched.partitions[..] else {
            panic!("one partition was asked")
        };
        assert_eq!(answer.error, None);
        if answer.records.is_empty() {
            assert_eq!(Offset(next), answer.high_watermark);
            return values;
        }
        for batch in answer.records.iter().flat_map(|piece| batches(piece.clone())) {
            let batch = batch.unwrap();
            batch.check().unwrap();
            for record in batch.records().unwrap().iter() {
                let record = record.unwrap();
                if record.offset.0 >= next {
                    values.push((
                        record.offset.0,
                        String::from_utf8(record.value.unwrap().to_vec()).unwrap(),
                    ));
                }
            }
            next = batch.header().next_offset().0;
        }
    }
}

/// The bytes of a partition as they are fetched.
pub async fn bytes_of(broker: &Broker, who: &Principal, from: PartitionId) -> Vec<u8> {
    first_bytes_of(broker, who, from, usize::MAX).await
}

/// The first bytes of a partition as they are fetched: whole batches, at least so many if they are there.
pub async fn first_bytes_of(broker: &Broker, who: &Principal, from: PartitionId, wanted: usize) -> Vec<u8> {
    let (mut next, mut bytes) = (0, Vec::new());
    while bytes.len() < wanted {
        let fetched = fetch(broker, who, from, next).await;
        let answer = &fetched.partitions[0];
        assert_eq!(answer.error, None);
        if answer.records.is_empty() {
            return bytes;
        }
        for piece in &answer.records {
            bytes.extend_from_slice(piece);
            let last = batches(piece.clone()).last().unwrap().unwrap();
            next = last.header().next_offset().0;
        }
    }
    bytes
}

/// The end of a partition, once it is known: a new leader first commits what it found, and says what it lacks.
pub async fn end_of(broker: &Broker, who: &Principal, of: PartitionId) -> i64 {
    loop {
        let (what, isolation) = (ListOffset::Latest, Isolation::ReadUncommitted);
        match broker.list_offset(who, of, None, what, isolation).await {
            Ok(found) => return found.offset.0,
            Err(OffsetError::NotLeader | OffsetError::NotAvailable) => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(error) => panic!("{of}: {error}"),
        }
    }
}

/// Waits for something that happens in the background.
pub async fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    // An end for a busy machine; nothing is measured with it.
    for _ in 0..10_000 {
        if happened() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never happened that {what}");
}

/// Partition 0.
pub fn first(topic: TopicId) -> PartitionId {
    partition(topic, 0)
}
