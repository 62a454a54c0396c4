//! The composition, driven by hand: what waits for what.

mod newer;
mod rounds;

use super::*;
use crate::replica::output::{Appended, Lost};
use millstream_journal::Record;
use millstream_kafka_wire::batch::{BatchBuilder, BatchView, NewRecord, Producer};
use millstream_model::entry::EntryKind;
use millstream_model::segment::{ObjectOwner, ObjectRef, SegmentRef};
use millstream_model::{
    Epoch, JournalId, KeyId, Offset, OwnerEpoch, PartitionId, PartitionIndex, ProducerEpoch, ProducerId,
    Registration, TenantId, TimestampMs, TopicId,
};
use millstream_partition::{AppendError, Decision, FlushSettings, Opened};
use millstream_replication::{AppendRefusal, Assignment, HaltReason, Member, Settings as LogSettings};

const GROUP: GroupId = GroupId(3);
const TENANT: TenantId = TenantId(1);

type Who = u64;

const TIERING: TieringSettings = TieringSettings {
    flush: FlushSettings {
        bytes: 1 << 20,
        age_ms: 60_000,
        object_bytes_max: 1 << 20,
    },
    snapshot_bytes: 1 << 20,
    snapshot_entries: 1_000,
    snapshot_interval_ms: 60_000,
};

fn me() -> Member {
    Member {
        journal: JournalId::from_bytes([1; 16]),
        registration: Registration(1),
    }
}

fn partition() -> PartitionId {
    PartitionId {
        topic: TopicId::from_bytes([2; 16]),
        index: PartitionIndex(0),
    }
}

/// A replica with what it put out, and the writes that the journal has not finished.
struct Driven {
    replica: Replica<Who>,
    out: Vec<Output<Who>>,
    journal: Vec<(Receipt, Vec<Record>)>,
    written: Vec<Record>,
}

impl Driven {
    fn new(recovery: Recovery, planted: Planted) -> Driven {
        let replication = LogSettings::new(GROUP, me().journal, me().registration);
        let mut out = Vec::new();
        let settings = Settings {
            replication,
            // So that records are handed over one by one.
            commit_bytes_max: 4,
            tiering: TIERING,
            planted,
        };
        let replica = Replica::new(settings, recovery, &mut out);
        Driven {
            replica,
            out,
            journal: Vec::new(),
            written: Vec::new(),
        }
    }

    fn fresh() -> Driven {
        Driven::new(
            Recovery::new(GroupState::new(GROUP), false).finish().unwrap(),
            Planted::default(),
        )
    }

    fn leader() -> Driven {
        let mut driven = Driven::fresh();
        driven.lead(1);
        driven.open();
        driven.finish_writes(usize::MAX);
        driven.answers();
        driven
    }

    fn lead(&mut self, epoch: u32) {
        let assignment = Assignment {
            epoch: Epoch(epoch),
            version: u64::from(epoch),
            leader: Some(me()),
            members: vec![me()],
            isr: vec![me().journal],
            minimum: 1,
        };
        self.replica.step(
            0,
            Input::Assign {
                assignment,
                time: TimestampMs(1),
            },
            &mut self.out,
        );
    }

    fn open(&mut self) {
        let propose = Propose {
            partition: partition(),
            tenant: TENANT,
            key: KeyId::NONE,
            change: Change::Opened(Opened {
                base_epoch: 0,
                log_start: Offset(0),
            }),
            time: TimestampMs(1),
            ticket: 1000,
        };
        self.replica.propose(0, propose, &mut self.out).unwrap();
    }

    fn append(&mut self, acks: Acks, sequence: i32, ticket: Who) -> Result<Decision, AppendRefused> {
        let producer = Producer {
            id: ProducerId(9),
            epoch: ProducerEpoch(0),
            base_sequence: sequence,
        };
        let mut builder = BatchBuilder::new().producer(producer);
        builder
            .push(NewRecord {
                timestamp: TimestampMs(5),
                key: None,
                value: Some(b"v"),
                headers: &[],
            })
            .unwrap();
        let append = Append {
            partition: partition(),
            tenant: TENANT,
            key: KeyId::NONE,
            owner_epoch: OwnerEpoch(0),
            batch: BatchView::read(builder.build().unwrap()).unwrap(),
            time: TimestampMs(2),
            acks,
            in_sync_min: 1,
            ticket,
        };
        self.replica.append(0, append, &mut self.out)
    }

