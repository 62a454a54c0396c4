//! The gate before the services: who is let in, what is read of a body, and what ends an answer.

#![allow(clippy::unwrap_used)]

mod answers;
mod bodies;
mod callers;
mod connections;
mod streams;
mod world;
