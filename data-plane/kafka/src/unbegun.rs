//! The produces of a connection that wait for what their caller owes, as the requests behind them see these.

use millstream_door::Shrinking;
use parking_lot::Mutex;
use std::collections::VecDeque;
use tokio::time::Instant;

/// Those of one connection that are not begun, in their order: until when they wait if others stand behind them.
#[derive(Default)]
pub(crate) struct Unbegun(Mutex<VecDeque<Option<Shrinking>>>);

impl Unbegun {
    /// Whether a produce may be begun at once.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// One more, with its patience if it wants an answer.
    pub(crate) fn push(&self, patience: Option<Shrinking>) {
        self.0.lock().push_back(patience);
    }

    /// The first of them was begun or refused.
    pub(crate) fn begun(&self) {
        self.0.lock().pop_front();
    }

    /// The answer of a request behind them should not wait for longer.
    pub(crate) fn followed(&self, until: Instant) {
        self.0.lock().iter().flatten().for_each(|it| it.shorten(until));
    }
}
