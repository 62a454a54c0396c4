//! Streamed answers, and what ends them.

use crate::gate::caller::Caller;
use crate::gate::metrics::Counted;
use crate::gate::refusal::Refusal;
use crate::gate::sending::trailers;
use crate::gate::{GateMetrics, Shared};
use crate::room::Owner;
use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use millstream_access::revoked;
use millstream_turns::Turn;
use tonic::Status;
use tonic::body::Body;

/// What ends a streamed answer before its service does.
pub(crate) struct Ends {
    /// The caller's part of the processor: what a service makes of its answer while it is sent counts too.
    turn: Option<Turn>,
    ended: BoxFuture<'static, Refusal>,
    metrics: GateMetrics,
    _answering: Counted,
}

impl Ends {
    /// The end of the server; and the end of the caller's key, or of a stranger's time.
    pub(crate) fn new(shared: &Shared, caller: Caller, answering: Counted) -> Ends {
        let (image, draining) = (shared.parts.image.clone(), shared.parts.draining.clone());
        let time = shared.settings.stranger_time;
        let turn = match &caller {
            Caller::Known(who) => Some(shared.parts.rooms.turns().of(Owner::Tenant(who.tenant))),
            _ => None,
        };
        let ended = async move {
            let left = async {
                match &caller {
                    Caller::Known(who) => {
                        let error = revoked(image, who).await;
                        tracing::info!(%error, "a stream ends with its key");
                        Refusal::Unauthenticated
                    }
                    Caller::Node => std::future::pending().await,
                    Caller::Stranger { .. } => {
                        tokio::time::sleep(time).await;
                        Refusal::StrangersTime(time)
                    }
                }
            };
            tokio::select! {
                biased;
                () = draining.cancelled() => Refusal::Stopping,
                refusal = left => refusal,
            }
        };
        Ends {
            turn,
            ended: ended.boxed(),
            metrics: shared.parts.metrics.clone(),
            _answering: answering,
        }
    }

    /// The body, cut with a status of its own. An answer of headers alone stays one: clients on gRPC's C core look for
    /// an error's status in the first frame, or else say only "Stream removed".
    pub(crate) fn apply(self, body: Body) -> Body {
        if body.is_end_stream() {
            return body;
        }
        let state = Some((body, self));
        let frames = futures::stream::unfold(state, |state| async move {
            let (mut body, mut ends) = state?;
            tokio::select! {
                biased;
                refusal = &mut ends.ended => {
                    ends.metrics.refused(&refusal);
                    Some((Ok::<Frame<Bytes>, Status>(Frame::trailers(trailers(&refusal.status()))), None))
                }
                frame = next(ends.turn.as_ref(), &mut body) => frame.map(|frame| (frame, Some((body, ends)))),
            }
        });
        Body::new(StreamBody::new(frames))
    }
}

async fn next(turn: Option<&Turn>, body: &mut Body) -> Option<Result<Frame<Bytes>, Status>> {
    match turn {
        Some(turn) => turn.run(body.frame()).await,
        None => body.frame().await,
    }
}
