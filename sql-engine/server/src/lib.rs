//! Sessions, statements, pull and push queries over the runtime; the SQL gRPC service.

pub mod answer;
pub mod backend;
pub mod catalog;
pub mod memory;
pub mod remote;

pub use answer::{Answer, AnswerStream, Request, StatementError, StatementErrorKind};
pub use backend::{Backend, BackendError, Backends, Settings};
pub use catalog::{CatalogError, SqlCatalog, SqlChange, SqlRow, SqlRowKind, SqlRows};
