//! What went wrong, in words of no protocol: a door makes its wire code from a [`Kind`], in one exhaustive table.

use crate::fault::Retry;

/// What a door tells of a failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What went wrong.
    pub kind: Kind,
    /// Whether the same may be asked again.
    pub retry: Retry,
    /// For a person: what was wrong and what to do.
    pub text: String,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident,)*) => {
        /// What went wrong. Two kinds differ where some protocol has two words for them, or clients act otherwise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Kind] = &[$(Kind::$kind,)*];
        }
    };
}

kinds! {
    /// The caller is nobody that is known, or not any more.
    Unauthenticated,
    /// The caller may not do this with the topic.
    TopicDenied,
    /// The caller may not do this with consumer groups.
    GroupDenied,
    /// The caller may not do this with its virtual cluster.
    ClusterDenied,
    /// The caller's quota of bytes or requests is used up for longer than the call may wait.
    Throttled,
    /// The caller's tenant or key has as many connections as it may have.
    TooManyConnections,

    /// The caller has no topic or partition of this name.
    UnknownTopic,
    /// The caller has no topic with this id.
    UnknownTopicId,
    /// No topic can have this name.
    InvalidTopicName,
    /// Another node leads the partition, or none does yet.
    NotLeader,
    /// The node is stopping: another one leads soon.
    Stopping,
    /// The caller's leader epoch is an old one.
    FencedLeaderEpoch,
    /// The caller's leader epoch is newer than the node's.
    UnknownLeaderEpoch,
    /// The offset is outside of the log.
    OffsetOutOfRange,
    /// The new leader does not know yet what is committed.
    OffsetNotAvailable,

    /// The batch is larger than the topic or the service allows.
    BatchTooLarge,
    /// The batch's checksum or lengths are wrong.
    CorruptBatch,
    /// The batch is well-formed, but not something a producer may send.
    InvalidRecord,
    /// The batch has an old message format.
    OldFormat,
    /// The batch has a compression that nobody knows.
    UnknownCompression,
    /// Records have times that the topic does not allow.
    InvalidTimestamp,
    /// An idempotent producer's batch leaves a gap.
    OutOfOrderSequence,
    /// A newer incarnation of the producer has written.
    FencedProducer,
    /// Another owner has taken the partition over.
    FencedOwner,
    /// The batch belongs to a transaction that is not open.
    NoOpenTransaction,
    /// Transactions are not served.
    TransactionsNotServed,
    /// No producer ids are there now.
    NoProducerIds,

    /// Too few replicas are in sync; nothing was appended.
    NotEnoughReplicas,
    /// The journal has no room now; nothing was appended.
    JournalFull,
    /// Not done in time; it may yet be.
    Timeout,
    /// The disk, the partition's state or the object store failed.
    Storage,
    /// The journal is damaged: nothing is taken before an operator has decided.
    JournalDamaged,
    /// The records are damaged or missing where they are stored.
    RecordsDamaged,

    /// No consumer group can have this name.
    InvalidGroupName,
    /// This node does not coordinate the group.
    NotCoordinator,
    /// The group's coordinator cannot commit now.
    CoordinatorNotAvailable,
    /// The group has no such member.
    UnknownMember,
    /// A member without an id joins again with the one that it got.
    MemberIdRequired,
    /// The group's generation is another.
    IllegalGeneration,
    /// The group's members must join again.
    RebalanceInProgress,
    /// The member supports none of the group's protocols.
    InconsistentProtocol,
    /// The session's timeout is out of bounds.
    InvalidSessionTimeout,
    /// Another member has taken over this instance id.
    FencedInstance,
    /// The group is as large as it may be.
    GroupFull,
    /// What a member says of itself is larger than allowed.
    MemberTooLarge,
    /// The virtual cluster has as many groups as it may have.
    TooManyGroups,
    /// The metadata with an offset is too long.
    OffsetMetadataTooLarge,
    /// There is no such group.
    UnknownGroup,
    /// The group still has members.
    GroupNotEmpty,
    /// The group's members subscribe to the topic.
    GroupSubscribed,

    /// A topic of this name is there already.
    TopicExists,
    /// A number of partitions that cannot be.
    InvalidPartitions,
    /// A replication factor that cannot be.
    InvalidReplicationFactor,
    /// A config that does not exist, or a value that it cannot have.
    InvalidConfig,
    /// The request makes no sense.
    InvalidRequest,
    /// A cap on what there may be (partitions, keys) would be exceeded: waiting does not help.
    CapExceeded,
    /// No such thing, other than a topic or a group.
    NotFound,
    /// Such a thing is there already, other than a topic.
    AlreadyExists,
    /// What was to be changed has changed since it was read.
    VersionConflict,
    /// Whoever asks is not the current node, journal or leader any more.
    Fenced,
    /// This node is not the controller.
    NotController,
    /// The command may or may not have been carried out.
    OutcomeUnknown,
    /// Too many commands wait.
    Overloaded,
}
