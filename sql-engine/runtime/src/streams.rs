//! The seam to the log: how tasks read, write and wait for topics of one tenant (sql.md 19).

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use millstream_model::{
    Fault, Offset, OwnerEpoch, PartitionIndex, ProducerId, Retry, TimestampMs, TopicId, TopicName,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// One record as it lies in a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRecord {
    /// Its offset; ignored when producing.
    pub offset: Offset,
    /// Kafka's record timestamp.
    pub timestamp: TimestampMs,
    /// The key's bytes; `None` is Kafka's null key.
    pub key: Option<Bytes>,
    /// The value's bytes; `None` is a tombstone.
    pub value: Option<Bytes>,
}

/// A topic as the tenant sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamTopic {
    /// Its name.
    pub name: TopicName,
    /// Its id; a topic made again has another.
    pub id: TopicId,
    /// Number of partitions.
    pub partitions: u32,
    /// Replicas of each partition, as clients see it.
    pub replicas: u32,
    /// Its settings that differ from the defaults (`retention.ms`, `cleanup.policy`, …).
    pub config: BTreeMap<String, String>,
}

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewStreamTopic {
    /// Its name.
    pub name: TopicName,
    /// Number of partitions.
    pub partitions: u32,
    /// Settings, Kafka's names.
    pub config: BTreeMap<String, String>,
}

/// Where in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamPosition {
    /// The first record still there.
    Earliest,
    /// After the last committed record.
    Latest,
    /// The first record with this timestamp or a later one; the end when there is none.
    AtOrAfter(TimestampMs),
}

/// One partition to fetch from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFetch {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionIndex,
    /// The first offset wanted.
    pub offset: Offset,
    /// About how many bytes of records at most; at least one record is returned if there is one.
    pub bytes_max: usize,
}

/// What one partition answered, in the order of the requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFetched {
    /// The offset after the last committed record (the high watermark).
    pub end: Offset,
    /// The first offset that still exists.
    pub start: Offset,
    /// Where reading goes on: behind all that this answer covers, offsets without a record included. The asked offset
    /// where it covers nothing: there is nothing, or the answer had no room left for this partition.
    pub next: Offset,
    /// Records from the asked offset on, in offset order; none before it.
    pub records: Vec<StreamRecord>,
    /// Who wrote them, in offset order.
    pub writers: Vec<WrittenFrom>,
}

/// Who wrote the records from an offset on, up to the next such.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrittenFrom {
    /// The first offset of theirs.
    pub from: Offset,
    /// The writer's id; -1 for one without.
    pub writer: ProducerId,
}

/// A record that its topic does not take, however often it is offered: too large, or not of the kind that it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecord {
    /// The partition that it was for.
    pub partition: PartitionIndex,
    /// Its timestamp.
    pub timestamp: TimestampMs,
    /// Why.
    pub reason: String,
}

/// One partition's committed extent, as [`Streams::watch`] reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamEnd {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionIndex,
    /// The offset after the last committed record.
    pub end: Offset,
}

/// Why the log could not do as asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StreamsError {
    /// No such topic or partition for this tenant.
    #[error("topic '{topic}' does not exist")]
    UnknownTopic {
        /// The name asked for.
        topic: TopicName,
    },
    /// A topic of that name is already there.
    #[error("topic '{topic}' exists already")]
    TopicExists {
        /// The name asked for.
        topic: TopicName,
    },
    /// The offset lies before the log's start or after its end.
    #[error("offset {offset} of '{topic}' partition {partition} is not there: it holds {start} to {end}")]
    OffsetOutOfRange {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionIndex,
        /// The offset asked for.
        offset: Offset,
        /// The first offset that exists.
        start: Offset,
        /// The offset after the last.
        end: Offset,
    },
    /// Records are damaged or missing where the log keeps them: the log cannot be read past them.
    #[error("'{topic}' partition {partition} cannot be read: {reason}")]
    Damaged {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionIndex,
        /// The service's words.
        reason: String,
    },
    /// The service refused: quota, permission, a bad name or setting.
    #[error("{reason}")]
    Refused {
        /// Why, for the caller.
        reason: String,
    },
    /// The service cannot be reached or cannot answer now.
    #[error("the log is not available: {reason}")]
    Unavailable {
        /// What failed.
        reason: String,
    },
}

impl StreamsError {
    /// Whether the same call may succeed later, and who is at fault.
    pub fn retry(&self) -> (Fault, Retry) {
        match self {
            Self::UnknownTopic { .. }
            | Self::TopicExists { .. }
            | Self::OffsetOutOfRange { .. }
            | Self::Refused { .. } => (Fault::Caller, Retry::Never),
            Self::Damaged { .. } => (Fault::Dependency, Retry::Never),
            Self::Unavailable { .. } => (Fault::Dependency, Retry::Later),
        }
    }
}

