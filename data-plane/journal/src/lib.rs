//! The write-ahead log on one disk: group commit, recycled files, recovery.
