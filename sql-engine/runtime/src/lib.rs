//! Tasks, shards and commits: reads streams, runs operators, writes results.

pub mod streams;

pub use streams::{
    NewStreamTopic, StreamEnd, StreamFetch, StreamFetched, StreamPosition, StreamRecord, StreamTopic,
    Streams, StreamsError, partition_for,
};
