//! The door over a real broker, spoken to over real sockets with raw frames.

#![allow(clippy::unwrap_used)]

#[path = "door/admin.rs"]
mod admin;
#[path = "door/catalog.rs"]
mod catalog;
#[path = "door/client.rs"]
mod client;
#[path = "door/configs.rs"]
mod configs;
#[path = "door/described.rs"]
mod described;
#[path = "door/groups.rs"]
mod groups;
#[path = "door/hostile.rs"]
mod hostile;
#[path = "door/login.rs"]
mod login;
#[path = "door/pipeline.rs"]
mod pipeline;
#[path = "door/quotas.rs"]
mod quotas;
#[path = "door/records.rs"]
mod records;
#[path = "door/refused.rs"]
mod refused;
#[path = "door/roles.rs"]
mod roles;
#[path = "door/room.rs"]
mod room;
#[path = "door/server.rs"]
mod server;
#[path = "door/times.rs"]
mod times;
#[path = "door/unseen.rs"]
mod unseen;
