//! The whole service as a stranger meets it: the real binary, real clients, loopback ports, temporary folders.
//!
//! Each test starts its own server. `./check` installs the clients first; one that is missing fails the run in CI
//! (`CI=true`) and is named as left out elsewhere. `MILLSTREAM_KILL_ROUNDS=50` kills the server that often.

#![allow(clippy::unwrap_used)]

mod administrators;
mod batch;
mod bucket;
mod cli;
mod damaged;
mod demo;
mod disk;
mod doors;
mod draining;
mod forge;
mod harness;
mod hostile;
mod java;
mod kcat;
mod kill;
mod oracle;
mod python;
mod readme;
mod restart;
mod roles;
mod rotten;
mod rpc;
mod sdk;
mod secrets;
mod shell;
mod soak;
mod sql;
mod sql_commits;
mod sql_limits;
mod startup;
mod store;
mod tenants;
mod tls;
mod trailers;
mod truth;
mod unseen;
mod wire;
