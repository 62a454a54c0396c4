//! The engine in process: statements, queries, kills and restores, over topics in memory.
#![allow(clippy::unwrap_used)]

mod chaos;
mod commits;
mod faults;
mod heavy;
mod limits;
mod oracle;
mod outages;
mod properties;
mod reading;
mod requests;
mod room;
mod statements;
mod store_away;
mod world;
