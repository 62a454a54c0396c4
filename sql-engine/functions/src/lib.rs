//! Scalar functions and Java's rules that ksqlDB speaks.
//!
//! In: a function's name and its arguments' types ([`resolve`]), an operator ([`arithmetic`]) or a conversion
//! ([`cast`]). Out: a [`Resolved`] function: the types its arguments must be converted to, its result's type
//! and a DataFusion scalar function that computes it.
//!
//! Invariants: a kernel is total: a row that fails is null in the result and is reported with its reason
//! ([`row_errors`]); nulls go in and out as ksqlDB's rules say (a null argument gives null unless documented); no
//! value grows beyond [`limits::SQL_VALUE_BYTES_MAX`](millstream_model::limits::SQL_VALUE_BYTES_MAX).
//! Not here: comparisons, AND, OR, CASE, LIKE (DataFusion's, bound by `planner`), aggregates (`operators`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod arithmetic;
mod arrow_type;
mod cast;
mod choose;
mod interval;
pub mod java;
mod json;
mod kernel;
mod math;
mod nested;
mod registry;
pub mod row_errors;
mod text;
mod time;
pub mod work;

pub use arithmetic::{Arithmetic, arithmetic, negate};
pub use arrow_type::{arrow_field, arrow_type};
pub use cast::{cast, common_type, converts_implicitly};
pub use kernel::Resolved;
pub use nested::{element, field, make_array, make_map, make_struct};
pub use registry::{FunctionFacts, ResolveError, functions, resolve};
