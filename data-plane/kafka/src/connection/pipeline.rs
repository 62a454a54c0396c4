//! After authentication: requests are read ahead, handled in order, answered in order. What waits for its caller's debts
//! steps aside, so that what moves no bytes need not ([`owing`]).

use super::answer::{Answer, Finish, Finished, Mute, write};
use super::frames::{Frames, Received};
use super::owing::{self, Owing};
use super::{End, Limits};
use crate::api;
use crate::session::{Call, Session};
use millstream_door::Share;
use millstream_kafka_wire::ApiKey;
use millstream_kafka_wire::frame::RequestFrame;
use millstream_model::limits::{KAFKA_ANSWERS_BYTES_MAX, PIPELINE_REQUESTS_MAX};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long requests of a client that has gone may go on: an acks=0 producer need not stay for them.
const GONE_PATIENCE: Duration = Duration::from_secs(10);

/// A request that was begun, in its place among the answers.
struct Slot {
    api: ApiKey,
    received: std::time::Instant,
    /// The answer's share of what may wait to be written, of this connection and of all.
    _space: Option<(OwnedSemaphorePermit, Option<Share>)>,
    answer: Finish,
}

/// Serves requests until the client leaves, errs, or the door closes.
pub(super) async fn run<R, W>(
    frames: Frames<'_, R>,
    writer: W,
    limits: Limits<'_>,
    session: Arc<Session>,
) -> Result<(), End>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (requests, waiting) = mpsc::channel(PIPELINE_REQUESTS_MAX);
    let (slots, answers) = mpsc::channel(PIPELINE_REQUESTS_MAX);
    let (aside, owing) = mpsc::channel(PIPELINE_REQUESTS_MAX);
    let mute = Mute::default();
    let finished = CancellationToken::new();
    let all = async {
        tokio::try_join!(
            read(frames, requests, limits, &finished),
            async {
                let executed = execute(waiting, Begun { slots, aside }, &session, &mute);
                tokio::try_join!(executed, owing::begin(owing, &session, &mute))?;
                finished.cancel();
                Ok::<_, End>(())
            },
            answer(answers, writer, limits, &session, &mute),
        )
    };
    all.await.map(|_| ())
}

/// Reads ahead. What a client asked before it left is begun nevertheless, but nothing waits for long.
async fn read<R: AsyncRead + Unpin>(
    mut frames: Frames<'_, R>,
    requests: mpsc::Sender<Received>,
    limits: Limits<'_>,
    finished: &CancellationToken,
) -> Result<(), End> {
    loop {
        let received = tokio::select! {
            received = frames.next() => received?,
            () = limits.drain.cancelled() => return Ok(()),
        };
        let Some(received) = received else {
            drop(requests);
            return match tokio::time::timeout(GONE_PATIENCE, finished.cancelled()).await {
                Ok(()) => Ok(()),
                Err(_) => Err(End::Gone),
            };
        };
        if requests.send(received).await.is_err() {
            return Ok(());
        }
    }
}

/// Where requests go once they are handled.
struct Begun {
    /// To be answered.
    slots: mpsc::Sender<Slot>,
    /// To be begun when their caller has paid.
    aside: mpsc::Sender<Owing>,
}

/// Handles one request after the other.
async fn execute(
    mut waiting: mpsc::Receiver<Received>,
    begun: Begun,
    session: &Arc<Session>,
    mute: &Mute,
) -> Result<(), End> {
    let space = Arc::new(Semaphore::new(KAFKA_ANSWERS_BYTES_MAX));
    while let Some(Received {
        bytes,
        share,
        at: received,
    }) = waiting.recv().await
    {
        mute.ended().await;
        let request = RequestFrame::read(bytes)?;
        let api = request.key;
        let mut call = Call::new(Arc::clone(session), &request, Instant::from_std(received), share);
        if !moves_bytes(api) {
            session.unbegun.followed(call.received + session.patience(api));
        }
        call.begin().await;
        let (answer, taken) = match session.turn.run(api::handle(call, request)).await? {
            Answer::Later(answer) => (answer, None),
            Answer::Owing { begin, patience } => {
                let (sender, receiver) = oneshot::channel();
                let silent = patience.is_none();
                session.unbegun.push(patience);
                let owing = Owing {
                    received,
                    begin,
                    answer: (!silent).then_some(sender),
                };
                if begun.aside.send(owing).await.is_err() {
                    return Ok(());
                }
                if silent {
                    continue;
                }
                (once_begun(receiver), None)
            }
            Answer::Now { frame, throttle } => {
                let bytes = u32::try_from(frame.len().min(KAFKA_ANSWERS_BYTES_MAX)).unwrap_or(u32::MAX);
                let taken = Arc::clone(&space)
                    .acquire_many_owned(bytes)
                    .await
                    .map_err(|_| End::Closed)?;
                let room = session.room_for_answer(api, frame.len()).await?;
                // The mute begins here; the writer begins it only for answers that are still on their way.
                let ready: Finish = Box::pin(std::future::ready(Ok(Finished {
                    frame: Some(frame),
                    throttle: Duration::ZERO,
                })));
                mute.throttle(throttle);
                (ready, Some((taken, room)))
            }
        };
        let slot = Slot {
            api,
            received,
            _space: taken,
            answer,
        };
        if begun.slots.send(slot).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether a request waits for debts of bytes itself.
fn moves_bytes(api: ApiKey) -> bool {
    matches!(api, ApiKey::Produce | ApiKey::Fetch)
}

/// The answer of a produce that has stepped aside.
fn once_begun(begun: oneshot::Receiver<Finish>) -> Finish {
    Box::pin(async {
        let finish = begun.await.map_err(|_| End::Closed)?;
        finish.await
    })
}

/// Writes the answers in the order of the requests.
async fn answer<W: AsyncWrite + Unpin>(
    mut answers: mpsc::Receiver<Slot>,
    mut writer: W,
    limits: Limits<'_>,
    session: &Session,
    mute: &Mute,
) -> Result<(), End> {
    while let Some(slot) = answers.recv().await {
        let Finished { frame, throttle } = session.turn.run(slot.answer).await?;
        if let Some(frame) = frame {
            write(&mut writer, frame, limits).await?;
        }
        session.shared.metrics.answered(slot.api, slot.received.elapsed());
        mute.throttle(throttle);
    }
    let _ = writer.shutdown().await;
    Ok(())
}
