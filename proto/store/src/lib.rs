//! What holds for every user of the object store, written once: why a call failed, in words that say what to do, and how
//! many calls each of them makes.
//!
//! In: an `object_store::Error`, or a store. Out: its [`Fault`], or the same store with its requests counted by who makes
//! them ([`StoreMetrics::counted`]).
//!
//! Invariants: a fault is told from what the store said, never guessed from what was asked; counting changes nothing of
//! an answer, and labels are names of ours only. Not here: retries and time limits (who calls has them), object names.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod counted;
mod fault;
mod metrics;

pub use fault::{Fault, explain};
pub use metrics::StoreMetrics;
