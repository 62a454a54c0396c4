//! Syntax tree and catalog to typed streaming plans.
