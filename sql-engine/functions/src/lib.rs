//! Scalar functions and Java's rules that ksqlDB speaks.
//!
//! In: a function's name and its arguments' types ([`resolve`]). Out: a [`Resolved`] function: the types its
//! arguments must be converted to, its result's type and a DataFusion scalar function that computes it.
//!
//! Invariants: a kernel is total: a row that fails is null in the result and is reported with its reason
//! ([`faults`]); nulls go in and out as ksqlDB's rules say (a null argument gives null unless documented); no
//! value grows beyond [`limits::SQL_VALUE_BYTES_MAX`](millstream_model::limits::SQL_VALUE_BYTES_MAX).
//! Not here: comparisons, AND, OR, CASE, LIKE (DataFusion's, bound by `planner`), aggregates (`operators`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod arrow_type;
pub mod faults;

pub use arrow_type::{arrow_field, arrow_type};
