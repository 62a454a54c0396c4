//! How long the allocator keeps freed memory before the system gets it back.
//!
//! Batches come and go by the hundred megabytes a second. Memory that was given back in between comes fresh from the
//! kernel, page by page, and costs more than what is then done in it; so it is kept for as long as a lull may last.
//! An idle service still gives it back. `MIMALLOC_PURGE_DELAY` in the environment goes before this.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_long};

/// mimalloc's `mi_option_purge_delay`, by its number in version 3.
const PURGE_DELAY: c_int = 15;

/// What it is unless somebody says otherwise, ms: how we know that the number still means this.
const USUAL_MS: c_long = 1_000;

/// What it is from here on, ms.
const KEEP_MS: c_long = 30_000;

unsafe extern "C" {
    fn mi_option_get(option: c_int) -> c_long;
    fn mi_option_set_default(option: c_int, value: c_long);
}

/// Tells the allocator. For the start of the process, before there are threads.
pub fn keep_freed() {
    // SAFETY: both functions of the allocator that is linked in take any number and do nothing with one out of range;
    // setting an option is not thread-safe, and there is one thread yet.
    unsafe {
        if mi_option_get(PURGE_DELAY) == USUAL_MS {
            mi_option_set_default(PURGE_DELAY, KEEP_MS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A later mimalloc may count its options anew: then the number has to follow.
    #[test]
    fn the_option_is_the_one_that_is_meant_and_takes_the_value() {
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_some() {
            return;
        }
        // SAFETY: reads a number.
        let now = || unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(now(), USUAL_MS);
        keep_freed();
        assert_eq!(now(), KEEP_MS);
    }
}
