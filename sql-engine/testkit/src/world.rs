//! One tenant in memory: topics, catalog and object store outlive the engine, which may be killed and opened again.

use crate::case::Record;
use crate::cell;
use bytes::Bytes;
use futures::StreamExt;
use millstream_model::{Offset, PartitionIndex, TenantId, TimestampMs, TopicName};
use millstream_runtime::{
    MemoryStreams, QueryReport, QueryState, ShardSettings, StreamRecord, Streams, partition_for,
};
use millstream_server::memory::MemoryCatalog;
use millstream_server::{Access, Answer, Backend, Engine, Metrics, Request, Settings, StatementError};
use millstream_state::ColdCache;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use std::collections::BTreeMap;
use std::sync::Arc;

const CACHE_BYTES: u64 = 1024 * 1024;

/// The tenant and its running engine.
pub(crate) struct World {
    streams: Arc<MemoryStreams>,
    catalog: Arc<MemoryCatalog>,
    store: Arc<dyn ObjectStore>,
    settings: ShardSettings,
    engine: Engine,
    /// The session's properties, as a client keeps them.
    properties: BTreeMap<String, String>,
    /// The engine is not the first: what it has counted is not all.
    reopened: bool,
}

/// What a request answered.
#[derive(Debug, Default)]
pub(crate) struct Answered {
    pub(crate) rows: Vec<String>,
    /// Everything that it said: messages, titles, column names, notes.
    pub(crate) said: Vec<String>,
    pub(crate) failed: Option<StatementError>,
}

/// A step could not be made at all.
pub(crate) type Broken = String;

impl World {
    pub(crate) async fn open(settings: ShardSettings) -> Result<Self, Broken> {
        let streams = Arc::new(MemoryStreams::default());
        let catalog = Arc::new(MemoryCatalog::default());
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let engine = engine(&streams, &catalog, &store, &settings).await?;
        let properties = BTreeMap::from([("auto.offset.reset".to_owned(), "earliest".to_owned())]);
        Ok(Self {
            streams,
            catalog,
            store,
            settings,
            engine,
            properties,
            reopened: false,
        })
    }

    /// Ends the engine as a crash would, and opens it again.
    pub(crate) async fn kill(&mut self) -> Result<(), Broken> {
        self.engine.kill().await;
        self.reopen().await
    }

    /// Ends the engine in order, and opens it again.
    pub(crate) async fn restart(&mut self) -> Result<(), Broken> {
        self.engine
            .stop()
            .await
            .map_err(|error| format!("the engine does not stop: {error}"))?;
        self.reopen().await
    }

    pub(crate) fn was_reopened(&self) -> bool {
        self.reopened
    }

    async fn reopen(&mut self) -> Result<(), Broken> {
        self.reopened = true;
        self.engine = engine(&self.streams, &self.catalog, &self.store, &self.settings).await?;
        Ok(())
    }

    pub(crate) async fn close(&self) {
        // What a test has seen is not changed by a stop that fails.
        let _ = self.engine.stop().await;
    }

    pub(crate) async fn settle(&self) -> Result<(), Broken> {
        self.engine
            .settle()
            .await
            .map_err(|error| format!("the queries do not settle: {error}"))
    }

    pub(crate) async fn ask(&mut self, text: &str) -> Answered {
        let request = Request {
            text: text.to_owned(),
            properties: self.properties.clone(),
            validate_only: false,
            access: Access::Manage,
        };
        let mut answers = self.engine.execute(request);
        let mut answered = Answered::default();
        while let Some((_, answer)) = answers.next().await {
            match answer {
                Ok(Answer::Started { .. }) => {}
                Ok(Answer::Schema { schema, title, .. }) => {
                    answered.said.push(title);
                    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
                    answered.said.push(names.join(" | "));
                }
                Ok(Answer::Rows { rows, .. }) => answered.rows.extend(cell::lines(&rows)),
                Ok(Answer::Message { text, .. }) => answered.said.push(text),
                Ok(Answer::Property { name, value }) => {
                    match value {
                        Some(value) => self.properties.insert(name, value),
                        None => self.properties.remove(&name),
                    };
                }
                Ok(Answer::Finished { note, .. }) => answered.said.push(note),
                Err(error) => answered.failed = Some(error),
            }
        }
        answered
    }

