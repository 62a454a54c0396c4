//! Produces of a connection that wait for what their caller owes: one after the other, and no other request behind them.
//!
//! A produce that wants an answer is refused, before it is begun, when its patience ends; for its answer stands before those
//! of the requests behind it, and a member of a group must have these in time. One that wants none holds up no answer.

use super::End;
use super::answer::{Finish, Mute};
use crate::session::Session;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

/// A produce that is not begun.
pub(super) struct Owing {
    pub(super) received: std::time::Instant,
    /// Waits for the debt, and begins the produce or refuses it.
    pub(super) begin: BoxFuture<'static, Finish>,
    /// Where its answer is waited for, if its client wants one.
    pub(super) answer: Option<oneshot::Sender<Finish>>,
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
