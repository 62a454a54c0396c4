//! The gRPC data door: produce, fetch and watch, over the broker's interface.
