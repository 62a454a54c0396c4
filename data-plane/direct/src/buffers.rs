//! Aligned memory that is used again.

use crate::ALIGN;
use parking_lot::Mutex;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Buffers of one size.
#[derive(Debug)]
pub struct Buffers {
    buffer_bytes: usize,
    idle_max: usize,
    idle: Mutex<Vec<Memory>>,
}

/// A buffer with anything in it; its memory goes back when it is dropped.
#[derive(Debug)]
pub struct Buffer {
    memory: Memory,
    home: Arc<Buffers>,
}

/// Longer than a buffer by so much that an aligned one lies within.
#[derive(Debug, Default)]
struct Memory(Vec<u8>);

impl Buffers {
    /// Buffers of so many bytes, rounded up to whole pages. At most `idle_max` of them are kept while nobody uses them:
    /// what is in use at once is its users' to bound.
    pub fn new(buffer_bytes: usize, idle_max: usize) -> Arc<Buffers> {
        Arc::new(Buffers {
            buffer_bytes: buffer_bytes.max(1).next_multiple_of(ALIGN),
            idle_max,
            idle: Mutex::default(),
        })
    }

    /// Bytes in each.
    pub fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// A buffer.
    pub fn take(self: &Arc<Buffers>) -> Buffer {
        let kept = self.idle.lock().pop();
        Buffer {
            // Zeros fresh from the system: nothing touches what is never used of it.
            memory: kept.unwrap_or_else(|| Memory(vec![0; self.buffer_bytes + ALIGN])),
            home: Arc::clone(self),
        }
    }
}

impl Memory {
    /// Where the first aligned byte is.
    fn start(&self) -> usize {
        self.0.as_ptr().addr().wrapping_neg() % ALIGN
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let start = self.memory.start();
        &self.memory.0[start..start + self.home.buffer_bytes]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        let start = self.memory.start();
        &mut self.memory.0[start..start + self.home.buffer_bytes]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut idle = self.home.idle.lock();
        if idle.len() < self.home.idle_max {
            idle.push(std::mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_used_again() {
        let buffers = Buffers::new(5000, 2);
        assert_eq!(buffers.buffer_bytes(), 8192);
        let mut taken: Vec<Buffer> = (0..3).map(|_| buffers.take()).collect();
        for buffer in &mut taken {
            assert_eq!((buffer.len(), buffer.as_ptr().addr() % ALIGN), (8192, 0));
            buffer.fill(7);
        }
        let place = taken[1].as_ptr();
        drop(taken);
        assert_eq!(buffers.idle.lock().len(), 2, "no more are kept than was said");
        assert_eq!(buffers.take().as_ptr(), place);
    }
}
