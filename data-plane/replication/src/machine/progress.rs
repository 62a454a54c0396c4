//! What a leader knows of one follower.

use crate::event::Member;
use crate::tail::entry_bytes;
use millstream_model::entry::Entry;
use millstream_model::{JournalId, Lsn, Registration};
use std::collections::VecDeque;

/// One follower, as its leader sees it in this epoch.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) registration: Registration,
    /// What is on its disk and agrees with the leader's log; `None` until this incarnation has said so.
    pub(super) durable: Option<Lsn>,
    /// The most that any incarnation has said.
    durable_max: Lsn,
    /// The next entry to send.
    pub(super) next: Lsn,
    /// Sent and not known to be durable: (LSN, bytes).
    flight: VecDeque<(Lsn, usize)>,
    flight_bytes: usize,
    pub(super) window_bytes: usize,
    /// Messages sent; refusals repeat it.
    pub(super) number: u64,
    /// Refusals of messages up to this one were already answered by going back.
    pub(super) rewound_at: u64,
    /// The shell was asked for entries from here on.
    pub(super) reading: Option<Lsn>,
    pub(super) damaged: bool,
    /// This incarnation has not yet shown that it kept what its predecessor acknowledged.
    unchecked: bool,
    heard_at_ms: u64,
    pub(super) sent_at_ms: u64,
    pub(super) installed_at_ms: Option<u64>,
    /// When it last had everything that the leader had at some moment, and that moment.
    caught_up_at_ms: u64,
    seen_end: (Lsn, u64),
}

impl Progress {
    /// A follower that is given a session to show itself.
    pub(super) fn new(member: Member, end: Lsn, window_bytes: usize, now_ms: u64) -> Progress {
        Progress {
            registration: member.registration,
            durable: None,
            durable_max: Lsn::ZERO,
            next: end.next(),
            flight: VecDeque::new(),
            flight_bytes: 0,
            window_bytes,
            number: 0,
            rewound_at: 0,
            reading: None,
            damaged: false,
            unchecked: false,
            heard_at_ms: now_ms,
            sent_at_ms: now_ms,
            installed_at_ms: None,
            caught_up_at_ms: now_ms,
            seen_end: (end, now_ms),
        }
    }

    /// This follower as a member.
    pub(super) fn member(&self, journal: JournalId) -> Member {
        Member {
            journal,
            registration: self.registration,
        }
    }

    /// Whether it was heard from within a session.
    pub(super) fn lives(&self, now_ms: u64, session_ms: u64) -> bool {
        now_ms.saturating_sub(self.heard_at_ms) <= session_ms
    }

    /// Whether it lives and had everything at some moment within a session.
    pub(super) fn keeps_up(&self, now_ms: u64, session_ms: u64) -> bool {
        self.lives(now_ms, session_ms)
            && !self.damaged
            && now_ms.saturating_sub(self.caught_up_at_ms) <= session_ms
    }

    /// A message of an incarnation; whether it is one to listen to. An older one is not heard.
    pub(super) fn hear(&mut self, registration: Registration, now_ms: u64) -> bool {
        self.restarted(registration);
        if registration < self.registration {
            return false;
        }
        self.heard_at_ms = now_ms;
        true
    }

    /// The newest incarnation known elsewhere; a newer one than here starts over.
    pub(super) fn restarted(&mut self, registration: Registration) {
        if registration > self.registration {
            self.registration = registration;
            self.durable = None;
            self.unchecked = true;
        }
    }

    /// A new incarnation has nothing after `last` that agrees with the leader's log. Whether that is less than an
    /// earlier one had acknowledged, noticed for the first time.
    pub(super) fn lacks_acknowledged(&mut self, last: Lsn) -> bool {
        let noticed = self.unchecked && last < self.durable_max && !self.damaged;
        self.unchecked = false;
        self.damaged |= noticed;
        noticed
    }

    /// It has `durable` on disk, while the leader's log ends at `end`.
    pub(super) fn acknowledge(&mut self, durable: Lsn, end: Lsn, now_ms: u64) {
        let durable = self.durable.map_or(durable, |known| known.max(durable));
        self.durable = Some(durable);
        self.unchecked &= durable < self.durable_max;
        self.durable_max = self.durable_max.max(durable);
        self.next = self.next.max(durable.next());
        while let Some((_, bytes)) = self.flight.pop_front_if(|(lsn, _)| *lsn <= durable) {
            self.flight_bytes -= bytes;
        }
        if durable >= end {
            self.caught_up_at_ms = now_ms;
        } else if durable >= self.seen_end.0 {
            self.caught_up_at_ms = self.caught_up_at_ms.max(self.seen_end.1);
        } else {
            return;
        }
        self.seen_end = (end, now_ms);
    }

    /// Goes back: it has only what lies before `next`.
    pub(super) fn rewind(&mut self, next: Lsn) {
        self.next = next;
        self.rewound_at = self.number;
        self.reading = None;
        while let Some((_, bytes)) = self.flight.pop_back_if(|(lsn, _)| *lsn >= next) {
            self.flight_bytes -= bytes;
        }
    }

    /// Bytes that may be sent now; none while the shell reads for it.
    pub(super) fn credit(&self) -> usize {
        if self.reading.is_some() {
            return 0;
        }
        self.window_bytes.saturating_sub(self.flight_bytes)
    }

    /// Notes what a message carries; returns the message's number.
    pub(super) fn sent(&mut self, entries: &[Entry], now_ms: u64) -> u64 {
        for entry in entries {
            let bytes = entry_bytes(entry);
            self.flight.push_back((entry.header.lsn, bytes));
            self.flight_bytes += bytes;
            self.next = entry.header.lsn.next();
        }
        self.sent_at_ms = now_ms;
        self.number += 1;
        self.number
    }
}
