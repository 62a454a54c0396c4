//! One suite over every kind of store, and one over a store that errs, hangs and lies.

#![allow(clippy::unwrap_used)]

#[path = "store/damage.rs"]
mod damage;
#[path = "store/faults.rs"]
mod faults;
#[path = "store/faulty.rs"]
mod faulty;
#[path = "store/files.rs"]
mod files;
#[path = "store/names.rs"]
mod names;
#[path = "store/opening.rs"]
mod opening;
#[path = "store/presence.rs"]
mod presence;
#[path = "store/suite.rs"]
mod suite;
#[path = "store/world.rs"]
mod world;
