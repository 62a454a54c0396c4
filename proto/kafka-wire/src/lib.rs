//! Kafka's messages and record batch v2: bytes to types and back, nothing else.
