//! Aligned memory that is used again: fresh from the system it would cost more than reading and writing do.

use crate::ALIGN;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

/// Buffers that nobody uses at the moment.
#[derive(Debug)]
pub struct Buffers {
    idle_bytes_max: usize,
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    bytes: usize,
    by_size: HashMap<usize, Vec<Vec<u8>>>,
}

/// Some bytes to read into; the memory goes back when it is dropped, also as [`Bytes`].
#[derive(Debug)]
pub struct Buffer {
    /// Initialised as a whole, and a page longer than the buffer, so that an aligned one lies within.
    memory: Vec<u8>,
    /// What it is of the memory. What that holds from earlier uses is overwritten or cut off.
    range: Range<usize>,
    home: Arc<Buffers>,
}

impl Buffers {
    /// At most so many bytes are kept while nobody uses them: what is in use at once is its users' to bound.
    pub fn new(idle_bytes_max: usize) -> Arc<Buffers> {
        Arc::new(Buffers {
            idle_bytes_max,
            idle: Mutex::default(),
        })
    }

    /// Keeps as many idle buffers of this length.
    pub fn of(length: usize, idle_max: usize) -> Arc<Buffers> {
        Buffers::new(idle_max * size_for(length + ALIGN))
    }

    /// A buffer of this length that begins at a multiple of [`ALIGN`], with anything in it.
    pub fn take(self: &Arc<Buffers>, length: usize) -> Buffer {
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
    fn give(&mut self, memory: Vec<u8>, bytes_max: usize) {
        let size = memory.len();
        if size > bytes_max {
            return;
        }
        while self.bytes + size > bytes_max {
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
    pub fn freeze(mut self, wanted: Range<usize>) -> Bytes {
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
        let memory = std::mem::take(&mut self.memory);
        self.home.idle.lock().give(memory, self.home.idle_bytes_max);
    }
}

/// What is allocated: few sizes, so that buffers find a second use, and at most a quarter more than asked for.
fn size_for(length: usize) -> usize {
    length.next_multiple_of(length.next_power_of_two() / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE_BYTES_MAX: usize = 32 * 1024 * 1024;

    fn idle(buffers: &Buffers) -> usize {
        let idle = buffers.idle.lock();
        let sum: usize = idle.by_size.values().flatten().map(Vec::len).sum();
        assert_eq!(sum, idle.bytes);
        sum
    }

    #[test]
    fn memory_comes_back_with_the_last_bytes_and_is_used_again() {
        let buffers = Buffers::new(IDLE_BYTES_MAX);
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
        let buffers = Buffers::new(IDLE_BYTES_MAX);
        for size in [1 << 20, 1 << 19] {
            let many: Vec<_> = (0..2 * IDLE_BYTES_MAX / size)
                .map(|_| buffers.take(size - ALIGN))
                .collect();
            drop(many);
            assert_eq!(idle(&buffers), IDLE_BYTES_MAX);
            let of_size = buffers.idle.lock().by_size[&size].len() * size;
            assert!(of_size >= IDLE_BYTES_MAX / 2);
        }
        for length in [10, 2 * IDLE_BYTES_MAX] {
            drop(buffers.take(length));
            assert!(idle(&buffers) > IDLE_BYTES_MAX / 2);
            assert!(idle(&buffers) <= IDLE_BYTES_MAX);
        }
    }

    #[test]
    fn as_many_of_a_length_are_kept_as_was_said() {
        let buffers = Buffers::of(8192, 2);
        let mut taken: Vec<Buffer> = (0..3).map(|_| buffers.take(8192)).collect();
        for buffer in &mut taken {
            assert_eq!((buffer.len(), buffer.as_ptr().addr() % ALIGN), (8192, 0));
            buffer.fill(7);
        }
        let place = taken[1].as_ptr();
        drop(taken);
        assert_eq!(
            idle(&buffers),
            2 * size_for(8192 + ALIGN),
            "no more are kept than was said"
        );
        assert_eq!(buffers.take(8192).as_ptr(), place);
    }
}
