//! Memory that reads go into, used again: fresh from the system it would cost more than reading does.

use bytes::Bytes;
use millstream_model::limits::TIER_IDLE_BUFFERS_BYTES_MAX;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

/// What direct I/O wants addresses, offsets and lengths to be multiples of: no disk asks for more.
pub(crate) const ALIGN: usize = 4096;

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

/// Some bytes to read into; the memory goes back when it is dropped, also as [`Bytes`].
#[derive(Debug)]
pub(crate) struct Buffer {
    /// Initialised as a whole, and a page longer than the buffer, so that an aligned one lies within.
    memory: Vec<u8>,
    /// What it is of the memory. What that holds from earlier uses is overwritten or cut off.
    range: Range<usize>,
    home: Arc<Buffers>,
}

impl Buffers {
    /// A buffer of this length that begins at a multiple of [`ALIGN`], with anything in it.
    pub(crate) fn take(self: &Arc<Buffers>, length: usize) -> Buffer {
        let size = size_for(length.saturating_add(ALIGN));
        let kept = self.idle.lock().take(size);
        let memory = kept.unwrap_or_else(|| vec![0; size]);
        let start = memory.as_ptr().addr().wrapping_neg() % ALIGN;
        Buffer {
            memory,
            range: start..start + length,
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

    /// Keeps it. When there is no room, one of the size that takes the most goes: it may be out of use.
    fn give(&mut self, memory: Vec<u8>) {
        let size = memory.len();
        if size > TIER_IDLE_BUFFERS_BYTES_MAX {
            return;
        }
        while self.bytes + size > TIER_IDLE_BUFFERS_BYTES_MAX {
            let most = self
                .by_size
                .iter()
                .max_by_key(|(other, list)| **other * list.len());
            let Some(other) = most.map(|(other, _)| *other).filter(|other| *other != size) else {
                return;
            };
            if self.take(other).is_none() {
                return;
            }
        }
        self.by_size.entry(size).or_default().push(memory);
        self.bytes += size;
    }
}

impl Buffer {
    /// The bytes at these places, as far as there are any.
    pub(crate) fn freeze(mut self, wanted: Range<usize>) -> Bytes {
        let end = self.range.end;
        let place = |at: usize| self.range.start.saturating_add(at).min(end);
        self.range = place(wanted.start)..place(wanted.end.max(wanted.start));
        Bytes::from_owner(self)
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.range.clone()]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.range.clone()]
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
        assert!(place.addr().is_multiple_of(ALIGN));
        buffer.fill(7);
        buffer[0] = 1;
        let bytes = buffer.freeze(1..299_000);
        assert_eq!(bytes, vec![7; 298_999]);
        let part = bytes.slice(100..);
        drop(bytes);
        assert_eq!(idle(&buffers), 0, "somebody still holds it");
        drop(part);
        assert_eq!(idle(&buffers), size_for(300_000 + ALIGN));
        let again = buffers.take(290_000);
        assert_eq!((again.as_ptr(), again.len()), (place, 290_000));
        assert_eq!(idle(&buffers), 0);
        assert!(again.freeze(300_000..400_000).is_empty());
    }

    #[test]
    fn sizes_are_few_and_fit() {
        for length in [4_096, 4_097, 65_537, 1_044_480, 1 << 20, (1 << 20) + 1, 9_000_000] {
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
                .map(|_| buffers.take(size - ALIGN))
                .collect();
            drop(many);
            assert_eq!(idle(&buffers), TIER_IDLE_BUFFERS_BYTES_MAX);
            let of_size = buffers.idle.lock().by_size[&size].len() * size;
            assert!(of_size >= TIER_IDLE_BUFFERS_BYTES_MAX / 2);
        }
        for length in [10, 2 * TIER_IDLE_BUFFERS_BYTES_MAX] {
            drop(buffers.take(length));
            assert!(idle(&buffers) > TIER_IDLE_BUFFERS_BYTES_MAX / 2);
            assert!(idle(&buffers) <= TIER_IDLE_BUFFERS_BYTES_MAX);
        }
    }
}
