//! One tenant: topics, catalog and object store outlive the engine, which is killed and opened again.

use crate::chaos::ChaosStreams;
use crate::faults::Faults;
use arrow::datatypes::FieldRef;
use bytes::Bytes;
use futures::StreamExt;
use millstream_columns::JsonEncoder;
use millstream_model::{Offset, PartitionIndex, TenantId, TimestampMs, TopicName, Waits};
use millstream_runtime::{MemoryStreams, ShardSettings, StreamRecord, Streams, partition_for};
use millstream_server::{
    Access, Answer, Backend, ColdCache, Engine, MemoryCatalog, Metrics, Request, Settings, SqlCatalog,
    StatementError,
};
use millstream_store::StoreMetrics;
use object_store::{ObjectStore, ObjectStoreExt};
use prometheus_client::registry::Registry;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How the engine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Large turns, every change of a table written.
    Plain,
    /// Random small fetches and turns, a table's changes coalesced.
    Split,
    /// The same, and killed at random moments.
    Killed,
}

impl Way {
    pub const ALL: [Way; 3] = [Way::Plain, Way::Split, Way::Killed];
}

/// One record: key, JSON value, time, partition (by key unless said).
pub type Given = (Option<String>, Option<String>, i64, Option<u32>);

const WAIT_MAX: Duration = Duration::from_secs(30);

pub struct World {
    way: Way,
    random: StdRng,
    pub streams: Arc<ChaosStreams>,
    pub catalog: Arc<MemoryCatalog>,
    store: Arc<dyn ObjectStore>,
    /// What the store does wrong.
    pub faults: Arc<Faults>,
    /// Counts what the engine asks of the store, and what it does itself.
    registry: Registry,
    metrics: Metrics,
    cache: ColdCache,
    settings: Settings,
    pub properties: BTreeMap<String, String>,
    pub engine: Engine,
    pub kills: u32,
}

impl World {
    pub async fn new(way: Way, seed: u64) -> Self {
        Self::with(way, seed, |_| {}).await
    }

