//! The processor, shared out between tenants: how much work of one may be under way at once.
//!
//! The runtime serves its tasks in the order in which they were woken. A tenant with a thousand busy connections has a
//! thousand places in that queue, and everybody else waits behind them. Here a tenant's work stands in a line of its own:
//! only the first few of it are in the runtime's queue at any time. Work is entered and left with each poll, so that what
//! waits for a disk or another node holds nobody up.
//!
//! A tenant whose polls are short may use every worker. Whose polls are long leaves half of the workers to others for
//! a while, since a poll cannot be stopped half-way, and lets the runtime look at its sockets before each of them: a
//! worker that always finds something to do looks at them after 61 polls only (tokio's `event_interval`), and the others
//! may be asleep meanwhile. What that cost: decision 043.

use millstream_model::limits::{TURN_LONG_MS, TURN_NARROW_MS};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Poll, Waker, ready};
use std::time::{Duration, Instant};

/// Who of one tenant is at work, and who waits. Pure: callers say what time it is.
#[derive(Debug, Default)]
struct Line {
    inside: usize,
    /// In the order of arrival.
    waiting: BTreeMap<u64, Waker>,
    /// Have a place inside, and have not come yet.
    called: BTreeSet<u64>,
    next: u64,
    /// Until then only half of the workers are for this tenant.
    narrow_until: Option<Instant>,
}

impl Line {
    fn is_narrow(&self, now: Instant) -> bool {
        self.narrow_until.is_some_and(|until| now < until)
    }

    fn width(&self, now: Instant, workers: usize) -> usize {
        match self.is_narrow(now) {
            true => (workers / 2).max(1),
            false => workers.max(1),
        }
    }

    /// Whether the holder of the ticket, or who has none, should let others go first once more.
    fn gives_way(&self, now: Instant, ticket: Option<u64>) -> bool {
        self.is_narrow(now) && ticket.is_none_or(|number| self.called.contains(&number))
    }

    /// Whether the holder of the ticket may work now; if not, it has one afterwards, and its waker is called.
    fn enter(&mut self, now: Instant, workers: usize, ticket: &mut Option<u64>, waker: &Waker) -> bool {
        if let Some(number) = *ticket {
            if self.called.remove(&number) {
                *ticket = None;
                return true;
            }
            self.waiting.insert(number, waker.clone());
            return false;
        }
        if self.waiting.is_empty() && self.inside < self.width(now, workers) {
            self.inside += 1;
            return true;
        }
        let number = self.next;
        self.next += 1;
        self.waiting.insert(number, waker.clone());
        *ticket = Some(number);
        false
    }

    /// A piece of work is done for now, and took so long. Who comes next is to be woken.
    fn leave(&mut self, now: Instant, workers: usize, took: Duration) -> Vec<Waker> {
        if took >= Duration::from_millis(TURN_LONG_MS) {
            self.narrow_until = Some(now + Duration::from_millis(TURN_NARROW_MS));
        }
        self.inside -= 1;
        self.call(now, workers)
    }

    /// The holder of the ticket does not come any more.
    fn forget(&mut self, now: Instant, workers: usize, ticket: u64) -> Vec<Waker> {
        self.waiting.remove(&ticket);
        if self.called.remove(&ticket) {
            self.inside -= 1;
        }
        self.call(now, workers)
    }

    fn call(&mut self, now: Instant, workers: usize) -> Vec<Waker> {
        let mut wakers = Vec::new();
        while self.inside < self.width(now, workers) {
            let Some((number, waker)) = self.waiting.pop_first() else {
                break;
            };
            self.inside += 1;
            self.called.insert(number);
            wakers.push(waker);
        }
        wakers
    }
}

/// The lines of everybody who works on the same workers, by whom the work is done for. Cheap to clone.
#[derive(Debug)]
pub struct Turns<K> {
    lines: Arc<Mutex<BTreeMap<K, Weak<Mutex<Line>>>>>,
    /// Workers that one may have at most; none says all of the runtime's.
    width: Option<usize>,
}

impl<K> Default for Turns<K> {
    fn default() -> Self {
        Turns {
            lines: Arc::default(),
            width: None,
        }
    }
}

impl<K> Clone for Turns<K> {
    fn clone(&self) -> Self {
        Turns {
            lines: Arc::clone(&self.lines),
            width: self.width,
        }
    }
}

/// One tenant's line. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Turn {
    line: Arc<Mutex<Line>>,
    workers: usize,
}

impl<K: Ord> Turns<K> {
    /// One may have so many workers at most, however many there are.
    pub fn at_most(width: usize) -> Self {
        Turns {
            width: Some(width),
            ..Turns::default()
        }
    }

