//! Memory for what was read and not sent yet: readers who are slow to take their records must not fill it.
//!
//! A fetch takes a share before it reads, keeps what the records need, and gives that back when they are sent. When no
//! share is to be had, one batch is read all the same: everybody gets on, a little at a time.

use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a fetch waits for a share before it goes on without.
const PATIENCE: Duration = Duration::from_millis(100);

/// What a fetch waits for: enough for the usual batch.
const LITTLE_BYTES: usize = 1024 * 1024;

/// All the memory for what was read.
#[derive(Debug)]
pub(crate) struct ReadMemory {
    free: Arc<Semaphore>,
}

/// A share of it, given back when the last copy is dropped.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadShare(Option<Arc<OwnedSemaphorePermit>>);

impl ReadMemory {
    pub(crate) fn new(bytes: usize) -> ReadMemory {
        let kib = (bytes / 1024).min(Semaphore::MAX_PERMITS);
        ReadMemory {
            free: Arc::new(Semaphore::new(kib)),
        }
    }

    /// A share of at most so many bytes, and how many may be read: 1, which is a first batch, when there is no room.
    pub(crate) async fn take(&self, bytes: usize) -> (usize, ReadShare) {
        if let Some(share) = self.try_take(bytes) {
            return (bytes, share);
        }
        // Half of what is left, so that the next one finds something too.
        let half = self.free.available_permits() * 1024 / 2;
        if half >= LITTLE_BYTES
            && let Some(share) = self.try_take(half)
        {
            return (half, share);
        }
        let little = bytes.min(LITTLE_BYTES);
        let waited = Arc::clone(&self.free).acquire_many_owned(kib(little));
        match tokio::time::timeout(PATIENCE, waited).await {
            Ok(Ok(permit)) => (little, ReadShare(Some(Arc::new(permit)))),
            _ => (1, ReadShare::default()),
        }
    }

    fn try_take(&self, bytes: usize) -> Option<ReadShare> {
        let permit = Arc::clone(&self.free).try_acquire_many_owned(kib(bytes)).ok()?;
        Some(ReadShare(Some(Arc::new(permit))))
    }
}

impl ReadShare {
    /// Keeps what these bytes need and gives the rest back.
    pub(crate) fn keep(&mut self, bytes: usize) {
        let Some(permit) = self.0.as_mut().and_then(Arc::get_mut) else {
            return;
        };
        let surplus = permit.num_permits().saturating_sub(kib(bytes) as usize);
        drop(permit.split(surplus));
    }

    /// The same bytes, which hold the share for as long as anybody holds them.
    pub(crate) fn held_by(&self, bytes: Bytes) -> Bytes {
        if self.0.is_none() {
            return bytes;
        }
        Bytes::from_owner(Held {
            bytes,
            _share: self.clone(),
        })
    }
}

struct Held {
    bytes: Bytes,
    _share: ReadShare,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::{LITTLE_BYTES, ReadMemory};
    use bytes::Bytes;

    const MIB: usize = 1024 * 1024;

    #[tokio::test]
    async fn a_share_shrinks_and_comes_back_with_the_last_bytes() {
        let memory = ReadMemory::new(8 * MIB);
        let (bytes, mut share) = memory.take(8 * MIB).await;
        assert_eq!(bytes, 8 * MIB);
        share.keep(2 * MIB);
        assert_eq!(memory.free.available_permits(), 6 * 1024);
        let held = share.held_by(Bytes::from_static(b"records"));
        let copy = held.slice(2..);
        drop((share, held));
        assert_eq!(memory.free.available_permits(), 6 * 1024);
        drop(copy);
        assert_eq!(memory.free.available_permits(), 8 * 1024);
    }

    #[tokio::test]
    async fn who_finds_no_room_reads_less_and_in_the_end_one_batch() {
        let memory = ReadMemory::new(8 * MIB);
        let (_, _first) = memory.take(4 * MIB).await;
        let (half, second) = memory.take(8 * MIB).await;
        assert_eq!(half, 2 * MIB);
        let (little, _third) = memory.take(8 * MIB).await;
        assert_eq!(little, LITTLE_BYTES);
        let (_, _fourth) = memory.take(MIB).await;
        assert_eq!(memory.free.available_permits(), 0);
        let (one, mut none) = memory.take(8 * MIB).await;
        assert_eq!(one, 1);
        none.keep(100);
        assert_eq!(none.held_by(Bytes::from_static(b"x")), Bytes::from_static(b"x"));
        drop(second);
        assert_eq!(memory.take(8 * MIB).await.0, LITTLE_BYTES);
    }
}
