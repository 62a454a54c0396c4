//! The catalog's rows, the image every node keeps of them, and the commands that ask for a change.
//!
//! In: [`Change`]s, as the catalog committed them. Out: an [`Image`] to look things up in, an [`ImageWatch`] to
//! follow, [`Row`]s in their stored form, and the words of the command path ([`Command`], [`Refusal`]).
//!
//! Invariants: [`Image::apply`] never fails and gives the same image for the same changes; a stored row starts
//! with a version; nothing of a tenant is looked up without its [`TenantId`](millstream_model::TenantId).
//! Not here: whether a command is allowed (`control-plane/catalog` decides), who is calling (`access`).

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod change;
pub mod command;
pub mod image;
mod kind;
pub mod refusal;
pub mod rows;
pub mod stored;
pub mod topic_config;
pub mod topic_defaults;
pub mod watch;

pub use change::Change;
pub use command::*;
pub use image::{Difference, Image};
pub use refusal::Refusal;
pub use rows::*;
pub use stored::StoredError;
pub use topic_config::{TimestampType, TopicConfig, TopicSettings};
pub use topic_defaults::TopicDefaults;
pub use watch::{ImagePublisher, ImageWatch, WatchClosed};
