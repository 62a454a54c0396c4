//! How a connection of the HTTP port is read: in turn with others, and slowly while it has shown no key.
//!
//! HTTP/2's control frames (PING, SETTINGS) cost the server more than who sends them, belong to no request and so to no
//! quota. What matters to others is how long one look at a connection takes, so it ends after a piece, a small one for
//! strangers, and others are looked at first. Whoever has shown a key pays for what it asks; a stranger has enough for its
//! first requests, and a trickle from then on: for health, which is asked without a key.

use crate::connection::Connection;
use millstream_model::limits::{STRANGER_BYTES_BURST, STRANGER_BYTES_PER_SECOND};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// Bytes of a stranger's connection that are read in one look at it: some tens of control frames.
const STRANGERS_PIECE: usize = 1024;

/// The same of one that has shown a key: large enough for records.
const PIECE: usize = 64 * 1024;

/// A connection whose reading waits while a stranger has brought more than it may.
pub(crate) struct Paced<S> {
    inner: S,
    connection: Connection,
    is_known: bool,
    /// Bytes that may be read now.
    left: usize,
    /// When there are more.
    more: Pin<Box<Sleep>>,
    /// Bytes that were read in this look.
    looked: usize,
}

impl<S> Paced<S> {
    pub(crate) fn new(inner: S, connection: Connection) -> Paced<S> {
        Paced {
            inner,
            connection,
            is_known: false,
            left: STRANGER_BYTES_BURST,
            more: Box::pin(sleep(Duration::ZERO)),
            looked: 0,
        }
    }
}

impl<S: AsyncRead + Unpin> Paced<S> {
    fn read_as_a_stranger(
        &mut self,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            ready!(self.more.as_mut().poll(context));
            self.left = STRANGER_BYTES_PER_SECOND;
        }
        let mut piece = [0; STRANGERS_PIECE];
        let length = STRANGERS_PIECE.min(self.left).min(into.remaining());
        let mut read = ReadBuf::new(&mut piece[..length]);
        ready!(Pin::new(&mut self.inner).poll_read(context, &mut read))?;
        into.put_slice(read.filled());
        self.left -= read.filled().len();
        if self.left == 0 {
            self.more.as_mut().reset(Instant::now() + Duration::from_secs(1));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.is_known = this.is_known || this.connection.is_known();
        let piece = if this.is_known { PIECE } else { STRANGERS_PIECE };
        if this.looked >= piece {
            this.looked = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = into.filled().len();
        let read = match this.is_known {
            true => Pin::new(&mut this.inner).poll_read(context, into),
            false => this.read_as_a_stranger(context, into),
        };
        match read {
            Poll::Ready(_) => this.looked += into.filled().len() - before,
            Poll::Pending => this.looked = 0,
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Paced;
    use crate::connection::{Patience, TooManyConnections, Visitors};
    use crate::metrics::Metrics;
    use crate::places::Limits;
    use millstream_model::limits::{STRANGER_BYTES_BURST, STRANGER_BYTES_PER_SECOND};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::timeout;

    /// Bytes that can be read without waiting.
    async fn readable(paced: &mut Paced<tokio::io::DuplexStream>) -> usize {
        let (mut count, mut buffer) = (0, [0; 1500]);
        while let Ok(read) = timeout(Duration::from_millis(1), paced.read(&mut buffer)).await {
            count += read.unwrap();
        }
        count
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_is_read_slowly_and_who_shows_a_key_is_not() {
        let hour = Duration::from_secs(3600);
        let patience = Patience {
            head: hour,
            idle: hour,
            reserved: hour,
        };
        let visitors = Visitors::new(Limits::of(16, 2), patience, Metrics::default());
        let visit = visitors.admit([127, 0, 0, 1].into());
        let sent = 4 * STRANGER_BYTES_BURST;
        let (mut client, server) = duplex(sent);
        client.write_all(&vec![7; sent]).await.unwrap();
        let mut paced = Paced::new(server, visit.connection().clone());
        assert_eq!(readable(&mut paced).await, STRANGER_BYTES_BURST);
        tokio::time::advance(Duration::from_millis(1100)).await;
        assert_eq!(readable(&mut paced).await, STRANGER_BYTES_PER_SECOND);
        let known = visit.connection().known(1, || Ok::<_, TooManyConnections>(()));
        known.unwrap();
        let rest = sent - STRANGER_BYTES_BURST - STRANGER_BYTES_PER_SECOND;
        assert_eq!(readable(&mut paced).await, rest);
    }
}
