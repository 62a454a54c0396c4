//! Answers: ready, on their way, or none; and writing them without copying record bytes.

use super::{End, Limits};
use bytes::Buf;
use bytes::Bytes;
use futures::future::BoxFuture;
use millstream_door::Shrinking;
use millstream_kafka_wire::Frame;
use parking_lot::Mutex;
use std::io::IoSlice;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

/// Pieces of one vectored write.
const SLICES_MAX: usize = 64;

/// The longest that a connection is muted at once.
const THROTTLE_MAX: Duration = Duration::from_secs(60);

/// An answer that is known once its request has gone on.
pub(crate) type Finish = BoxFuture<'static, Result<Finished, End>>;

/// What follows a request.
pub(crate) enum Answer {
    /// This, and then the connection is muted for so long.
    Now { frame: Frame, throttle: Duration },
    /// The same, once it is known; the next request need not wait for it.
    Later(Finish),
    /// The same, once its caller has paid: a produce in debt, or behind one. It has patience if its client wants an
    /// answer.
    Owing {
        begin: BoxFuture<'static, Finish>,
        patience: Option<Shrinking>,
    },
}

/// A finished answer; no frame where the client wants none.
pub(crate) struct Finished {
    pub(crate) frame: Option<Frame>,
    pub(crate) throttle: Duration,
}

/// Until when no request is begun: clients of a service that is late are answered first, then muted.
#[derive(Default)]
pub(super) struct Mute(Mutex<Option<Instant>>);

impl Mute {
    /// For so long from now on, if that is longer.
    pub(super) fn throttle(&self, throttle: Duration) {
        if throttle.is_zero() {
            return;
        }
        let until = Instant::now() + throttle.min(THROTTLE_MAX);
        let mut mute = self.0.lock();
        *mute = Some(mute.map_or(until, |before| before.max(until)));
    }

    /// Waits for its end.
    pub(super) async fn ended(&self) {
        let until = self.0.lock().take();
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }
}

/// Writes an answer.
pub(super) async fn write<W: AsyncWrite + Unpin>(
    writer: &mut W,
    frame: Frame,
    limits: Limits<'_>,
) -> Result<(), End> {
    limits.shared.metrics.bytes_out.inc_by(frame.len() as u64);
    let mut pieces: Vec<Bytes> = frame.pieces;
    let mut first = 0;
    while first < pieces.len() {
        let slices: Vec<IoSlice<'_>> = pieces
            .iter()
            .skip(first)
            .take(SLICES_MAX)
            .map(|piece| IoSlice::new(piece))
            .collect();
        let write = writer.write_vectored(&slices);
        let written = match tokio::time::timeout(limits.settings.write_timeout, write).await {
            Err(_) => return Err(End::WriteTimeout),
            Ok(Err(error)) => return Err(End::Io(error)),
            Ok(Ok(0)) => return Err(End::Gone),
            Ok(Ok(written)) => written,
        };
        let mut left = written;
        while let Some(piece) = pieces.get_mut(first) {
            let taken = left.min(piece.len());
            piece.advance(taken);
            left -= taken;
            if !piece.is_empty() {
                break;
            }
            first += 1;
        }
    }
    match tokio::time::timeout(limits.settings.write_timeout, writer.flush()).await {
        Err(_) => Err(End::WriteTimeout),
        Ok(flushed) => flushed.map_err(End::Io),
    }
}
