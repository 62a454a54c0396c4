//! A small Kafka client of our own, on our codec: enough for the demo and the load generator.
//!
//! One connection, SASL PLAIN, requests answered in order. Applications use any Kafka client instead.

mod connection;

pub use connection::{KafkaClient, KafkaError, produce_request};
