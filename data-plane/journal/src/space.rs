//! How full a journal is, and what to do about it (log.md 10).

use millstream_model::GroupId;

/// How full a journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// What it may hold, bytes.
    pub capacity: u64,
    /// What it holds, bytes: whole files but for the one being written.
    pub used: u64,
    /// The group to flush so that the oldest file can be recycled; `None` when the oldest is the one being written.
    pub oldest: Option<GroupId>,
    /// What to do.
    pub level: Level,
    /// The disk had no room for a file that the settings allow.
    pub disk_full: bool,
}

/// What a fill level asks for; each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Nothing.
    Normal,
    /// From half full: flush the group in [`Space::oldest`].
    Flush,
    /// From 80 %: delay producers.
    Delay,
    /// From 95 %: refuse tenants' entries; the rest is for internal topics.
    Refuse,
}

impl Level {
    /// The level of a journal that holds `used` of `capacity` bytes.
    pub fn of(used: u64, capacity: u64) -> Level {
        let reaches = |percent: u64| u128::from(used) * 100 >= u128::from(capacity) * u128::from(percent);
        if reaches(95) {
            Level::Refuse
        } else if reaches(80) {
            Level::Delay
        } else if reaches(50) {
            Level::Flush
        } else {
            Level::Normal
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_begin_at_half_at_80_and_at_95_percent() {
        let cases = [
            (0, Level::Normal),
            (499, Level::Normal),
            (500, Level::Flush),
            (799, Level::Flush),
            (800, Level::Delay),
            (949, Level::Delay),
            (950, Level::Refuse),
            (2000, Level::Refuse),
        ];
        for (used, level) in cases {
            assert_eq!(Level::of(used, 1000), level, "{used}");
            // Also where the percentages would not fit into 64 bits.
            assert_eq!(Level::of(used << 53, 1000 << 53), level, "{used}");
        }
    }
}
