//! Tests of the crate: against the `kafka-protocol` crate, against bytes that Kafka's Java client wrote, and
//! against bytes that nobody should have written.

mod api;
mod arbitrary;
mod batch;
mod batch_oracle;
mod compression;
mod fixtures;
mod frame;
mod fuzz;
mod hostile;
mod old_versions;
mod oracle;
mod partitioner;
mod round_trip;
