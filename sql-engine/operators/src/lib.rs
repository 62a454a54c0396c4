//! Two-step streaming operators over Arrow batches and keyed state.
