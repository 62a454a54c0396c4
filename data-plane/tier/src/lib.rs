//! Cold segments in the object store: layout, upload, read.
