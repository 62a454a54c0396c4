//! The shell that runs journal, replication, partitions, tier and coordinators behind one interface.
//!
//! In: [`Settings`], [`Components`] (the catalog's image, the command path, the object store, the root keys). Out: a
//! [`Broker`] for the doors and a [`Handle`] that stops it. The doors' words are in [`interface`]; what decides,
//! applies and acknowledges is [`replica`], what reads and gathers is [`reading`], what readers are told of offsets is
//! [`bounds`], which batches get in at all [`admission`], what the catalog asks of a node [`follow`]: the simulator runs
//! them too.
//!
//! ```text
//!   begin_produce ─► check ─► Group (lock) ─► Replica: decide, stamp, order ─► Writer ─► durable
//!                                                                                          │
//!   fetch ◄─ wake ◄─ tail cache ◄─ Applied ◄─ Replica: commit, apply, acknowledge ◄────────┘
//! ```
//!
//! Invariants: a batch is answered after the durability that it asked for is true, in one place; readers see committed
//! entries only; a partition that is not the caller's is answered like one that does not exist; nothing here waits for
//! the controller but starting, allocating producer ids and reporting. Not here: protocols (the doors), the formats
//! of journal, tier and entries (their crates), who leads (the catalog says).

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod admission;
pub mod bounds;
mod broker;
mod condition;
mod damage;
mod describe;
mod endurance;
mod fence;
mod fetch;
mod flush;
pub mod follow;
mod group;
mod groups;
pub mod interface;
mod join;
mod kept;
pub mod mend;
mod metrics;
mod offsets;
mod produce;
mod producer_ids;
mod read;
mod read_memory;
pub mod reading;
mod recover;
mod replay;
pub mod replica;
mod retention;
mod settings;
mod shell;
mod slots;
mod snapshot;
mod standing;
mod start;
mod store_check;
mod tail;
mod topic_config;
mod untold;
mod waiters;
mod watching;

pub use broker::Broker;
pub use condition::{Condition, StoreTrouble};
pub use groups::GroupsHandle;
pub use join::journal_in;
pub use settings::{Components, Settings};
pub use standing::Standing;
pub use start::{Handle, StartError};
pub use store_check::{Checked, Finding, Records, check_store};

pub use millstream_coordinator::Settings as GroupSettings;
pub use millstream_journal::Settings as JournalSettings;
pub use millstream_partition::FlushSettings;
pub use millstream_tier::Settings as TierSettings;
pub use millstream_tier::{
    Before as StoreBefore, LifecycleError, OpenError as StoreError, OpenStore, StoreFault, open_store,
};
