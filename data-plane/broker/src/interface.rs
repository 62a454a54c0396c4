//! What the doors see: requests, answers and errors of the broker, free of any protocol's words.
//!
//! Every error says who is at fault and whether to try again; each door maps it once, exhaustively, to its own codes.
//! A partition that is not the caller's answers exactly like one that does not exist.

pub mod describe;
pub mod fence;
pub mod fetch;
pub mod groups;
pub mod offset;
pub mod produce;
pub mod producer_id;
pub mod slot;
pub mod watch;

/// The words of all ledgers; doors take those of consumer groups from [`groups`].
pub use millstream_coordinator as ledger;

pub use describe::ActiveProducer;
pub use fence::FencedPartition;
pub use fetch::{
    AbortedTransaction, Fetch, FetchError, FetchPartition, Fetched, FetchedPartition, Isolation,
};
pub use offset::{EpochEnd, FoundOffset, ListOffset, OffsetError};
pub use produce::{Acks, PendingProduce, Produce, ProduceError, Produced, RefusedRecord};
pub use producer_id::{InitProducer, InitProducerError};
pub use slot::slot_of;
pub use watch::{WatchStream, WatchUpdate};
