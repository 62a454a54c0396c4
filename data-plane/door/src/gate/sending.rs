//! Answers on their way: in pieces, within the room of their caller, and not for ever.
//!
//! A large message is handed to the connection piece by piece, as its client takes it; what is left waits here, and
//! holds room. A client that asks for much and takes nothing meets the end of its share, and of its answers.

use crate::gate::metrics::GateMetrics;
use crate::gate::refusal::Refusal;
use crate::{Connection, Share};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tonic::Status;
use tonic::body::Body;

/// What is handed to the connection at once; smaller messages take no room.
const PIECE_BYTES: usize = 64 * 1024;

/// An answer that is being sent.
pub(crate) struct Sending {
    body: Body,
    /// Whose room it takes; none for those who get little.
    room: Option<Connection>,
    patience: Duration,
    metrics: GateMetrics,
    first: Option<Next>,
    message: Option<Waiting>,
}

/// What comes next of an answer.
enum Next {
    Frame(Frame<Bytes>),
    Error(Status),
    Refused(Refusal),
    /// A large message, which is here now.
    Message,
    End,
}

/// What is left of a large message, until it is sent or given up.
struct Left {
    bytes: Bytes,
    _share: Option<Share>,
    /// Whether something was taken since the watch looked.
    moved: bool,
}

/// A large message and who watches that it is taken.
struct Waiting {
    left: Arc<Mutex<Option<Left>>>,
    watch: JoinHandle<()>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Sending {
    pub(crate) fn new(
        body: Body,
        room: Option<Connection>,
        patience: Duration,
        metrics: GateMetrics,
    ) -> Sending {
        Sending {
            body,
            room,
            patience,
            metrics,
            first: None,
            message: None,
        }
    }

    /// Makes the first message now: a client that takes nothing would have it kept unmade, and uncounted.
    pub(crate) async fn begin(&mut self) {
        self.first = Some(self.next().await);
    }

    /// The body as the connection takes it.
    pub(crate) fn into_body(self) -> Body {
        let frames = futures::stream::unfold(Some(self), |state| async move {
            let mut sending = state?;
            loop {
                if let Some(waiting) = &sending.message {
                    match waiting.piece() {
                        Some(piece) if !piece.is_empty() => {
                            return Some((Ok(Frame::data(piece)), Some(sending)));
                        }
                        Some(_) => sending.message = None,
                        None => return Some(sending.refused(&Refusal::NotTaken(sending.patience))),
                    }
                }
                let next = match sending.first.take() {
                    Some(next) => next,
                    None => sending.next().await,
                };
                match next {
                    Next::Frame(frame) => return Some((Ok(frame), Some(sending))),
                    Next::Error(status) => return Some((Err(status), None)),
                    Next::Refused(refusal) => return Some(sending.refused(&refusal)),
                    Next::Message => {}
                    Next::End => return None,
                }
            }
        });
        Body::new(StreamBody::new(frames))
    }

    fn refused(&self, refusal: &Refusal) -> (Result<Frame<Bytes>, Status>, Option<Sending>) {
        self.metrics.refused(refusal);
        (Ok(Frame::trailers(trailers(&refusal.status()))), None)
    }

    async fn next(&mut self) -> Next {
        let frame = match self.body.frame().await {
            None => return Next::End,
            Some(Err(status)) => return Next::Error(status),
            Some(Ok(frame)) => frame,
        };
        let bytes = match frame.into_data() {
            Err(trailers) => return Next::Frame(trailers),
            Ok(bytes) if bytes.len() <= PIECE_BYTES => return Next::Frame(Frame::data(bytes)),
            Ok(bytes) => bytes,
        };
        let mut share = self.room.as_ref().map(Connection::begin);
        if let Some(share) = &mut share {
            if share.take(bytes.len()).await.is_err() {
                return Next::Refused(Refusal::NoRoom);
            }
            share.complete();
        }
        self.message = Some(Waiting::new(bytes, share, self.patience));
        Next::Message
    }
}

impl Waiting {
    fn new(bytes: Bytes, share: Option<Share>, patience: Duration) -> Waiting {
        let left = Arc::new(Mutex::new(Some(Left {
            bytes,
            _share: share,
            moved: false,
        })));
        // Nothing is kept for the watch's sake.
        let watched = Arc::downgrade(&left);
        let watch = tokio::spawn(async move {
            loop {
                sleep(patience).await;
                let Some(left) = watched.upgrade() else { return };
                let mut left = left.lock();
                match left.as_mut() {
                    Some(it) if it.moved => it.moved = false,
                    // The connection asks for nothing: nobody else would free it.
                    _ => {
                        *left = None;
                        return;
                    }
                }
            }
        });
        Waiting { left, watch }
    }

    /// The next piece, empty at the end; none when it was given up.
    fn piece(&self) -> Option<Bytes> {
        let mut left = self.left.lock();
        let left = left.as_mut()?;
        left.moved = true;
        let bytes = left.bytes.len().min(PIECE_BYTES);
        Some(left.bytes.split_to(bytes))
    }
}

/// A status as the end of an answer says it.
pub(crate) fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    if status.add_header(&mut trailers).is_err() {
        trailers.insert("grpc-status", HeaderValue::from(status.code() as i32));
    }
    trailers
}
