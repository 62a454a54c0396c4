//! Answers: ready, on their way, or none; and writing them without copying record bytes.

use super::{End, Limits};
use bytes::Buf;
use bytes::Bytes;
use futures::future::BoxFuture;
use millstream_kafka_wire::Frame;
use std::io::IoSlice;
use std::time::Duration;
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Pieces of one vectored write.
const SLICES_MAX: usize = 64;

/// What follows a request.
pub(crate) enum Answer {
    /// This, and then the connection is muted for so long.
    Now { frame: Frame, throttle: Duration },
    /// The same, once it is known; the next request need not wait for it.
    Later(BoxFuture<'static, Result<Finished, End>>),
}

/// A finished answer; no frame where the client wants none.
pub(crate) struct Finished {
    pub(crate) frame: Option<Frame>,
    pub(crate) throttle: Duration,
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
