//! The gRPC services' messages and stubs, made from the `.proto` files beside this crate.
//!
//! In: `proto/millstream/*/v1/*.proto`. Out: one module per package with prost messages, tonic clients and servers,
//! and [`DESCRIPTORS`] for reflection. `bytes` fields of the data and SQL doors are [`bytes::Bytes`]: a record batch
//! is not copied on its way in. [`status`] is the one map from what went wrong to gRPC's codes.

pub mod status;

/// Organisations, keys, topics, quotas, the cluster.
#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod control {
    tonic::include_proto!("millstream.control.v1");
}

/// Produce, fetch, watch, consumer groups' offsets.
#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod data {
    tonic::include_proto!("millstream.data.v1");
}

/// Statements and their answers.
#[allow(clippy::all, clippy::pedantic, missing_docs)]
pub mod sql {
    tonic::include_proto!("millstream.sql.v1");
}

/// The compiled descriptors of all packages, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
