//! What each topic config means here, in words for who asks with `IncludeDocumentation`.

/// The words for a config; none for a name that is no topic config.
pub fn documentation(name: &str) -> Option<&'static str> {
    let found = DOCUMENTATION.binary_search_by_key(&name, |(name, _)| name);
    found
        .ok()
        .and_then(|index| DOCUMENTATION.get(index))
        .map(|(_, text)| *text)
}

/// Every config's words, by name.
const DOCUMENTATION: &[(&str, &str)] = &[
    (
        "cleanup.policy",
        "What becomes of records that are older than the retention: 'delete' removes them. Compaction is not served yet.",
    ),
    (
        "compression.gzip.level",
        "Kept and shown; nothing is compressed anew here.",
    ),
    (
        "compression.lz4.level",
        "Kept and shown; nothing is compressed anew here.",
    ),
    (
        "compression.type",
        "How batches are compressed: 'producer' keeps what the producer sent.",
    ),
    (
        "compression.zstd.level",
        "Kept and shown; nothing is compressed anew here.",
    ),
    (
        "delete.retention.ms",
        "How long a compacted topic keeps markers of deletion, in milliseconds. Compaction is not served yet.",
    ),
    (
        "file.delete.delay.ms",
        "Kept and shown; partitions own no files here.",
    ),
    (
        "flush.messages",
        "Kept and shown; what is acknowledged is on disk already.",
    ),
    (
        "flush.ms",
        "Kept and shown; what is acknowledged is on disk already.",
    ),
    (
        "follower.replication.throttled.replicas",
        "Kept and shown; replication is paced by the service.",
    ),
    (
        "index.interval.bytes",
        "Kept and shown; partitions own no files here.",
    ),
    (
        "leader.replication.throttled.replicas",
        "Kept and shown; replication is paced by the service.",
    ),
    (
        "local.retention.bytes",
        "Kept and shown; the service decides what stays on the local disk.",
    ),
    (
        "local.retention.ms",
        "Kept and shown; the service decides what stays on the local disk.",
    ),
    (
        "max.compaction.lag.ms",
        "How long a record may go without being compacted, in milliseconds. Compaction is not served yet.",
    ),
    (
        "max.message.bytes",
        "The largest record batch that is taken, in bytes, as it is sent: after compression.",
    ),
    (
        "message.timestamp.after.max.ms",
        "How far a record's timestamp may lie in the future, in milliseconds. Records beyond are refused.",
    ),
    (
        "message.timestamp.before.max.ms",
        "How far a record's timestamp may lie in the past, in milliseconds. Records beyond are refused.",
    ),
    (
        "message.timestamp.type",
        "Whose time a record bears: 'CreateTime' the producer's, 'LogAppendTime' the broker's when it appends.",
    ),
    (
        "min.cleanable.dirty.ratio",
        "Which share of a log may be uncompacted. Compaction is not served yet.",
    ),
    (
        "min.compaction.lag.ms",
        "How long a record is safe from compaction, in milliseconds. Compaction is not served yet.",
    ),
    (
        "min.insync.replicas",
        "Replicas that must be in sync for a produce with acks=all; with fewer it is refused.",
    ),
    ("preallocate", "Kept and shown; partitions own no files here."),
    (
        "remote.log.copy.disable",
        "Kept and shown; every topic is tiered to the object store.",
    ),
    (
        "remote.log.delete.on.disable",
        "Kept and shown; every topic is tiered to the object store.",
    ),
    (
        "remote.storage.enable",
        "Kept and shown; every topic is tiered to the object store.",
    ),
    (
        "retention.bytes",
        "How many bytes a partition keeps before its oldest records go; -1 keeps any number.",
    ),
    (
        "retention.ms",
        "How long records are kept, in milliseconds; -1 keeps them for ever.",
    ),
    ("segment.bytes", "Kept and shown; partitions own no files here."),
    (
        "segment.index.bytes",
        "Kept and shown; partitions own no files here.",
    ),
    (
        "segment.jitter.ms",
        "Kept and shown; partitions own no files here.",
    ),
    ("segment.ms", "Kept and shown; partitions own no files here."),
    (
        "unclean.leader.election.enable",
        "Whether a replica that is behind may lead: never.",
    ),
];
