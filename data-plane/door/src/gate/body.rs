//! Reading the body of a request of one message: within its method's limit, the budget of all requests, and time.

use crate::Share;
use crate::gate::Shared;
use crate::gate::refusal::Refusal;
use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, StreamBody};
use millstream_model::limits::GRPC_BODY_PROGRESS_BYTES;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::body::Body;

/// What precedes a gRPC message: a flag and its length.
const PREFIX_BYTES: usize = 5;

/// Pieces below this are copied together: each would keep the much larger buffer that it was read into.
const PIECE_BYTES_MIN: usize = 4 * 1024;

/// Reads one body.
pub(crate) struct Reader<'a> {
    shared: &'a Shared,
    path: &'a str,
    bytes_max: usize,
    share: Option<Share>,
    read: Read,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(
        shared: &'a Shared,
        path: &'a str,
        bytes_max: usize,
        share: Option<Share>,
    ) -> Reader<'a> {
        Reader {
            shared,
            path,
            bytes_max,
            share,
            read: Read::default(),
        }
    }

    /// The whole body, and the room that it takes until the call is answered.
    pub(crate) async fn read<B>(mut self, mut body: B) -> Result<(Body, Option<Share>), Refusal>
    where
        B: HttpBody<Data = Bytes> + Unpin,
    {
        let _arriving = self.shared.parts.metrics.arriving();
        let settings = self.shared.settings;
        let stalled = || Refusal::Stalled {
            patience: settings.body_patience,
            most: settings.body_time,
        };
        let last = Instant::now() + settings.body_time;
        let (mut progress, mut progressed) = (0, Instant::now());
        loop {
            let due = last.min(progressed + settings.body_patience);
            let frame = tokio::select! {
                biased;
                // Nothing of it was begun: its sender may send it elsewhere.
                () = self.shared.parts.draining.cancelled() => return Err(Refusal::Stopping),
                () = overstayed(&mut self.share) => return Err(Refusal::NoRoom),
                frame = timeout_at(due, body.frame()) => frame,
            };
            let frame = frame.map_err(|_| stalled())?;
            let Some(frame) = frame else { break };
            let frame = frame.map_err(|_| Refusal::BrokenOff)?;
            let Ok(piece) = frame.into_data() else { continue };
            let bytes = piece.len();
            self.read.add(piece);
            self.within_limit()?;
            progress += bytes;
            if progress >= GRPC_BODY_PROGRESS_BYTES || self.read.is_whole() {
                (progress, progressed) = (0, Instant::now());
            }
            let taken = timeout_at(last, self.take(bytes)).await;
            if taken.map_err(|_| stalled())?? {
                // It could not go on for our sake.
                progressed = Instant::now();
            }
        }
        if let Some(share) = &self.share {
            share.complete();
        }
        Ok((self.read.into_body(), self.share))
    }

    /// Takes room; answers whether that was a wait.
    async fn take(&mut self, bytes: usize) -> Result<bool, Refusal> {
        let Some(share) = &mut self.share else {
            return Ok(false);
        };
        let asked = Instant::now();
        tokio::select! {
            biased;
            taken = share.take(bytes) => taken.map_err(|_| Refusal::NoRoom)?,
            () = self.shared.parts.draining.cancelled() => return Err(Refusal::Stopping),
        }
        share.arrived(bytes);
        Ok(!asked.elapsed().is_zero())
    }

    fn within_limit(&self) -> Result<(), Refusal> {
        let announced = self.read.announced().unwrap_or(0);
        let found = announced.max(self.read.bytes.saturating_sub(PREFIX_BYTES));
        if found <= self.bytes_max {
            return Ok(());
        }
        let method = self.path.rsplit_once('.').map_or(self.path, |(_, method)| method);
        Err(Refusal::TooLarge {
            method: method.to_owned(),
            most: self.bytes_max,
            found,
        })
    }
}

async fn overstayed(share: &mut Option<Share>) {
    match share {
        Some(share) => {
            share.overstayed().await;
        }
        None => std::future::pending().await,
    }
}

/// What has come.
#[derive(Default)]
struct Read {
    pieces: Vec<Bytes>,
    /// Small pieces since the last large one.
    tail: BytesMut,
    prefix: Vec<u8>,
    bytes: usize,
}

impl Read {
    fn add(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        let missing = PREFIX_BYTES.saturating_sub(self.prefix.len()).min(piece.len());
        self.prefix.extend_from_slice(&piece[..missing]);
        if piece.len() < PIECE_BYTES_MIN {
            self.tail.extend_from_slice(&piece);
            return;
        }
        self.close_tail();
        self.pieces.push(piece);
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push(std::mem::take(&mut self.tail).freeze());
        }
    }

    /// The length of the message, as soon as it has been said.
    fn announced(&self) -> Option<usize> {
        let length = self.prefix.get(1..PREFIX_BYTES)?;
        let length = <[u8; 4]>::try_from(length).ok()?;
        usize::try_from(u32::from_be_bytes(length)).ok()
    }

    /// Whether the message is here, and only the end of the stream is not.
    fn is_whole(&self) -> bool {
        self.announced()
            .is_some_and(|length| self.bytes >= length + PREFIX_BYTES)
    }

    fn into_body(mut self) -> Body {
        self.close_tail();
        let frames = self
            .pieces
            .into_iter()
            .map(|piece| Ok::<_, Status>(Frame::data(piece)));
        Body::new(StreamBody::new(futures::stream::iter(frames)))
    }
}
