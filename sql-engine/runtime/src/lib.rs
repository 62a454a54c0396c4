//! Tasks, shards and commits: reads streams, runs operators, writes results.
//!
//! ```text
//!             topic ─▶ SourceReader ─▶ Pipeline ─┬▶ Inbox ─▶ Pipeline ─┐     one task per sub-topology and partition
//!                                                └─────────────────────┴▶ SinkWriter ─▶ topic, or a push query's client
//!   a shard = all queries of one tenant, one owner thread, one SlateDB, one commit clock
//!   commit  = results acknowledged ─▶ one run in the changelog {changed state, input offsets, stream times, ends} ─▶ fold
//!   flush   = committed values to SlateDB, every 30 s or 16 MiB ─▶ the changelog is trimmed
//! ```
//!
//! In: plans, the tenant's topics ([`Streams`]) and an object store. Out: records in sink topics, rows of push
//! queries, committed rows for pull queries, a report per query.
//!
//! Invariants: input offsets and state become durable together or not at all, and after the results that they led
//! to; pull queries see committed values only; a query that fails is parked alone; a shard that was taken over
//! writes nothing more; nothing ticks while nothing is uncommitted.
//! Not here: statements and their catalog (`server`), what operators compute (`operators`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod checkpoint;
mod ends;
mod error;
mod handle;
pub mod memory;
mod merge;
pub mod metrics;
mod planted;
mod processing_log;
mod pull;
mod query;
mod reach;
mod report;
mod row_time;
mod settings;
mod shard;
mod shard_core;
mod sink;
mod source;
pub mod streams;

pub use error::ShardError;
pub use handle::{SHARD, Shard};
pub use memory::MemoryStreams;
pub use metrics::Metrics;
pub use millstream_operators::Pulled;
pub use planted::PlantedCore;
pub use processing_log::{PROCESSING_LOG_TOPIC, Said};
pub use pull::{PullRequest, PulledRows};
pub use query::{PushEnd, PushItem, PushSink, QueryOptions, QuerySpec, QueryStart};
pub use report::{PartitionReport, QueryReport, QueryState};
pub use settings::{Meters, ShardSettings};
pub use shard_core::{Done, Rows, ShardCore, Todo};
pub use sink::SinkWriter;
pub use source::{ReadRows, SourceReader};
pub use streams::{
    Changelog, ChangelogError, ChangelogPart, Fence, NewStreamTopic, RefusedRecord, StreamEnd, StreamFetch,
    StreamFetched, StreamPosition, StreamRecord, StreamTopic, StreamWriter, Streams, StreamsError,
    WrittenFrom, WrittenTo, partition_for,
};
