//! A snapshot of the catalog: what exists when a statement is planned.

use crate::Source;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What planning must know of a running query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryFacts {
    pub id: String,
    /// Names of the sources it reads.
    pub reads: Vec<String>,
    /// The source it writes.
    pub writes: String,
}

/// Sources by name, queries by id, and the topics that exist. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metastore {
    sources: BTreeMap<String, Arc<Source>>,
    queries: BTreeMap<String, QueryFacts>,
    topics: BTreeMap<String, u32>,
}

impl Metastore {
    #[must_use]
    pub fn new() -> Metastore {
        Metastore::default()
    }

    /// Adds or replaces a source; its topic exists from then on.
    pub fn put_source(&mut self, source: Source) {
        self.topics.insert(source.topic.clone(), source.partitions);
        self.sources.insert(source.name.clone(), Arc::new(source));
    }

    pub fn remove_source(&mut self, name: &str) -> Option<Arc<Source>> {
        self.sources.remove(name)
    }

    #[must_use]
    pub fn source(&self, name: &str) -> Option<&Arc<Source>> {
        self.sources.get(name)
    }

    /// By name.
    pub fn sources(&self) -> impl Iterator<Item = &Arc<Source>> {
        self.sources.values()
    }

    pub fn put_query(&mut self, query: QueryFacts) {
        self.queries.insert(query.id.clone(), query);
    }

    pub fn remove_query(&mut self, id: &str) -> Option<QueryFacts> {
        self.queries.remove(id)
    }

    #[must_use]
    pub fn query(&self, id: &str) -> Option<&QueryFacts> {
        self.queries.get(id)
    }

    /// By id.
    pub fn queries(&self) -> impl Iterator<Item = &QueryFacts> {
        self.queries.values()
    }

    /// Tells of a topic and its partition count.
    pub fn put_topic(&mut self, name: impl Into<String>, partitions: u32) {
        self.topics.insert(name.into(), partitions);
    }

    pub fn remove_topic(&mut self, name: &str) {
        self.topics.remove(name);
    }

    /// The partition count of a topic, when it exists.
    #[must_use]
    pub fn topic_partitions(&self, name: &str) -> Option<u32> {
        self.topics.get(name).copied()
    }

    /// Topic names.
    pub fn topics(&self) -> impl Iterator<Item = &str> {
        self.topics.keys().map(String::as_str)
    }
}
