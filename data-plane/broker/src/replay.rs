//! A start's groups out of what its disk holds: snapshots, the journal's tail, and what is whole behind damage.

use crate::follow::Found;
use crate::group::Disk;
use crate::kept::Kept;
use crate::mend::{self, Batch, Before, Known, MendError};
use crate::replica::{Recovery, RecoveryError};
use crate::snapshot::Snapshot;
use crate::untold::Untold;
use millstream_journal::{Journal, Position, Record};
use millstream_metadata::Image;
use millstream_model::GroupId;
use millstream_partition::{Change, GroupState};
use std::collections::BTreeMap;

/// Goes on behind the journal's damage; what is lost is kept until somebody was told.
pub(crate) fn go_on(
    journal: &mut Journal<Disk>,
    image: &Image,
    replays: &mut BTreeMap<GroupId, Replay>,
    is_internal: impl Fn(GroupId) -> bool,
    untold: &mut Untold,
) -> Result<(), MendError> {
    let before = |replay: &Replay| {
        let recovery = replay.recovery.as_ref()?;
        let settled = recovery.settled();
        Some(Before {
            is_blind: settled.is_none() || replay.error.is_some(),
            state: settled.unwrap_or_else(|| recovery.snapshot().clone()),
        })
    };
    let groups = replays
        .iter()
        .filter_map(|(group, replay)| Some((*group, before(replay)?)))
        .collect();
    let catalog = |id| {
        let (topic, row) = image.partition(id)?;
        Some((topic.tenant, row.base_epoch))
    };
    let confirmed = image
        .node_of(journal.id())
        .map(|node| node.registration_confirmed);
    let known = Known {
        groups,
        catalog: &catalog,
        registration: confirmed,
        planted: mend::Planted::default(),
    };
    let replaying = |record: &Record| {
        let Some(group) = record.group() else { return };
        let replay = replays
            .entry(group)
            .or_insert_with(|| Replay::fresh(group, is_internal(group)));
        replay.record(record.clone());
    };
    let mended = mend::mend(journal, known, replaying, |report| {
        untold.add_drafts(report.lines(image))
    });
    mended.map(drop)
}

/// One group's part of the journal.
pub(crate) struct Replay {
    recovery: Option<Recovery>,
    snapshot: Option<Snapshot>,
    kept: Kept,
    error: Option<RecoveryError>,
}

impl Replay {
    /// Of a group whose state then was this.
    pub(crate) fn of(snapshot: Snapshot, keep: bool) -> Replay {
        let recovery = Recovery::new(snapshot.state.clone(), keep).beside(snapshot.unknown);
        Replay {
            recovery: Some(recovery),
            snapshot: Some(snapshot),
            kept: Kept::default(),
            error: None,
        }
    }

    /// Of a group of which there is no snapshot.
    pub(crate) fn fresh(group: GroupId, is_internal: bool) -> Replay {
        Replay {
            recovery: Some(Recovery::new(GroupState::new(group), is_internal)),
            snapshot: None,
            kept: Kept::default(),
            error: None,
        }
    }

    /// Remembers where a batch lies, also one that is in the store and released.
    pub(crate) fn keep(&mut self, position: Position, record: &Record) {
        if let Record::Entry(entry) = record
            && let Some(batch) = Batch::of(&entry.header, &Change::of(entry))
        {
            let offsets = (batch.base_offset, batch.end_offset);
            self.kept.push(batch.partition, offsets, position);
        }
    }

    pub(crate) fn record(&mut self, record: Record) {
        if self.error.is_some() {
            return;
        }
        if let Some(recovery) = &mut self.recovery {
            self.error = recovery.record(record).err();
        }
    }

    /// `None` when the group cannot be served from what is here.
    pub(crate) fn finish(self, group: GroupId) -> Option<Found> {
        let finished = match (self.error, self.recovery?) {
            (Some(error), _) => Err(error),
            (None, recovery) => recovery.finish(),
        };
        match finished {
            Ok(recovery) => Some(Found {
                recovery,
                snapshot: self.snapshot,
                kept: self.kept,
            }),
            Err(error) => {
                tracing::error!(%group, %error, "a group cannot be restored from this disk alone; unless a newer snapshot in the store makes it whole it is not served, and an operator must look");
                None
            }
        }
    }
}
