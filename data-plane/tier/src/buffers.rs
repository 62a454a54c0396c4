//! Memory that reads go into, used again: fresh from the system it would cost more than reading does.

use bytes::Bytes;
use millstream_model::limits::TIER_IDLE_BUFFERS_BYTES_MAX;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;

/// Smaller ones are the allocator's.
const KEPT_BYTES_MIN: usize = 4 * 1024;

/// Buffers that nobody uses at the moment.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    bytes: usize,
    by_size: HashMap<usize, Vec<Vec<u8>>>,
}

/// Some bytes to write into; the memory goes back when it is dropped, also as [`Bytes`].
#[derive(Debug)]
pub(crate) struct Buffer {
    /// Initialised as a whole; what it holds from earlier uses is overwritten or cut off.
    memory: Vec<u8>,
    length: usize,
    home: Arc<Buffers>,
}

impl Buffers {
    /// A buffer of this length, with anything in it.
    pub(crate) fn take(self: &Arc<Buffers>, length: usize) -> Buffer {
        let size = size_for(length);
        let kept = self.idle.lock().take(size);
        Buffer {
            memory: kept.unwrap_or_else(|| vec![0; size]),
            length,
            home: Arc::clone(self),
        }
    }
}

impl Idle {
    fn take(&mut self, size: usize) -> Option<Vec<u8>> {
        let memory = self.by_size.get_mut(&size)?.pop()?;
        self.bytes -= size;
        Some(memory)
    }

    /// Keeps it. When there is no room, others go: they may be of sizes that nobody asks for any more.
    fn give(&mut self, memory: Vec<u8>) {
        let size = memory.len();
        if !(KEPT_BYTES_MIN..=TIER_IDLE_BUFFERS_BYTES_MAX).contains(&size) {
            return;
        }
        if self.bytes + size > TIER_IDLE_BUFFERS_BYTES_MAX {
            self.by_size.retain(|other, _| *other == size);
            self.bytes = size * self.by_size.get(&size).map_or(0, Vec::len);
        }
        if self.bytes + size <= TIER_IDLE_BUFFERS_BYTES_MAX {
            self.by_size.entry(size).or_default().push(memory);
            self.bytes += size;
        }
    }
}

impl Buffer {
    /// The bytes up to `length`, which is at most what was asked for.
    pub(crate) fn freeze(mut self, length: usize) -> Bytes {
        self.length = self.length.min(length);
        Bytes::from_owner(self)
    }
}

impl std::ops::Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[..self.length]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.idle.lock().give(std::mem::take(&mut self.memory));
    }
}

/// What is allocated: few sizes, so that buffers find a second use, and at most a quarter more than asked for.
fn size_for(length: usize) -> usize {
    if length < KEPT_BYTES_MIN {
        return length;
    }
    length.next_multiple_of(length.next_power_of_two() / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(buffers: &Buffers) -> usize {
        let idle = buffers.idle.lock();
        let sum: usize = idle.by_size.values().flatten().map(Vec::len).sum();
        assert_eq!(sum, idle.bytes);
        sum
    }

    #[test]
    fn memory_comes_back_with_the_last_bytes_and_is_used_again() {
        let buffers = Arc::new(Buffers::default());
        let mut buffer = buffers.take(300_000);
        let place = buffer.as_ptr();
        buffer.fill(7);
        let bytes = buffer.freeze(299_000);
        assert_eq!(bytes, vec![7; 299_000]);
        let part = bytes.slice(100..);
        drop(bytes);
        assert_eq!(idle(&buffers), 0, "somebody still holds it");
        drop(part);
        assert_eq!(idle(&buffers), size_for(300_000));
        let again = buffers.take(290_000);
        assert_eq!((again.as_ptr(), again.len()), (place, 290_000));
        assert_eq!(idle(&buffers), 0);
    }

    #[test]
    fn sizes_are_few_and_fit() {
        for length in [0, 1, 4_095, 4_096, 4_097, 65_537, 1_044_480, 1 << 20, (1 << 20) + 1, 9_000_000] {
            let size = size_for(length);
            assert!(size >= length && size <= length + length / 4, "{length}: {size}");
        }
        let sizes: std::collections::BTreeSet<_> = (1 << 20..1 << 21).map(size_for).collect();
        assert!(sizes.len() <= 6, "{sizes:?}");
    }

    #[test]
    fn what_is_idle_is_bounded_and_sizes_out_of_use_make_room() {
        let buffers = Arc::new(Buffers::default());
        for size in [1 << 20, 1 << 19] {
            let many: Vec<_> = (0..2 * TIER_IDLE_BUFFERS_BYTES_MAX / size)
                .map(|_| buffers.take(size))
                .collect();
            drop(many);
            assert_eq!(idle(&buffers), TIER_IDLE_BUFFERS_BYTES_MAX);
            assert!(buffers.idle.lock().by_size.contains_key(&size));
        }
        drop(buffers.take(10));
        drop(buffers.take(2 * TIER_IDLE_BUFFERS_BYTES_MAX));
        assert_eq!(idle(&buffers), TIER_IDLE_BUFFERS_BYTES_MAX);
    }
}
