//! The coordinator as its shell sees it: commands and time in, exact answers and records out.

#![allow(clippy::unwrap_used)]

#[path = "group/joining.rs"]
mod joining;
#[path = "group/leaving.rs"]
mod leaving;
#[path = "group/offsets.rs"]
mod offsets;
#[path = "group/properties.rs"]
mod properties;
#[path = "group/records.rs"]
mod records;
#[path = "group/restart.rs"]
mod restart;
#[path = "group/statics.rs"]
mod statics;
#[path = "group/world.rs"]
mod world;