    /// Moves what was put out to where it belongs; returns who was answered.
    fn answers(&mut self) -> Vec<(Who, Result<Offset, Lost>)> {
        let mut answers = Vec::new();
        for output in self.out.drain(..) {
            if let Output::Acknowledge { ticket, answer } = output {
                answers.push((ticket, answer.map(|Appended { base_offset, .. }| base_offset)));
            }
        }
        while let Some((append, receipt)) = self.replica.submit() {
            let records = append.records.iter().map(|framed| framed.record().clone());
            self.journal.push((receipt, records.collect()));
        }
        answers
    }

    /// The journal finishes its next writes, one by one.
    fn finish_writes(&mut self, count: usize) -> Vec<(Who, Result<Offset, Lost>)> {
        let mut answers = self.answers();
        for _ in 0..count {
            if self.journal.is_empty() {
                break;
            }
            let (receipt, records) = self.journal.remove(0);
            self.written.extend(records);
            let _ = self.replica.written(0, receipt, Ok(()), &mut self.out);
            answers.extend(self.answers());
        }
        answers
    }

    fn end(&self) -> Offset {
        self.replica
            .state()
            .partition(&partition())
            .unwrap()
            .next_offset()
    }
}

#[test]
fn nobody_is_answered_before_the_disk_has_it() {
    let mut driven = Driven::leader();
    for (sequence, acks) in [(0, Acks::All), (1, Acks::Leader), (2, Acks::None), (3, Acks::All)] {
        driven.append(acks, sequence, sequence as u64).unwrap();
    }
    assert_eq!(driven.answers(), vec![]);
    assert_eq!(
        driven.end(),
        Offset(0),
        "nothing is applied before it is committed"
    );
    assert_eq!(driven.finish_writes(1), vec![(0, Ok(Offset(0)))]);
    assert_eq!(driven.finish_writes(2), vec![(1, Ok(Offset(1)))]);
    assert_eq!(driven.finish_writes(1), vec![(3, Ok(Offset(3)))]);
    assert_eq!(driven.end(), Offset(4));
}

#[test]
fn a_repeat_is_answered_with_the_first_and_not_before_it() {
    let mut driven = Driven::leader();
    driven.append(Acks::All, 0, 1).unwrap();
    driven.append(Acks::All, 1, 2).unwrap();
    assert!(matches!(
        driven.append(Acks::All, 0, 3),
        Ok(Decision::Repeat { .. })
    ));
    assert_eq!(driven.answers(), vec![]);
    assert_eq!(
        driven.finish_writes(1),
        vec![(1, Ok(Offset(0))), (3, Ok(Offset(0)))]
    );
    assert_eq!(driven.finish_writes(1), vec![(2, Ok(Offset(1)))]);
    driven.append(Acks::All, 1, 4).unwrap();
    assert_eq!(
        driven.answers(),
        vec![(4, Ok(Offset(1)))],
        "of a committed one: at once"
    );
    assert_eq!(
        driven.written.len(),
        4,
        "the epoch's start, the opening and two batches"
    );
}

#[test]
fn an_ended_leadership_leaves_nobody_waiting_and_no_overlay() {
    let mut driven = Driven::leader();
    driven.append(Acks::All, 0, 1).unwrap();
    driven.append(Acks::Leader, 1, 2).unwrap();
    driven.answers();
    driven.replica.step(0, Input::Damaged, &mut driven.out);
    assert_eq!(
        driven.answers(),
        vec![(1, Err(Lost::Undecided)), (2, Err(Lost::Undecided))]
    );
    assert_eq!(
        driven.append(Acks::All, 2, 3),
        Err(AppendRefused::Log(AppendRefusal::Halted))
    );
}

