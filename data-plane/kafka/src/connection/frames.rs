//! Frames off a socket: the length is checked before anything is allocated for it.

use super::{End, Limits};
use bytes::{Bytes, BytesMut};
use millstream_model::limits::{KAFKA_FRAME_BYTES_MAX, KAFKA_FRAME_BYTES_MAX_UNAUTHENTICATED};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

/// How much is read at once while no large frame is under way.
const READ_BYTES: usize = 64 * 1024;

/// How much is allocated for a frame before any of it has arrived; from there on it doubles as bytes come.
const GROW_BYTES: usize = 1024 * 1024;

/// A frame's body and its share of the memory for requests.
pub(super) struct Received {
    pub(super) bytes: Bytes,
    pub(super) room: OwnedSemaphorePermit,
    pub(super) at: std::time::Instant,
}

/// Reads frames.
pub(super) struct Frames<'a, R> {
    reader: R,
    buffer: BytesMut,
    limits: Limits<'a>,
    bytes_max: usize,
}

impl<'a, R: AsyncRead + Unpin> Frames<'a, R> {
    pub(super) fn new(reader: R, limits: Limits<'a>) -> Frames<'a, R> {
        Frames {
            reader,
            buffer: BytesMut::new(),
            limits,
            bytes_max: KAFKA_FRAME_BYTES_MAX_UNAUTHENTICATED,
        }
    }

    /// From here on frames may be as large as Kafka's.
    pub(super) fn authenticated(&mut self) {
        self.bytes_max = KAFKA_FRAME_BYTES_MAX;
    }

    /// The next frame without its length; `None` when the client is done.
    pub(super) async fn next(&mut self) -> Result<Option<Received>, End> {
        let settings = self.limits.settings;
        if self.buffer.is_empty() {
            self.buffer.reserve(READ_BYTES);
            let idle = Instant::now() + settings.idle_timeout;
            match timeout_at(idle, self.reader.read_buf(&mut self.buffer)).await {
                Err(_) => return Err(End::Idle),
                Ok(Err(error)) => return Err(End::Io(error)),
                Ok(Ok(0)) => return Ok(None),
                Ok(Ok(_)) => {}
            }
        }
        let at = std::time::Instant::now();
        let begun = Instant::now();
        self.fill(4, begun + settings.frame_timeout).await?;
        let length = match self.buffer.first_chunk::<4>() {
            Some(length) => i32::from_be_bytes(*length),
            None => return Err(End::Gone),
        };
        let bytes = match usize::try_from(length) {
            Ok(bytes) if bytes <= self.bytes_max => bytes,
            _ => {
                return Err(End::FrameLength {
                    length,
                    max: self.bytes_max,
                });
            }
        };
        let kib = u32::try_from(bytes.div_ceil(1024).max(1)).unwrap_or(u32::MAX);
        let room = Arc::clone(self.limits.requests)
            .acquire_many_owned(kib)
            .await
            .map_err(|_| End::Closed)?;
        let patience = settings.frame_timeout + Duration::from_secs(bytes as u64 / (256 * 1024));
        self.fill(4 + bytes, Instant::now() + patience).await?;
        let frame = self.buffer.split_to(4 + bytes).freeze().slice(4..);
        self.limits.shared.metrics.bytes_in.inc_by(4 + bytes as u64);
        Ok(Some(Received {
            bytes: frame,
            room,
            at,
        }))
    }

    /// Reads until so many bytes are there.
    async fn fill(&mut self, bytes: usize, deadline: Instant) -> Result<(), End> {
        while self.buffer.len() < bytes {
            let missing = bytes - self.buffer.len();
            // Memory follows what has arrived, not what was announced.
            let room = missing.min(GROW_BYTES.max(self.buffer.len()));
            if self.buffer.capacity() - self.buffer.len() < room {
                self.buffer.reserve(room.max(READ_BYTES.min(missing)));
            }
            match timeout_at(deadline, self.reader.read_buf(&mut self.buffer)).await {
                Err(_) => return Err(End::FrameTimeout),
                Ok(Err(error)) => return Err(End::Io(error)),
                Ok(Ok(0)) => return Err(End::Gone),
                Ok(Ok(_)) => {}
            }
        }
        Ok(())
    }
}
