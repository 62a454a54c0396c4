//! Ids, offsets, epochs, names, limits and error kinds: the words that every plane shares.
//!
//! In: nothing but primitive values. Out: newtypes that cannot be mixed up, the names a tenant may choose,
//! every cap of the service with its reason ([`limits`]), and the entries of a replica group's log ([`entry`]).
//!
//! Invariants: nothing tenant-owned is named without a [`TenantId`]; ids print and parse to the same value;
//! stored forms carry a version. Not here: Kafka's wire forms (`kafka-wire`), the catalog's rows (`metadata`).

pub mod backoff;
pub mod entry;
pub mod fault;
pub mod id;
pub mod limits;
pub mod name;
pub mod problem;
pub mod segment;
pub mod slot;
pub mod time;

pub use backoff::{Backoff, Waits};
pub use fault::{Fault, Retry};
pub use id::{
    Epoch, GroupId, JournalId, KeyId, LeaderEpoch, Lsn, NodeId, Offset, OwnerEpoch, PartitionId,
    PartitionIndex, ProducerEpoch, ProducerId, Registration, TenantId, TopicId,
};
pub use name::{ConsumerGroupName, NameError, TopicName};
pub use problem::{Kind, Problem};
pub use slot::{SLOTS, SlotKind};
pub use time::TimestampMs;
