//! The Rust client: produce, fetch, watch, administer and query.
