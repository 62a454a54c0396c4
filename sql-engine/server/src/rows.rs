//! The bodies of catalog rows: versioned JSON.

use crate::catalog::{SqlChange, SqlRow, SqlRowKind};
use millstream_planner::{Metastore, QueryPlan, SessionProperties, Source, StoreSpec};
use millstream_runtime::{QueryOptions, QueryStart};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const VERSION: u32 = 1;

/// A stream or a table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SourceRow {
    version: u32,
    /// The statement that made it.
    pub(crate) text: String,
    pub(crate) source: Source,
}

/// A persistent query.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct QueryRow {
    version: u32,
    pub(crate) id: String,
    /// Queries are started in this order: who reads another's result comes later.
    pub(crate) sequence: u64,
    /// The statement that made it: CREATE … AS SELECT.
    pub(crate) text: String,
    /// The source that it writes.
    pub(crate) sink: String,
    /// The source that it reads, as it was then: one that is replaced does not change the query.
    #[serde(default)]
    pub(crate) reads: Option<Source>,
    /// `earliest` or `latest`: where it began to read.
    pub(crate) start: String,
    /// The session's properties that it keeps to.
    #[serde(default)]
    pub(crate) properties: BTreeMap<String, String>,
    /// What it keeps, per store: shown when a later plan differs.
    pub(crate) stores: Vec<(String, String)>,
}

/// The highest number that a query has had.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct CounterRow {
    version: u32,
    pub(crate) last: u64,
}

/// The name of the one counter.
const COUNTER: &str = "queries";

/// A row that this program cannot read.
#[derive(Debug, thiserror::Error)]
#[error("the catalog's {kind} row '{name}' cannot be read: {reason}")]
pub(crate) struct RowUnreadable {
    kind: SqlRowKind,
    name: String,
    reason: String,
}

impl SourceRow {
    pub(crate) fn new(source: Source, text: String) -> Self {
        Self {
            version: VERSION,
            text,
            source,
        }
    }

    pub(crate) fn put(&self) -> Result<SqlChange, serde_json::Error> {
        let body = serde_json::to_string(self)?;
        Ok(SqlChange::Put(SqlRow {
            kind: SqlRowKind::Source,
            name: self.source.name.clone(),
            body,
            pinned_topics: Vec::new(),
        }))
    }
}

impl CounterRow {
    pub(crate) fn new(last: u64) -> Self {
        Self {
            version: VERSION,
            last,
        }
    }

    pub(crate) fn put(&self) -> Result<SqlChange, serde_json::Error> {
        Ok(SqlChange::Put(SqlRow {
            kind: SqlRowKind::Counter,
            name: COUNTER.to_owned(),
            body: serde_json::to_string(self)?,
            pinned_topics: Vec::new(),
        }))
    }
}

impl QueryRow {
    /// Of a query that is made now.
    pub(crate) fn new(
        id: String,
        sequence: u64,
        text: String,
        query: &QueryPlan,
        session: &SessionProperties,
    ) -> Self {
        let start = match session.reads_from_beginning() {
            true => "earliest",
            false => "latest",
        };
        let store = |store: &StoreSpec| (store.id.clone(), store.facts.clone());
        Self {
            version: VERSION,
            id,
            sequence,
            text,
            sink: query.sink.name.clone(),
            reads: Some(query.reads.as_ref().clone()),
            start: start.to_owned(),
            properties: session.lasting(),
            stores: query.topology.stores().map(store).collect(),
        }
    }

    /// Where it began to read, if no checkpoint says where it goes on.
    pub(crate) fn query_start(&self) -> QueryStart {
        match self.start.as_str() {
            "earliest" => QueryStart::Earliest,
            _ => QueryStart::Latest,
        }
    }

    /// What it was told when it was made.
    pub(crate) fn options(&self) -> QueryOptions {
        let session = SessionProperties::from_map(self.properties.clone());
        QueryOptions {
            commit_interval: session.commit_interval(),
            cache_bytes: session.cache_bytes(),
        }
    }

    /// What it was planned against, as far as it differs from what is there now: what it reads as it was, and what it
    /// writes not there yet.
    pub(crate) fn plan_against(&self, metastore: &mut Metastore) {
        metastore.remove_source(&self.sink);
        metastore.remove_query(&self.id);
        if let Some(reads) = &self.reads {
            put_source(metastore, reads.clone());
        }
    }

    /// `writes` is the sink's topic: with the one that is read it must not grow while the query is there.
    pub(crate) fn put(&self, writes: &str) -> Result<SqlChange, serde_json::Error> {
        let body = serde_json::to_string(self)?;
        let reads = self.reads.iter().map(|source| source.topic.clone());
        Ok(SqlChange::Put(SqlRow {
            kind: SqlRowKind::Query,
            name: self.id.clone(),
            body,
            pinned_topics: reads.chain([writes.to_owned()]).collect(),
        }))
    }
}

/// A row, read.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    Source(SourceRow),
    Query(QueryRow),
    Counter(CounterRow),
}

pub(crate) fn read(row: &SqlRow) -> Result<Known, RowUnreadable> {
    let unreadable = |reason: String| RowUnreadable {
        kind: row.kind,
        name: row.name.clone(),
        reason,
    };
    let (version, known) = match row.kind {
        SqlRowKind::Source => {
            let read: SourceRow = serde_json::from_str(&row.body).map_err(|e| unreadable(e.to_string()))?;
            (read.version, Known::Source(read))
        }
        SqlRowKind::Query => {
            let read: QueryRow = serde_json::from_str(&row.body).map_err(|e| unreadable(e.to_string()))?;
            (read.version, Known::Query(read))
        }
        SqlRowKind::Counter => {
            let read: CounterRow = serde_json::from_str(&row.body).map_err(|e| unreadable(e.to_string()))?;
            (read.version, Known::Counter(read))
        }
    };
    if version != VERSION {
        return Err(unreadable(format!(
            "it has version {version}, this program reads {VERSION}"
        )));
    }
    Ok(known)
}

/// The metastore takes a source's topic as existing with it; a topic that has been deleted must not come back so.
pub(crate) fn put_source(metastore: &mut Metastore, source: Source) {
    let (topic, exists) = (source.topic.clone(), metastore.topic_partitions(&source.topic));
    metastore.put_source(source);
    match exists {
        Some(partitions) => metastore.put_topic(topic, partitions),
        None => metastore.remove_topic(&topic),
    }
}
