//! How much of the journal a replica gives back (log.md 30).

use millstream_model::Lsn;
use millstream_partition::GroupState;

/// A snapshot, as far as recycling has to know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Taken {
    /// The last entry that it contains.
    lsn: Lsn,
    /// It needs no record up to here: see [`GroupState::tiered_lsn`].
    tiered: Lsn,
}

/// The snapshots that a process has taken.
///
/// A restart, and a replica that is rebuilt, begin with the snapshot that the catalog names or with a newer one, and
/// must find in the journal every record that it believes to be hot. So the live state must not be asked: that a record
/// was moved to the store since is known from entries in the journal's tail, and a restart begins without them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshots {
    /// The newest one that is not newer than the catalog's.
    named: Taken,
    /// The first and the newest one taken since.
    waiting: Option<(Taken, Taken)>,
}

impl Snapshots {
    /// A snapshot of this state was taken.
    pub(super) fn took(&mut self, state: &GroupState) {
        let taken = Taken {
            lsn: state.applied(),
            tiered: state.tiered_lsn(),
        };
        let first = self.waiting.map_or(taken, |(first, _)| first);
        self.waiting = Some((first, taken));
    }

    /// The last entry of the newest one taken.
    pub(super) fn newest(&self) -> Lsn {
        self.waiting.map_or(self.named.lsn, |(_, newest)| newest.lsn)
    }

    /// Up to where nobody needs the journal's entries when the catalog names a snapshot at `reported`. A snapshot knows
    /// at least as much to be in the store as an older one: those of others that the catalog names need no more than
    /// an older one of this process.
    pub(super) fn releasable(&mut self, reported: Lsn) -> Lsn {
        if let Some((first, newest)) = self.waiting {
            if newest.lsn <= reported {
                (self.named, self.waiting) = (newest, None);
            } else if first.lsn <= reported {
                (self.named, self.waiting) = (first, Some((newest, newest)));
            }
        }
        self.named.tiered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(lsn: u64, tiered: u64) -> Taken {
        Taken {
            lsn: Lsn(lsn),
            tiered: Lsn(tiered),
        }
    }

    #[test]
    fn nothing_is_given_back_that_the_catalogs_snapshot_believes_to_be_hot() {
        let (none, old) = (Taken::default(), taken(5, 3));
        let waiting = Some((taken(9, 4), taken(20, 15)));
        for (named, waiting, reported, up_to, left) in [
            (none, None, 0, 0, None),
            // Another process reported it; what this one takes makes up for it.
            (none, None, 9, 0, None),
            (old, None, 9, 3, None),
            // On this disk alone: whoever is rebuilt begins with the catalog's.
            (old, waiting, 8, 3, waiting),
            // An older one of this process needs no less than the catalog's.
            (old, waiting, 10, 4, Some((taken(20, 15), taken(20, 15)))),
            (old, waiting, 20, 15, None),
        ] {
            let mut snapshots = Snapshots { named, waiting };
            assert_eq!(snapshots.releasable(Lsn(reported)), Lsn(up_to));
            assert_eq!(snapshots.waiting, left, "reported {reported}");
        }
    }
}