    pub(crate) async fn produce(&self, records: &[Record]) -> Result<(), Broken> {
        for record in records {
            let topic: TopicName = record
                .topic
                .parse()
                .map_err(|_| format!("'{}' is no topic name", record.topic))?;
            let found = self.streams.topic(&topic).await.map_err(|e| e.to_string())?;
            let found = found.ok_or_else(|| format!("the topic '{topic}' does not exist yet"))?;
            let by_key = || partition_for(record.key.as_deref().unwrap_or_default(), found.partitions);
            let partition = record.partition.map_or_else(by_key, PartitionIndex);
            let stored = StreamRecord {
                offset: Offset(0),
                timestamp: TimestampMs(record.timestamp),
                key: record.key.clone(),
                value: record.value.clone(),
            };
            let produced = self
                .streams
                .produce(&topic, vec![(partition, vec![stored])])
                .await;
            produced.map_err(|e| e.to_string())?;
        }
        Ok(())
    }

    /// All records of a topic, partition by partition.
    pub(crate) async fn records(&self, name: &str) -> Result<Vec<Record>, Broken> {
        let topic: TopicName = name.parse().map_err(|_| format!("'{name}' is no topic name"))?;
        let found = self.streams.topic(&topic).await.map_err(|e| e.to_string())?;
        let found = found.ok_or_else(|| format!("the topic '{topic}' does not exist"))?;
        let of = |partition| {
            let record = move |stored: StreamRecord| Record {
                topic: name.to_owned(),
                key: stored.key,
                value: stored.value,
                timestamp: stored.timestamp.0,
                partition: Some(partition),
            };
            self.streams
                .records(&topic, PartitionIndex(partition))
                .into_iter()
                .map(record)
        };
        Ok((0..found.partitions).flat_map(of).collect())
    }

    pub(crate) async fn reports(&self) -> Result<Vec<QueryReport>, Broken> {
        self.engine.reports().await.map_err(|error| error.to_string())
    }

    /// Why queries do not run, for those who look for the cause of a failure.
    pub(crate) async fn parked(&self) -> Vec<String> {
        let reports = self.reports().await.unwrap_or_default();
        let reason = |report: QueryReport| {
            let recent = report
                .recent
                .iter()
                .map(|error| error.message.as_ref())
                .collect::<Vec<_>>()
                .join("; ");
            match report.state {
                QueryState::Parked { reason, .. } => Some(format!("{} is parked: {reason}", report.id)),
                QueryState::Running if recent.is_empty() => None,
                QueryState::Running => Some(format!("{} reports: {recent}", report.id)),
            }
        };
        reports.into_iter().filter_map(reason).collect()
    }
}

async fn engine(
    streams: &Arc<MemoryStreams>,
    catalog: &Arc<MemoryCatalog>,
    store: &Arc<dyn ObjectStore>,
    shard: &ShardSettings,
) -> Result<Engine, Broken> {
    let settings = Settings {
        shard: shard.clone(),
        ..Settings::default()
    };
    let backend = Backend {
        streams: streams.clone(),
        catalog: catalog.clone(),
    };
    let cache = ColdCache::new(CACHE_BYTES);
    let opened = Engine::open(
        TenantId(1),
        settings,
        backend,
        store.clone(),
        cache,
        Metrics::default(),
    )
    .await;
    opened.map_err(|error| format!("the engine does not open: {error}"))
}

/// A key or a value for a person.
pub(crate) fn shown(bytes: Option<&Bytes>) -> String {
    let Some(bytes) = bytes else {
        return "null".to_owned();
    };
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => format!(
            "hex:{}",
            bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        ),
    }
}
