//! The shell that runs journal, replication, partitions, tier and coordinators behind one interface.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod broker;
mod groups;
pub mod interface;
pub mod replica;

pub use broker::Broker;
pub use groups::GroupsHandle;
