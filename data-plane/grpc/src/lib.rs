//! The gRPC data door: produce, fetch, watch, offsets and consumer groups over the broker's interface.
//!
//! In: `millstream.data.v1` calls with an `authorization` header. Out: [`DataDoor`], which root merges with the other
//! services on the HTTP port and hands to clients in the same process.
//!
//! Invariants: a partition that is not the caller's answers exactly like an unknown one; an open watch ends within
//! two seconds of its key's revocation; record batches are not copied on their way in. Not here: validation of
//! batches, durability (the broker), quotas (`door`).

mod caller;
mod error;
mod fetch;
mod groups;
mod metrics;
mod names;
mod offsets;
mod produce;
mod service;
mod watch;

pub use metrics::Metrics;
pub use service::DataDoor;
