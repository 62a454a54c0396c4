//! How the tier behaves.

use std::time::Duration;

/// How the tier behaves; sizes and times only.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long one call to the store may take; a large upload may take this long per part.
    pub call_timeout: Duration,
    /// Attempts per call, the first included.
    pub attempts_max: u32,
    /// The wait before the second attempt; doubled before each further one.
    pub backoff: Duration,
    /// Memory for blocks read or flushed of late, bytes.
    pub cache_bytes: u64,
    /// Memory for footers, bytes.
    pub footer_cache_bytes: u64,
    /// How large a block grows before the next one begins, bytes.
    pub block_bytes: usize,
    /// Objects up to this size are put with one call.
    pub single_put_bytes_max: usize,
    /// Parts of larger ones, bytes (S3 wants at least 5 MiB).
    pub part_bytes: usize,
    /// How much of an object's end is read to find its footer, bytes.
    pub footer_guess_bytes: u64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            call_timeout: Duration::from_secs(10),
            attempts_max: 4,
            backoff: Duration::from_millis(100),
            cache_bytes: 128 * 1024 * 1024,
            footer_cache_bytes: 16 * 1024 * 1024,
            block_bytes: 256 * 1024,
            single_put_bytes_max: 8 * 1024 * 1024,
            part_bytes: 8 * 1024 * 1024,
            footer_guess_bytes: 64 * 1024,
        }
    }
}
