//! Lease, sessions and the one writer: which process decides, and the path on which everything is decided.
//!
//! In: commands (through [`Handle`], which is a [`Commands`](millstream_metadata::Commands)), heartbeats, the lease
//! object in the store. Out: durable decisions of the catalog, images and changes to follow, ended sessions.
//!
//! ```text
//! standby ── lease missing, mine, or stale ──▶ open the catalog (fences, raises the term) ──▶ active
//!    ▲                                                                                      │
//!    └──────────── any failed write, a higher term seen, fenced: state dropped ─────────────┘
//! ```
//!
//! Invariants: commands are decided one transaction at a time and answered once it is durable (log.md 36); the lease
//! is a hint, safety is the store's fencing (38); clocks raise suspicion only (37). A node keeps a copy of the catalog on
//! its disk and knows for how long it may believe it ([`Trust`], 30, 43). Not here: what a command does
//! (`catalog`), how remote callers reach it (`service`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod active;
mod copy;
mod handle;
mod lease;
mod sessions;
mod settings;
mod shell;
mod trust;

pub use copy::CopySettings;
pub use handle::{Handle, NotActive, Update};
pub use lease::{Lease, LeaseError, LeaseSeen, LeaseWatcher, Verdict};
pub use sessions::Sessions;
pub use settings::Settings;
pub use shell::{ReplaceKeyError, replace_bootstrap_key, run};
pub use trust::{Seen, Trust};
