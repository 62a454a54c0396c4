//! Runs SQL cases from text files in process.
