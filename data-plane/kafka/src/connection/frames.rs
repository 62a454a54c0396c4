//! Frames off a socket: the length is checked before anything is allocated for it, and room is taken as bytes arrive.

use super::{End, Limits};
use bytes::{BufMut, Bytes, BytesMut};
use millstream_door::places::network;
use millstream_door::{Connection, Owner, Share};
use millstream_model::TenantId;
use millstream_model::limits::{
    KAFKA_FRAME_BYTES_MAX, KAFKA_FRAME_BYTES_MAX_UNAUTHENTICATED, ROOM_PROGRESS_BYTES,
};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout_at};

/// What stands before every frame.
const LENGTH_BYTES: usize = 4;

/// How much is read at once while no large frame is under way: what a connection costs, whatever its client sends.
const READ_BYTES: usize = 64 * 1024;

/// The same before login: a handshake is short.
const READ_BYTES_UNAUTHENTICATED: usize = 1024;

/// How much is allocated for a frame of which something has arrived; from there on it doubles as bytes come.
const GROW_BYTES: usize = 1024 * 1024;

/// A frame's body and its share of the memory for requests.
pub(super) struct Received {
    pub(super) bytes: Bytes,
    pub(super) share: Share,
    pub(super) at: std::time::Instant,
}

/// Reads frames.
pub(super) struct Frames<'a, R> {
    reader: R,
    buffer: BytesMut,
    limits: Limits<'a>,
    connection: Connection,
    bytes_max: usize,
    read_bytes: usize,
}

impl<'a, R: AsyncRead + Unpin> Frames<'a, R> {
    pub(super) fn new(reader: R, limits: Limits<'a>, peer: SocketAddr) -> Frames<'a, R> {
        Frames {
            reader,
            buffer: BytesMut::new(),
            limits,
            connection: limits.rooms.connection(Owner::Address(network(peer.ip()))),
            bytes_max: KAFKA_FRAME_BYTES_MAX_UNAUTHENTICATED,
            read_bytes: READ_BYTES_UNAUTHENTICATED,
        }
    }

    /// From here on frames may be as large as Kafka's, and are the tenant's.
    pub(super) fn authenticated(&mut self, tenant: TenantId) {
        self.connection = self.limits.rooms.connection(Owner::Tenant(tenant));
        self.bytes_max = KAFKA_FRAME_BYTES_MAX.min(self.limits.rooms.largest_request());
        self.read_bytes = READ_BYTES;
    }

    /// As the room for requests knows this connection.
    pub(super) fn connection(&self) -> Connection {
        self.connection.clone()
    }

    /// The next frame without its length; `None` when the client is done.
    pub(super) async fn next(&mut self) -> Result<Option<Received>, End> {
        let settings = self.limits.settings;
        if self.buffer.is_empty() {
            self.buffer.reserve(self.read_bytes);
            let idle = Instant::now() + settings.idle_timeout;
            match timeout_at(idle, self.reader.read_buf(&mut self.buffer)).await {
                Err(_) => return Err(End::Idle),
                Ok(Err(error)) => return Err(End::Io(error)),
                Ok(Ok(0)) => return Ok(None),
                Ok(Ok(_)) => {}
            }
        }
        let at = std::time::Instant::now();
        let mut share = self.connection.begin();
        self.fill(LENGTH_BYTES, &mut share).await?;
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
        self.fill(LENGTH_BYTES + bytes, &mut share).await?;
        share.take(bytes.saturating_sub(share.held())).await?;
        share.complete();
        let frame = self.buffer.split_to(LENGTH_BYTES + bytes).freeze();
        let frame = frame.slice(LENGTH_BYTES..);
        self.limits
            .shared
            .metrics
            .bytes_in
            .inc_by((LENGTH_BYTES + bytes) as u64);
        Ok(Some(Received {
            bytes: frame,
            share,
            at,
        }))
    }

    /// Reads until so many bytes are there. Those beyond what a connection may always read wait for room first.
    async fn fill(&mut self, bytes: usize, share: &mut Share) -> Result<(), End> {
        let timeout = self.limits.settings.frame_timeout;
        let (mut deadline, mut brought) = (Instant::now() + timeout, 0);
        while self.buffer.len() < bytes {
            let missing = bytes - self.buffer.len();
            let piece = missing.min(self.read_bytes.max(self.buffer.len()).min(GROW_BYTES));
            let needed = (self.buffer.len() + piece).saturating_sub(self.read_bytes + LENGTH_BYTES);
            if needed > share.held() {
                let asked = Instant::now();
                share.take(needed - share.held()).await?;
                // It could bring nothing while it waited for us.
                deadline += asked.elapsed();
            }
            self.make_space(missing, piece);
            let mut space = (&mut self.buffer).limit(piece);
            let read = tokio::select! {
                read = timeout_at(deadline, self.reader.read_buf(&mut space)) => read,
                why = share.overstayed() => return Err(why.into()),
            };
            let read = match read {
                Err(_) => return Err(End::FrameTimeout),
                Ok(Err(error)) => return Err(End::Io(error)),
                Ok(Ok(0)) => return Err(End::Gone),
                Ok(Ok(read)) => read,
            };
            share.arrived(read);
            brought += read;
            if brought >= ROOM_PROGRESS_BYTES {
                (deadline, brought) = (Instant::now() + timeout, 0);
            }
        }
        Ok(())
    }

    /// Memory for the next piece; for more than that once a frame shows that it comes.
    fn make_space(&mut self, missing: usize, piece: usize) {
        if self.buffer.capacity() - self.buffer.len() >= piece {
            return;
        }
        let begun = self.buffer.len() > READ_BYTES_UNAUTHENTICATED;
        let more = if begun {
            GROW_BYTES.max(self.buffer.len())
        } else {
            piece
        };
        self.buffer.reserve(missing.min(more).max(piece));
    }
}