/// The topics of one tenant. Implemented over `sdk/rust` in production and by
/// [`MemoryStreams`](crate::memory::MemoryStreams) in process. Implementations retry what is transient for a while
/// before they answer [`StreamsError::Unavailable`].
#[async_trait]
pub trait Streams: Send + Sync + 'static {
    /// The topic, or `None` when the tenant has none of that name.
    async fn topic(&self, name: &TopicName) -> Result<Option<StreamTopic>, StreamsError>;

    /// All topics that the tenant may see, by name.
    async fn topics(&self) -> Result<Vec<StreamTopic>, StreamsError>;

    /// Makes a topic; it is usable when this returns.
    async fn create_topic(&self, topic: NewStreamTopic) -> Result<StreamTopic, StreamsError>;

    /// Deletes a topic and its records.
    async fn delete_topic(&self, name: &TopicName) -> Result<(), StreamsError>;

    /// The offset at a position, for each partition asked, in that order.
    async fn offsets(
        &self,
        topic: &TopicName,
        partitions: &[PartitionIndex],
        position: StreamPosition,
    ) -> Result<Vec<Offset>, StreamsError>;

    /// Reads what is there now, without waiting; one answer per request, in order. Together they are bounded: one that
    /// brings nothing does not mean that nothing is there, [`StreamFetched::next`] says how far it came.
    async fn fetch(&self, requests: &[StreamFetch]) -> Vec<Result<StreamFetched, StreamsError>>;

    /// Appends records to partitions of a topic; returns when all are acknowledged by every in-sync replica.
    /// Order within a partition is kept. Keys were placed by the caller. Answers the records that the topic refuses as
    /// they are; all others are acknowledged.
    async fn produce(
        &self,
        topic: &TopicName,
        records: Vec<(PartitionIndex, Vec<StreamRecord>)>,
    ) -> Result<Vec<RefusedRecord>, StreamsError>;

    /// Opens a writer whose records can be told from all others'.
    async fn open_writer(&self) -> Result<Arc<dyn StreamWriter>, StreamsError>;

    /// The changelog of one of the tenant's shards; no client sees it.
    fn changelog(&self, shard: u32) -> Arc<dyn Changelog>;

    /// The ends of these partitions, at once and whenever they grow. The stream ends when the connection does;
    /// the caller then asks again.
    fn watch(&self, partitions: Vec<(TopicName, PartitionIndex)>) -> BoxStream<'static, StreamEnd>;
}

/// What became of a partition's records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WrittenTo {
    /// The offset behind the last one that was taken; none when none was.
    pub end: Option<Offset>,
    /// Those that the topic does not take.
    pub refused: Vec<RefusedRecord>,
}

/// One writer of results.
#[async_trait]
pub trait StreamWriter: Send + Sync + 'static {
    /// The id that its records carry; no other writer has it.
    fn id(&self) -> ProducerId;

    /// As [`Streams::produce`], told by partition. With [`StreamsError::Unavailable`]
    /// they may be there, or still come: the writer must not be used any more. With any other error they are not there.
    async fn produce(
        &self,
        topic: &TopicName,
        records: Vec<(PartitionIndex, Vec<StreamRecord>)>,
    ) -> Vec<Result<WrittenTo, StreamsError>>;
}

/// What a fence found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The new owner's epoch, higher than all before.
    pub epoch: OwnerEpoch,
    /// The first offset that is there.
    pub start: Offset,
    /// One past the last.
    pub end: Offset,
}

/// Pieces of a changelog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangelogPart {
    /// In order.
    pub pieces: Vec<Bytes>,
    /// Where reading goes on.
    pub next: Offset,
}

/// Why a changelog could not do as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangelogError {
    /// Another owner has fenced it since: stop, append nothing more.
    #[error("another process has taken over this shard")]
    Fenced,
    /// It cannot be reached, is full, or cannot answer now. A piece that was to be appended may be there, or come yet.
    #[error("the changelog is not available: {reason}")]
    Unavailable {
        /// What failed.
        reason: String,
    },
    /// What is to be read is damaged or missing where it is stored.
    #[error("the changelog is damaged: {reason}")]
    Damaged {
        /// What the log says of it.
        reason: String,
    },
}

/// One partition that only its owner may append to.
#[async_trait]
pub trait Changelog: Send + Sync + 'static {
    /// Takes it over: from now on it refuses what an earlier owner appends. It is made when there is none.
    async fn fence(&self) -> Result<Fence, ChangelogError>;

    /// Appends a piece; returns its offset when every in-sync replica has it.
    async fn append(&self, epoch: OwnerEpoch, piece: Bytes) -> Result<Offset, ChangelogError>;

    /// Reads what is there now.
    async fn read(&self, from: Offset) -> Result<ChangelogPart, ChangelogError>;

    /// Forgets what lies before an offset.
    async fn trim(&self, before: Offset) -> Result<(), ChangelogError>;
}

/// The partition of a key as the Java client places it: murmur2, sign bit off, modulo the partition count (sql.md 5).
pub fn partition_for(key: &[u8], partitions: u32) -> PartitionIndex {
    debug_assert!(partitions > 0, "bug: a topic has at least one partition");
    PartitionIndex((murmur2(key) & 0x7fff_ffff) % partitions.max(1))
}

/// Kafka's murmur2 (`org.apache.kafka.common.utils.Utils.murmur2`): seed 0x9747b28c, little-endian words.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut hash = 0x9747_b28c_u32 ^ u32::try_from(data.len()).unwrap_or(u32::MAX);
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    for (index, byte) in tail.iter().enumerate() {
        hash ^= u32::from(*byte) << (8 * index);
    }
    if !tail.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::{murmur2, partition_for};
    use millstream_model::PartitionIndex;

    /// The values that Kafka's own `UtilsTest` documents for its public algorithm.
    #[test]
    fn murmur2_is_javas() {
        let table: [(&[u8], i32); 5] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ];
        for (key, hash) in table {
            assert_eq!(
                murmur2(key),
                hash.cast_unsigned(),
                "{}",
                String::from_utf8_lossy(key)
            );
        }
        assert_eq!(partition_for(b"anything", 1), PartitionIndex(0));
    }
}
