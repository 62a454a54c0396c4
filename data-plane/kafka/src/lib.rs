//! The Kafka door: one table of APIs, one file per API, over the broker's interface.
