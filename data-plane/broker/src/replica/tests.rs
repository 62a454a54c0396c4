//! The composition, driven by hand.
