//! Properties of applying a group's log: determinism, snapshots, offsets, producers.

#![allow(clippy::unwrap_used)]

#[path = "state/log.rs"]
mod log;
#[path = "state/lost.rs"]
mod lost;
#[path = "state/owner.rs"]
mod owner;
#[path = "state/planning.rs"]
mod planning;
#[path = "state/producing.rs"]
mod producing;
#[path = "state/snapshots.rs"]
mod snapshots;