#[test]
fn a_restart_finds_what_the_journal_has_and_decides_on_top_of_it() {
    let mut driven = Driven::leader();
    for sequence in 0..3 {
        driven.append(Acks::All, sequence, 0).unwrap();
    }
    driven.finish_writes(2);
    let snapshot = driven.replica.state().clone();
    driven.finish_writes(1);
    let whole = driven.replica.state().encode_snapshot();
    for from in [GroupState::new(GROUP), snapshot] {
        let mut recovery = Recovery::new(from, false);
        for record in &driven.written {
            recovery.record(record.clone()).unwrap();
        }
        let mut again = Driven::new(recovery.finish().unwrap(), Planted::default());
        assert_eq!(
            again.append(Acks::All, 3, 0),
            Err(AppendRefused::Log(AppendRefusal::NotLeader))
        );
        again.lead(2);
        // Before its epoch has committed anything, it knows what its log holds.
        let next = again.append(Acks::All, 3, 7).unwrap();
        assert!(
            matches!(
                next,
                Decision::Append {
                    base_offset: Offset(3),
                    ..
                }
            ),
            "{next:?}"
        );
        assert!(matches!(
            again.append(Acks::All, 1, 8),
            Ok(Decision::Repeat {
                base_offset: Offset(1),
                ..
            })
        ));
        let gap = again.append(Acks::All, 9, 9);
        assert!(
            matches!(gap, Err(AppendRefused::Partition(AppendError::Sequence(_)))),
            "{gap:?}"
        );
        let mut answers = again.finish_writes(usize::MAX);
        answers.sort_unstable_by_key(|(who, _)| *who);
        assert_eq!(answers, vec![(7, Ok(Offset(3))), (8, Ok(Offset(1)))]);
        assert_eq!(again.end(), Offset(4));
        assert!(again.replica.state().encode_snapshot() != whole, "it went on");
    }
}

#[test]
fn a_journal_that_leaves_entries_out_is_not_served() {
    let mut driven = Driven::leader();
    for sequence in 0..3 {
        driven.append(Acks::All, sequence, 0).unwrap();
    }
    driven.finish_writes(usize::MAX);
    let mut recovery = Recovery::new(GroupState::new(GROUP), false);
    recovery.record(driven.written[0].clone()).unwrap();
    assert!(matches!(
        recovery.record(driven.written[2].clone()),
        Err(RecoveryError::Gap(_))
    ));
    let mut late = Recovery::new(GroupState::new(GROUP), false);
    late.record(driven.written[3].clone()).unwrap();
    assert!(
        matches!(late.finish(), Err(RecoveryError::Gap(_))),
        "the beginning is missing, and no snapshot has it"
    );
}

#[test]
fn the_planted_bug_acknowledges_what_is_on_no_disk() {
    let recovery = Recovery::new(GroupState::new(GROUP), false).finish().unwrap();
    let mut driven = Driven::new(
        recovery,
        Planted {
            apply_before_commit: true,
            ..Planted::default()
        },
    );
    driven.lead(1);
    driven.open();
    driven.append(Acks::All, 0, 1).unwrap();
    let answers = driven.answers();
    assert!(answers.contains(&(1, Ok(Offset(0)))), "{answers:?}");
    let is_batch =
        |record: &Record| matches!(record, Record::Entry(it) if it.header.kind == EntryKind::Append);
    let mut waiting = driven.journal.iter().flat_map(|(_, records)| records);
    assert!(waiting.any(is_batch));
}

fn tiered(base_offset: i64, end_offset: i64) -> Propose<Who> {
    let object = ObjectRef {
        owner: ObjectOwner::Shared(GROUP),
        group: GROUP,
        epoch: Epoch(1),
        number: 1,
    };
    let segment = SegmentRef {
        object,
        position: 0,
        length: 100,
        checksum: 0,
        base_offset: Offset(base_offset),
        end_offset: Offset(end_offset),
        timestamp_max: TimestampMs(5),
    };
    Propose {
        partition: partition(),
        tenant: TENANT,
        key: KeyId::NONE,
        change: Change::Tiered(vec![segment]),
        time: TimestampMs(3),
        ticket: 2000,
    }
}

/// The journal's records as a restart would read them, and then what `more` adds.
fn recovered(
    snapshot: GroupState,
    records: &[Record],
    more: Option<Record>,
) -> Result<Recovery, RecoveryError> {
    let mut recovery = Recovery::new(snapshot, false);
    for record in records.iter().cloned().chain(more) {
        recovery.record(record)?;
    }
    recovery.finish()
}