    /// The owner's line. Must be called within a tokio runtime, whose workers are shared out; elsewhere there is one.
    pub fn of(&self, owner: K) -> Turn {
        let all = || tokio::runtime::Handle::try_current().map_or(1, |handle| handle.metrics().num_workers());
        let workers = self.width.unwrap_or_else(all);
        let mut lines = self.lines.lock();
        let known = lines.get(&owner).and_then(Weak::upgrade);
        let line = known.unwrap_or_else(|| {
            lines.retain(|_, line| line.strong_count() > 0);
            let line = Arc::default();
            lines.insert(owner, Arc::downgrade(&line));
            line
        });
        Turn { line, workers }
    }
}

impl Turn {
    /// Does the work, each poll of it in the tenant's turn. Work of one tenant must not be nested.
    pub async fn run<F: Future>(&self, work: F) -> F::Output {
        let mut work = pin!(work);
        let mut place = Place {
            turn: self,
            ticket: None,
        };
        let mut given_way = false;
        let mut way: Option<Pin<Box<dyn Future<Output = ()> + Send>>> = None;
        poll_fn(|context| {
            let now = Instant::now();
            if !given_way && self.line.lock().gives_way(now, place.ticket) {
                given_way = true;
                way = Some(Box::pin(tokio::task::yield_now()));
            }
            if let Some(yielding) = &mut way {
                ready!(yielding.as_mut().poll(context));
                way = None;
            }
            let entered = self
                .line
                .lock()
                .enter(now, self.workers, &mut place.ticket, context.waker());
            if !entered {
                return Poll::Pending;
            }
            given_way = false;
            let _inside = Inside {
                turn: self,
                since: now,
            };
            work.as_mut().poll(context)
        })
        .await
    }

    fn wake(wakers: Vec<Waker>) {
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// A place in the line; given up by dropping.
struct Place<'a> {
    turn: &'a Turn,
    ticket: Option<u64>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let next = self
                .turn
                .line
                .lock()
                .forget(Instant::now(), self.turn.workers, ticket);
            Turn::wake(next);
        }
    }
}

/// At work; left by dropping, also by who panics.
struct Inside<'a> {
    turn: &'a Turn,
    since: Instant,
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        let now = Instant::now();
        let next = self
            .turn
            .line
            .lock()
            .leave(now, self.turn.workers, now - self.since);
        Turn::wake(next);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Line;
    use millstream_model::limits::{TURN_LONG_MS, TURN_NARROW_MS};
    use std::task::Waker;
    use std::time::{Duration, Instant};

    /// How many may be at work at once.
    fn width(line: &mut Line, now: Instant) -> usize {
        let mut tickets = [None; 8];
        let entered = tickets
            .iter_mut()
            .filter_map(|ticket| line.enter(now, 4, ticket, Waker::noop()).then_some(()))
            .count();
        for ticket in tickets.into_iter().flatten() {
            line.forget(now, 4, ticket);
        }
        for _ in 0..entered {
            line.leave(now, 4, Duration::ZERO);
        }
        entered
    }

    #[test]
    fn who_keeps_a_worker_for_long_leaves_half_of_them_for_a_while() {
        let (mut line, start) = (Line::default(), Instant::now());
        assert_eq!(width(&mut line, start), 4);
        assert!(line.enter(start, 4, &mut None, Waker::noop()));
        line.leave(start, 4, Duration::from_millis(TURN_LONG_MS));
        assert_eq!(width(&mut line, start), 2);
        assert_eq!(width(&mut line, start + Duration::from_millis(TURN_NARROW_MS)), 4);
    }

    #[test]
    fn who_keeps_a_worker_for_long_gives_way_when_it_is_its_turn() {
        let (mut line, start) = (Line::default(), Instant::now());
        let mut waits = None;
        assert!(!line.gives_way(start, None));
        assert!(line.enter(start, 1, &mut None, Waker::noop()));
        assert!(!line.enter(start, 1, &mut waits, Waker::noop()));
        line.leave(start, 1, Duration::from_millis(TURN_LONG_MS));
        let behind = Some(99);
        assert!(
            line.gives_way(start, None) && line.gives_way(start, waits) && !line.gives_way(start, behind)
        );
        assert!(!line.gives_way(start + Duration::from_millis(TURN_NARROW_MS), waits));
    }

    #[test]
    fn who_was_called_keeps_the_place_until_it_comes_or_goes() {
        let (mut line, now) = (Line::default(), Instant::now());
        let (mut first, mut second, mut third) = (None, None, None);
        assert!(line.enter(now, 1, &mut first, Waker::noop()));
        assert!(!line.enter(now, 1, &mut second, Waker::noop()));
        assert!(!line.enter(now, 1, &mut third, Waker::noop()));
        assert_eq!(line.leave(now, 1, Duration::ZERO).len(), 1);
        // Who comes new, and who was polled for another reason, waits behind it.
        assert!(!line.enter(now, 1, &mut first, Waker::noop()));
        assert!(!line.enter(now, 1, &mut third, Waker::noop()));
        let called = second.take().unwrap();
        assert_eq!(line.forget(now, 1, called).len(), 1);
        assert!(line.enter(now, 1, &mut third, Waker::noop()));
    }
}
