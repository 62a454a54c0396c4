//! Keyed state in three layers and its checkpoints.