    /// With the shard's settings changed.
    pub async fn with(way: Way, seed: u64, change: impl FnOnce(&mut ShardSettings)) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let small = way != Way::Plain;
        let cut = small.then(|| random.random_range(1..=7));
        let streams = Arc::new(ChaosStreams::new(Arc::new(MemoryStreams::default()), seed, cut));
        let mut settings = Settings {
            shard: ShardSettings {
                commit_interval: Duration::from_millis(if small { 2 } else { 20 }),
                commit_rows: if small {
                    random.random_range(1..=40)
                } else {
                    100_000
                },
                turn_rows: if small { random.random_range(1..=9) } else { 4096 },
                coalesce: small,
                retry: Waits::new(Duration::from_millis(20), Duration::from_millis(100)),
                ..ShardSettings::default()
            },
            ..Settings::default()
        };
        change(&mut settings.shard);
        let mut registry = Registry::default();
        let counted = StoreMetrics::register(&mut registry);
        let metrics = Metrics::register(&mut registry);
        let faults = Arc::new(Faults::default());
        let store = counted.counted("sql", faults.clone());
        let catalog = Arc::new(MemoryCatalog::default());
        let cache = ColdCache::new(1 << 20);
        let engine = open(&streams, &catalog, &store, &cache, &settings, &metrics)
            .await
            .unwrap();
        let properties = BTreeMap::from([("auto.offset.reset".to_owned(), "earliest".to_owned())]);
        Self {
            way,
            random,
            streams,
            catalog,
            store,
            faults,
            registry,
            metrics,
            cache,
            settings,
            properties,
            engine,
            kills: 0,
        }
    }

    /// Kills the engine where it stands and opens another.
    pub async fn kill(&mut self) {
        self.kills += 1;
        self.engine.kill().await;
        self.reopen().await;
    }

    /// Stops the engine in order and opens another.
    pub async fn restart(&mut self) {
        self.engine.stop().await.unwrap();
        self.reopen().await;
    }

    /// Opens another engine after one that was killed or stopped.
    pub async fn reopen(&mut self) {
        self.engine = self.try_open().await.unwrap();
    }

    /// The same where it may be refused.
    pub async fn try_open(&self) -> Result<Engine, StatementError> {
        open(
            &self.streams,
            &self.catalog,
            &self.store,
            &self.cache,
            &self.settings,
            &self.metrics,
        )
        .await
    }

    /// What the next engine does with a changelog that has lost something.
    pub fn accept_loss(&mut self, accepts: bool) {
        self.settings.shard.accepts_loss = accepts;
    }

    /// Every row of the catalog, in one order.
    pub async fn catalog_rows(&self) -> Vec<String> {
        let mut rows: Vec<String> = self
            .catalog
            .load()
            .await
            .unwrap()
            .rows
            .iter()
            .map(|row| format!("{row:?}"))
            .collect();
        rows.sort();
        rows
    }

    /// Runs a script that must succeed; the rows that it answers with.
    pub async fn sql(&mut self, text: &str) -> Vec<Value> {
        self.ask(text)
            .await
            .unwrap_or_else(|error| panic!("{text}\n{:?} {:?} {}", error.line, error.column, error.message))
    }

    /// Runs a script.
    pub async fn ask(&mut self, text: &str) -> Result<Vec<Value>, StatementError> {
        self.ask_with(text, Access::Manage).await
    }

    /// Runs a script for a caller who may do no more than this.
    pub async fn ask_with(&mut self, text: &str, access: Access) -> Result<Vec<Value>, StatementError> {
        let request = Request {
            text: text.to_owned(),
            properties: self.properties.clone(),
            validate_only: false,
            access,
        };
        let mut answers = self.engine.execute(request);
        let mut rows = Vec::new();
        let mut fields: Vec<FieldRef> = Vec::new();
        while let Some((_, answer)) = tokio::time::timeout(WAIT_MAX, answers.next())
            .await
            .expect("an answer in time")
        {
            match answer? {
                Answer::Schema { schema, .. } => fields = schema.fields().iter().cloned().collect(),
                Answer::Rows { rows: batch, .. } => {
                    let encoder = JsonEncoder::new(&fields).unwrap();
                    for row in 0..batch.num_rows() {
                        let mut json = Vec::new();
                        encoder.encode(batch.columns(), row, &mut json);
                        rows.push(serde_json::from_slice(&json).unwrap());
                    }
                }
                Answer::Property {
                    name,
                    value: Some(value),
                } => {
                    self.properties.insert(name, value);
                }
                Answer::Property { name, value: None } => {
                    self.properties.remove(&name);
                }
                Answer::Started { .. } | Answer::Message { .. } | Answer::Finished { .. } => {}
            }
        }
        Ok(rows)
    }

    /// Produces in one call, then waits until all queries have committed it; kills come on the way.
    pub async fn produce(&mut self, topic: &str, records: &[Given]) {
        let name: TopicName = topic.parse().unwrap();
        let partitions = self
            .streams
            .inner
            .topic(&name)
            .await
            .unwrap()
            .expect("the topic")
            .partitions;
        let mut placed: Vec<(PartitionIndex, Vec<StreamRecord>)> = Vec::new();
        for (key, value, time, partition) in records {
            let by_key = key
                .as_ref()
                .map_or(PartitionIndex(0), |key| partition_for(key.as_bytes(), partitions));
            let partition = partition.map_or(by_key, PartitionIndex);
            let record = StreamRecord {
                offset: Offset(-1),
                timestamp: TimestampMs(*time),
                key: key.clone().map(Bytes::from),
                value: value.clone().map(Bytes::from),
            };
            match placed.iter_mut().find(|(index, _)| *index == partition) {
                Some((_, records)) => records.push(record),
                None => placed.push((partition, vec![record])),
            }
        }
        if self.way == Way::Killed {
            self.streams.arm(self.random.random_range(0..15));
        }
        self.streams.inner.produce(&name, placed).await.unwrap();
        self.settle().await;
    }

    /// Waits until all queries have committed what there is.
    pub async fn settle(&mut self) {
        for left in (0..4_u32).rev() {
            let (blown, engine) = (self.streams.blown.clone(), self.engine.clone());
            let settled = async {
                tokio::select! {
                    settled = engine.settle() => { settled.unwrap(); true }
                    () = blown.notified() => false,
                }
            };
            let settled = tokio::time::timeout(WAIT_MAX, settled).await;
            if settled.is_err() {
                panic!("the queries do not catch up: {:#?}", self.engine.reports().await);
            }
            if settled.unwrap() {
                break;
            }
            self.streams.disarm();
            self.kill().await;
            if left > 1 {
                self.streams.arm(self.random.random_range(0..15));
            }
        }
        self.streams.disarm();
    }

    fn measured(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        text
    }

    /// What a counter without labels says.
    pub fn counter(&self, name: &str) -> u64 {
        let text = self.measured();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(&format!("{name}_total ")));
        line.expect("it is there").parse().unwrap()
    }

    /// How many requests the store got, of these operations or of all.
    pub fn requests(&self, operations: &[&str]) -> u64 {
        let text = self.measured();
        let is_meant = |line: &&str| {
            let of = |name: &&str| line.contains(&format!("operation=\"{name}\""));
            line.starts_with("store_requests_total{") && (operations.is_empty() || operations.iter().any(of))
        };
        let counts = text
            .lines()
            .filter(is_meant)
            .filter_map(|line| line.rsplit(' ').next());
        counts.map(|count| count.parse::<u64>().unwrap()).sum()
    }

    /// How many objects the shard's state has, below a folder of its own.
    pub async fn objects(&self, folder: &str) -> usize {
        let prefix = object_store::path::Path::from(format!("sql/{}/0/{folder}", TenantId(1).account()));
        self.store.list(Some(&prefix)).count().await
    }

    /// Turns one bit in the middle of each table of the shard's state; done twice, all is as before.
    pub async fn damage_state(&self) {
        let prefix = object_store::path::Path::from(format!("sql/{}/0/compacted", TenantId(1).account()));
        let tables: Vec<_> = self.store.list(Some(&prefix)).collect().await;
        assert!(!tables.is_empty(), "nothing was flushed");
        for table in tables {
            let place = table.unwrap().location;
            let mut bytes = self
                .store
                .get(&place)
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap()
                .to_vec();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            self.store.put(&place, bytes.into()).await.unwrap();
        }
    }

    /// What a topic holds, by partition: key, value, time.
    pub fn held(&self, topic: &str, partition: u32) -> Vec<(Option<Vec<u8>>, Option<Value>, i64)> {
        let records = self
            .streams
            .inner
            .records(&topic.parse().unwrap(), PartitionIndex(partition));
        let json = |value: Bytes| serde_json::from_slice(&value).unwrap();
        records
            .into_iter()
            .map(|r| (r.key.map(|k| k.to_vec()), r.value.map(json), r.timestamp.0))
            .collect()
    }
}

async fn open(
    streams: &Arc<ChaosStreams>,
    catalog: &Arc<MemoryCatalog>,
    store: &Arc<dyn ObjectStore>,
    cache: &ColdCache,
    settings: &Settings,
    metrics: &Metrics,
) -> Result<Engine, StatementError> {
    let backend = Backend {
        streams: streams.clone(),
        catalog: catalog.clone(),
    };
    Engine::open(
        TenantId(1),
        settings.clone(),
        backend,
        store.clone(),
        cache.clone(),
        metrics.clone(),
    )
    .await
}
