//! SQL text to syntax tree, with a position for every error.
