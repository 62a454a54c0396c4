//! What a machine is told once, when it is made.

use millstream_model::{GroupId, JournalId, Registration};

/// A machine's settings; [`Settings::new`] fills in the usual times and sizes.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The group whose log this is.
    pub group: GroupId,
    /// This replica's journal.
    pub me: JournalId,
    /// The number this process start got when it registered (log.md 13).
    pub registration: Registration,
    /// A leader sends at least this often, ms.
    pub heartbeat_ms: u64,
    /// An unanswered append or proposal is sent again after this long, ms.
    pub retry_ms: u64,
    /// A member that is silent or behind for this long leaves the ISR, ms (log.md 19).
    pub session_ms: u64,
    /// Bytes that a leader may send beyond what this follower has said is durable (log.md 25).
    pub window_bytes: usize,
    /// Bytes of one append message; one larger entry still goes alone.
    pub message_bytes_max: usize,
    /// Bytes of recent entries kept in memory for followers; what is not yet durable is always kept.
    pub tail_bytes_max: usize,
    /// Bytes of entries that may wait for the high watermark before appends are refused.
    pub uncommitted_bytes_max: usize,
    /// Bugs put in on purpose, for the simulator only.
    pub planted: Planted,
}

/// Bugs that the simulator must find. Never set outside tests: each one loses acknowledged data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planted {
    /// A restarted leader goes on leading the epoch that its earlier incarnation led.
    pub epoch_led_by_two_incarnations: bool,
    /// Entries count for the high watermark when they are received, not when they are durable.
    pub high_watermark_on_receive: bool,
    /// A member counts no more as soon as its removal is proposed (against log.md 16).
    pub removal_counts_when_proposed: bool,
    /// A follower takes entries although its log has another entry before them (against log.md 15).
    pub append_without_previous: bool,
}

impl Settings {
    /// Settings with the usual times and sizes.
    pub fn new(group: GroupId, me: JournalId, registration: Registration) -> Settings {
        Settings {
            group,
            me,
            registration,
            heartbeat_ms: 500,
            retry_ms: 1_000,
            session_ms: 9_000,
            window_bytes: 16 * 1024 * 1024,
            message_bytes_max: 1024 * 1024,
            tail_bytes_max: 16 * 1024 * 1024,
            uncommitted_bytes_max: 64 * 1024 * 1024,
            planted: Planted::default(),
        }
    }
}
