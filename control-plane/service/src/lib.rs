//! The control plane's gRPC API: authentication, validation, commands to the catalog.
//!
//! In: requests with `authorization: Basic <key id:secret>` or `Bearer <token>`. Out: rows of the catalog's image as
//! messages, and commands, which the catalog decides. [`Service::add_to`] puts it beside the other gRPC services of
//! the one port; [`introspection`] adds health and reflection for all of them.
//!
//! Invariants: every call is authenticated against the newest image; what belongs to somebody else reads like
//! nothing at all; refusals have the codes that every door gives them (`access`, `rpc`). Not here: decisions (`catalog`), leadership
//! (`controller`), sockets (`listener`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod caller;
mod cluster;
mod introspection;
mod keys;
mod message;
mod organizations;
mod quotas;
mod service;
mod sql_catalog;
mod status;
mod topics;
mod version;

pub use introspection::{DescriptorError, Health, introspection, methods};
pub use service::{ClusterName, Service};
pub use status::{REASON_HEADER, refused};