fn entry_after(last: &Record, epoch: u32, lsn: u64, payload: &'static [u8]) -> Record {
    let Record::Entry(last) = last else {
        unreachable!("an entry")
    };
    Record::Entry(Entry {
        header: EntryHeader {
            kind: EntryKind::Trim,
            epoch: Epoch(epoch),
            previous_epoch: last.header.epoch,
            lsn: Lsn(lsn),
            partition: partition(),
            tenant: TENANT,
            ..last.header
        },
        payload: Bytes::from_static(payload),
    })
}

/// log.md 22, 41: an older release does not put a partition aside that a newer one goes on with. It stops.
#[test]
fn an_entry_of_a_newer_release_stops_the_replica() {
    let mut driven = Driven::leader();
    driven.append(Acks::All, 0, 1).unwrap();
    driven.finish_writes(usize::MAX);
    let newer = entry_after(driven.written.last().unwrap(), 1, 4, &[9, 1, 2, 3]);
    let mut recovery = recovered(GroupState::new(GROUP), &driven.written, Some(newer)).unwrap();
    recovery.commit_all();
    let mut again = Driven::new(recovery, Planted::default());
    let halted = |output: &Output<Who>| {
        matches!(
            output,
            Output::Halt(HaltReason::NewerRelease {
                lsn: Lsn(4),
                version: 9
            })
        )
    };
    assert_eq!(again.out.iter().filter(|output| halted(output)).count(), 1);
    assert!(again.replica.is_halted());
    again.replica.settle_alone(&mut again.out);
    let state = again.replica.state();
    assert_eq!(state.applied(), Lsn(3));
    assert_eq!(state.partition(&partition()).unwrap().quarantine(), None);
}

/// The snapshot of a peer was kept, and the process ended before the journal was told: what the journal has behind the
/// snapshot was written by a leader whose log did not become the group's.
#[test]
fn what_a_snapshot_has_left_behind_is_never_applied() {
    let mut driven = Driven::leader();
    for sequence in 0..4 {
        driven.append(Acks::All, sequence, 0).unwrap();
    }
    driven.finish_writes(2);
    let mut group = driven.replica.state().clone();
    driven.finish_writes(usize::MAX);
    // Another leader's log: its entry 5 is not the one here.
    let Record::Entry(other) = entry_after(&driven.written[3], 2, 5, &[1, 0, 0, 0, 0, 0, 0, 0, 0]) else {
        unreachable!("an entry")
    };
    group.apply(&other);
    let recovery = recovered(group, &driven.written, None).unwrap();
    assert_eq!(
        (recovery.end(), recovery.tail_entries()),
        (EntryId::of(&other.header), 0)
    );
    let mut again = Driven::new(recovery, Planted::default());
    again.lead(3);
    again.answers();
    let base = EntryId::of(&other.header);
    let orders = again.journal.iter().flat_map(|(_, records)| records);
    let orders: Vec<&str> = orders
        .map(|record| match record {
            Record::Truncate { lsn: Lsn(0), .. } => "cut",
            Record::Released { epoch, lsn, .. } if (*epoch, *lsn) == (base.epoch, base.lsn) => "reset",
            Record::Entry(entry) if entry.header.lsn == Lsn(6) => "write",
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(orders, ["cut", "reset", "write"]);
}

/// A snapshot that was asked for as a follower arrives when this replica leads: it has all that the snapshot has.
#[test]
fn a_leader_installs_no_snapshot() {
    let mut driven = Driven::leader();
    driven.append(Acks::All, 0, 1).unwrap();
    let mut ahead = driven.replica.state().clone();
    driven.answers();
    let [(_, records)] = &driven.journal[..] else {
        panic!("one write")
    };
    let [Record::Entry(entry)] = &records[..] else {
        panic!("the batch is written")
    };
    ahead.apply(entry);
    driven.replica.install(0, ahead, &mut driven.out);
    assert_eq!(
        driven.end(),
        Offset(0),
        "what it has not committed it has not applied"
    );
    assert_eq!(driven.finish_writes(usize::MAX), vec![(1, Ok(Offset(0)))]);
    assert_eq!(driven.end(), Offset(1));
}
