//! Produces of a connection that wait for what their caller owes: one after the other, and no other request behind them.
//!
//! A produce that wants an answer is refused, before it is begun, when its patience ends; for its answer stands before those
//! of the requests behind it, and a member of a group must have these in time. One that wants none holds up no answer.

use super::End;
use super::answer::{Finished, Mute};
use crate::session::Session;
use futures::future::BoxFuture;
use millstream_door::Shrinking;
use parking_lot::Mutex;
use std::collections::VecDeque;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// An answer that is known once its request has gone on.
pub(crate) type Finish = BoxFuture<'static, Result<Finished, End>>;

/// A produce that is not begun.
pub(super) struct Owing {
    pub(super) received: std::time::Instant,
    /// Waits for the debt, and begins the produce or refuses it.
    pub(super) begin: BoxFuture<'static, Finish>,
    /// Where its answer is waited for, if its client wants one.
    pub(super) answer: Option<oneshot::Sender<Finish>>,
}

/// Those of one connection that are not begun, in their order: until when they wait if others stand behind them.
#[derive(Default)]
pub(crate) struct Unbegun(Mutex<VecDeque<Option<Shrinking>>>);

impl Unbegun {
    /// Whether a produce may be begun at once.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// One more, with its patience if it wants an answer.
    pub(super) fn push(&self, patience: Option<Shrinking>) {
        self.0.lock().push_back(patience);
    }

    /// The first of them was begun or refused.
    fn begun(&self) {
        self.0.lock().pop_front();
    }

    /// The answer of a request behind them should not wait for longer.
    pub(super) fn followed(&self, until: Instant) {
        self.0.lock().iter().flatten().for_each(|it| it.shorten(until));
    }
}

/// Begins them one after the other.
pub(super) async fn begin(
    mut waiting: mpsc::Receiver<Owing>,
    session: &Session,
    mute: &Mute,
) -> Result<(), End> {
    while let Some(Owing {
        received,
        begin,
        answer,
    }) = waiting.recv().await
    {
        let finish = session.turn.run(begin).await;
        session.unbegun.begun();
        match answer {
            // Who would answer is gone with the connection.
            Some(answer) => drop(answer.send(finish)),
            None => {
                let finished = session.turn.run(finish).await?;
                session.produced_silently(received);
                mute.throttle(finished.throttle);
            }
        }
    }
    Ok(())
}
