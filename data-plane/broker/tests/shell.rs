//! The whole broker over a real disk, a store in memory and a catalog in memory.

#![allow(clippy::unwrap_used)]

#[path = "shell/catalog.rs"]
mod catalog;
#[path = "shell/consumer_groups.rs"]
mod consumer_groups;
#[path = "shell/damaged_objects.rs"]
mod damaged_objects;
#[path = "shell/faults.rs"]
mod faults;
#[path = "shell/full_disk.rs"]
mod full_disk;
#[path = "shell/lost.rs"]
mod lost;
#[path = "shell/node.rs"]
mod node;
#[path = "shell/owners.rs"]
mod owners;
#[path = "shell/put_aside.rs"]
mod put_aside;
#[path = "shell/reading.rs"]
mod reading;
#[path = "shell/restart.rs"]
mod restart;
#[path = "shell/rotten.rs"]
mod rotten;
#[path = "shell/slots.rs"]
mod slots;
#[path = "shell/times.rs"]
mod times;
#[path = "shell/trouble.rs"]
mod trouble;
#[path = "shell/without_store.rs"]
mod without_store;
#[path = "shell/writing.rs"]
mod writing;
