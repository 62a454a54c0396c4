//! Background work, round by round: what follows what, and what a failure leaves.

use super::*;

fn facts(pressed: bool) -> Facts {
    Facts {
        now_ms: 1,
        time: TimestampMs(2),
        pressed,
        may_flush: true,
    }
}

impl Driven {
    fn next(&mut self, pressed: bool) -> Option<Work> {
        self.replica.next_work(&facts(pressed))
    }

    fn worked(&mut self, done: Done) {
        self.replica.worked(1, TimestampMs(2), done, &mut self.out);
    }

    /// Begins a round under pressure with the upload of all that is hot; its segments.
    fn upload(&mut self) -> Vec<(PartitionId, SegmentRef)> {
        self.replica.begin_round();
        let Some(Work::Upload { plan, object }) = self.next(true) else {
            panic!("an upload is due")
        };
        let segment = |run: &millstream_partition::FlushRun| {
            let Change::Tiered(segments) = tiered(run.from.0, run.end.0).change else {
                unreachable!("a segment")
            };
            (
                run.partition,
                SegmentRef {
                    object,
                    ..segments[0]
                },
            )
        };
        plan.runs.iter().map(segment).collect()
    }

    fn save(&mut self) {
        let Some(Work::Save(taken)) = self.next(false) else {
            panic!("a snapshot is due")
        };
        assert!(taken.leads);
        self.worked(Done::Saved {
            is_kept: false,
            length: 10,
            checksum: 11,
        });
    }
}

#[test]
fn a_round_moves_saves_reports_and_only_then_releases() {
    let mut driven = Driven::leader();
    driven.append(Acks::All, 0, 1).unwrap();
    driven.finish_writes(usize::MAX);
    let segments = driven.upload();
    assert_eq!(segments.len(), 1);
    assert!(driven.next(true).is_none(), "it is under way");
    driven.worked(Done::Uploaded(segments));
    assert!(driven.next(true).is_none(), "its entry is not committed");
    driven.finish_writes(usize::MAX);
    driven.save();
    let Some(Work::Store { object }) = driven.next(false) else {
        panic!("a leader's goes to the store, whatever the disk says")
    };
    driven.worked(Done::Stored);
    let Some(Work::Report { snapshot, .. }) = driven.next(false) else {
        panic!("it is reported once it is stored")
    };
    let applied = driven.replica.state().applied();
    assert_eq!((snapshot.object, snapshot.lsn), (object, applied));
    assert_eq!((snapshot.length, snapshot.checksum), (10, 11));
    driven.worked(Done::Reported);
    let Some(Work::Release { up_to }) = driven.next(false) else {
        panic!("what the snapshot knows as tiered is released")
    };
    assert_eq!(up_to, driven.replica.state().tiered_lsn());
    driven.worked(Done::Released);
    assert!(driven.next(false).is_none() && driven.replica.is_at_rest());
    driven.replica.begin_round();
    assert!(driven.next(true).is_none(), "nothing is left to do");
}

#[test]
fn a_failed_upload_still_saves_and_a_failed_report_is_made_again() {
    let mut driven = Driven::leader();
    driven.append(Acks::All, 0, 1).unwrap();
    driven.finish_writes(usize::MAX);
    driven.upload();
    driven.worked(Done::Failed);
    let Some(Work::Save(_)) = driven.next(true) else {
        panic!("a snapshot keeps a restart short, above all while the store is down")
    };
    driven.worked(Done::Saved {
        is_kept: true,
        length: 10,
        checksum: 11,
    });
    assert!(matches!(driven.next(false), Some(Work::Store { .. })));
    driven.worked(Done::Stored);
    assert!(matches!(driven.next(false), Some(Work::Report { .. })));
    driven.worked(Done::Failed);
    assert!(driven.next(false).is_none() && driven.replica.is_at_rest());
    driven.replica.begin_round();
    driven.save();
    assert!(
        matches!(driven.next(false), Some(Work::Store { .. })),
        "nothing new was applied, and yet it is told"
    );
}

#[test]
fn an_upload_that_outlives_its_leadership_moves_nothing() {
    let mut driven = Driven::leader();
    driven.append(Acks::All, 0, 1).unwrap();
    driven.finish_writes(usize::MAX);
    let segments = driven.upload();
    driven.lead(2);
    driven.finish_writes(usize::MAX);
    let end = driven.replica.machine().last();
    driven.worked(Done::Uploaded(segments));
    assert_eq!(driven.replica.machine().last(), end);
    let Some(Work::Save(_)) = driven.next(true) else {
        panic!("the round goes on")
    };
}

#[test]
fn what_was_tiered_after_the_last_snapshot_stays_in_the_journal() {
    let mut driven = Driven::leader();
    driven.append(Acks::All, 0, 1).unwrap();
    driven.finish_writes(usize::MAX);
    let mut snapshots = Snapshots::default();
    snapshots.took(driven.replica.state());
    let at = driven.replica.state().applied();
    driven.replica.propose(0, tiered(0, 1), &mut driven.out).unwrap();
    driven.finish_writes(usize::MAX);
    assert!(
        driven.replica.state().tiered_lsn() > at,
        "the live state has no use for it"
    );
    let up_to = snapshots.releasable(at);
    assert!(up_to < at, "a restart from the snapshot at {at} reads the record");
    snapshots.took(driven.replica.state());
    assert_eq!(snapshots.releasable(at), up_to);
    assert!(snapshots.releasable(at.next()) > at);
}
