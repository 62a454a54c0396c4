//! States and inputs, and exactly what comes out.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use millstream_model::entry::{Entry, EntryHeader, EntryKind};
use millstream_model::{
    Epoch, GroupId, JournalId, KeyId, Lsn, PartitionId, Registration, TenantId, TimestampMs,
};
use millstream_replication::{
    Acknowledge, Append, AppendBody, AppendRefusal, Assignment, EntryId, HaltReason, Input, Machine, Member,
    Message, Output, Recovered, Refuse, Settings, WriteNumber,
};

fn member(number: u8) -> Member {
    Member {
        journal: JournalId::from_bytes([number; 16]),
        registration: Registration(1),
    }
}

fn machine() -> Machine {
    let me = member(1);
    Machine::new(
        Settings::new(GroupId(1), me.journal, me.registration),
        Recovered::default(),
    )
}

fn assign(members: &[Member], leader: Member, minimum: usize) -> Input {
    let assignment = Assignment {
        epoch: Epoch(1),
        version: 1,
        leader: Some(leader),
        members: members.to_vec(),
        isr: members.iter().map(|member| member.journal).collect(),
        minimum,
    };
    Input::Assign {
        assignment,
        time: TimestampMs(5),
    }
}

fn body() -> AppendBody {
    AppendBody {
        kind: EntryKind::Append,
        time: TimestampMs(6),
        partition: PartitionId::NONE,
        tenant: TenantId(3),
        key: KeyId::NONE,
        payload: Bytes::from_static(b"x"),
    }
}

fn step(machine: &mut Machine, now_ms: u64, input: Input) -> Vec<Output> {
    let mut out = Vec::new();
    machine.step(now_ms, input, &mut out);
    out
}

#[test]
fn a_single_replica_commits_what_is_durable() {
    let mut machine = machine();
    let out = step(&mut machine, 0, assign(&[member(1)], member(1), 1));
    assert!(
        matches!(&out[..], [Output::Lead { epoch: Epoch(1) }, Output::Persist { write: WriteNumber(1), entry }]
        if entry.header.kind == EntryKind::EpochStart && entry.header.lsn == Lsn(1))
    );
    let out = step(&mut machine, 0, Input::Append(body()));
    assert!(matches!(
        &out[..],
        [Output::Persist {
            write: WriteNumber(2),
            ..
        }]
    ));
    assert_eq!(
        step(&mut machine, 1, Input::Durable(WriteNumber(2))),
        [Output::Committed { up_to: Lsn(2) }]
    );
    assert_eq!(step(&mut machine, 1, Input::Durable(WriteNumber(2))), []);
}

#[test]
fn an_earlier_incarnation_does_not_lead() {
    let mut machine = machine();
    let old = Member {
        registration: Registration(0),
        ..member(1)
    };
    assert_eq!(step(&mut machine, 0, assign(&[member(1)], old, 1)), []);
    let refused = Output::Refused(AppendRefusal::NotLeader);
    assert_eq!(step(&mut machine, 0, Input::Append(body())), [refused]);
}

#[test]
fn too_few_live_members_refuse_at_once() {
    let mut machine = machine();
    step(
        &mut machine,
        0,
        assign(&[member(1), member(2), member(3)], member(1), 2),
    );
    let refused = Output::Refused(AppendRefusal::NotEnoughReplicas { live: 1, minimum: 2 });
    assert_eq!(step(&mut machine, 60_000, Input::Append(body())), [refused]);
}

/// A message of an earlier epoch arrives late at a follower that has restarted since: what it refuses is long behind what
/// it has acknowledged, and says nothing of its disk.
#[test]
fn a_refusal_of_an_earlier_epochs_message_damages_nobody() {
    let mut leader = machine();
    let members = [member(1), member(2)];
    let Input::Assign { mut assignment, time } = assign(&members, member(1), 2) else {
        unreachable!("an assignment")
    };
    assignment.epoch = Epoch(2);
    step(&mut leader, 0, Input::Assign { assignment, time });
    step(&mut leader, 0, Input::Append(body()));
    step(&mut leader, 1, Input::Durable(WriteNumber(2)));
    let from = member(2).journal;
    let mut tell = |message| step(&mut leader, 2, Input::Message { from, message });
    let acknowledge = Acknowledge {
        epoch: Epoch(2),
        registration: Registration(1),
        durable: Lsn(2),
        window_bytes: 1000,
    };
    assert_eq!(
        tell(Message::Acknowledge(acknowledge)),
        [Output::Committed { up_to: Lsn(2) }]
    );
    let refuse = Refuse {
        epoch: Epoch(2),
        registration: Registration(2),
        refused: Epoch(1),
        number: 7,
        has: EntryId {
            epoch: Epoch(1),
            lsn: Lsn(1),
        },
    };
    assert_eq!(tell(Message::Refuse(refuse)), []);
    // Of this epoch's it would: the second incarnation has less than the first one acknowledged.
    let refused = tell(Message::Refuse(Refuse {
        refused: Epoch(2),
        ..refuse
    }));
    let damaged = Member {
        registration: Registration(2),
        ..member(2)
    };
    assert!(refused.contains(&Output::MemberDamaged(damaged)), "{refused:?}");
}

#[test]
fn a_refusal_names_the_epoch_that_it_refuses() {
    let mut follower = machine();
    let mut assignment = assign(&[member(1), member(2)], member(2), 1);
    if let Input::Assign { assignment, .. } = &mut assignment {
        assignment.epoch = Epoch(3);
    }
    step(&mut follower, 0, assignment);
    let late = Append {
        epoch: Epoch(2),
        number: 9,
        previous: EntryId::ZERO,
        entries: Vec::new(),
        high_watermark: Lsn::ZERO,
    };
    let from = member(2).journal;
    let out = step(
        &mut follower,
        1,
        Input::Message {
            from,
            message: Message::Append(late),
        },
    );
    let refuse = Refuse {
        epoch: Epoch(3),
        registration: Registration(1),
        refused: Epoch(2),
        number: 9,
        has: EntryId::ZERO,
    };
    let message = Message::Refuse(refuse);
    assert_eq!(out, [Output::Send { to: from, message }]);
}

/// Two members follow machine 1, which leads epoch 1; its first entry is on its disk.
fn leader_of_three() -> Machine {
    let mut machine = machine();
    let members = [member(1), member(2), member(3)];
    step(&mut machine, 0, assign(&members, member(1), 2));
    assert_eq!(step(&mut machine, 0, Input::Durable(WriteNumber(1))), []);
    machine
}

fn acknowledge(registration: u64, durable: u64) -> Message {
    Message::Acknowledge(Acknowledge {
        epoch: Epoch(1),
        registration: Registration(registration),
        durable: Lsn(durable),
        window_bytes: 1000,
    })
}

fn said(number: u8, message: Message) -> Input {
    Input::Message {
        from: member(number).journal,
        message,
    }
}

fn row(version: u64, isr: &[u8]) -> Input {
    let assignment = Assignment {
        epoch: Epoch(1),
        version,
        leader: Some(member(1)),
        members: vec![member(1), member(2), member(3)],
        isr: isr.iter().map(|number| member(*number).journal).collect(),
        minimum: 2,
    };
    Input::Assign {
        assignment,
        time: TimestampMs(5),
    }
}

fn committed(out: &[Output]) -> Vec<Lsn> {
    let up_to = |output: &Output| match output {
        Output::Committed { up_to } => Some(*up_to),
        _ => None,
    };
    out.iter().filter_map(up_to).collect()
}

fn proposals(out: &[Output]) -> Vec<(u64, Vec<JournalId>)> {
    let proposal = |output: &Output| match output {
        Output::ProposeIsr(proposal) => {
            let isr = proposal.isr.iter().map(|member| member.journal).collect();
            Some((proposal.base_version, isr))
        }
        _ => None,
    };
    out.iter().filter_map(proposal).collect()
}

/// log.md 16: the lowest durable LSN over the committed and any proposed in-sync replicas. A removal counts once the
/// controller has committed it.
#[test]
fn a_removal_counts_when_it_is_committed() {
    let mut leader = leader_of_three();
    assert_eq!(committed(&step(&mut leader, 1, said(2, acknowledge(1, 1)))), []);
    // The third is silent for a session.
    let out = step(&mut leader, 9_001, said(2, acknowledge(1, 1)));
    assert_eq!(committed(&out), []);
    let out = step(&mut leader, 9_002, Input::Tick);
    let smaller = vec![member(1).journal, member(2).journal];
    assert_eq!(proposals(&out), [(1, smaller.clone())]);
    assert_eq!(
        committed(&step(&mut leader, 9_003, said(2, acknowledge(1, 1)))),
        []
    );
    // It is repeated as it was, for it may have been lost; only a row settles it.
    let out = step(&mut leader, 10_002, Input::Tick);
    assert_eq!((proposals(&out), committed(&out)), (vec![(1, smaller)], vec![]));
    assert_eq!(committed(&step(&mut leader, 10_003, row(2, &[1, 2]))), [Lsn(1)]);
}

/// log.md 16, the other half: an addition counts from the moment it is proposed, and as long as it may be taken.
#[test]
fn an_addition_counts_when_it_is_proposed() {
    let mut leader = machine();
    let mut first = row(1, &[1, 2]);
    if let Input::Assign { assignment, .. } = &mut first {
        assignment.members.truncate(3);
    }
    step(&mut leader, 0, first);
    step(&mut leader, 0, Input::Durable(WriteNumber(1)));
    assert_eq!(
        committed(&step(&mut leader, 1, said(2, acknowledge(1, 1)))),
        [Lsn(1)]
    );
    let all = vec![member(1).journal, member(2).journal, member(3).journal];
    let out = step(&mut leader, 2, said(3, acknowledge(1, 1)));
    assert_eq!(proposals(&out), [(1, all)]);
    step(&mut leader, 3, Input::Append(body()));
    step(&mut leader, 3, Input::Durable(WriteNumber(2)));
    assert_eq!(committed(&step(&mut leader, 4, said(2, acknowledge(1, 2)))), []);
    // The controller's version has moved: an earlier copy may be what moved it, so it still counts.
    let refused = |version| Input::ProposalRefused {
        base_version: 1,
        version,
    };
    step(&mut leader, 5, refused(2));
    assert_eq!(committed(&step(&mut leader, 6, said(2, acknowledge(1, 2)))), []);
    // It has not: it never will be taken.
    step(&mut leader, 7, refused(1));
    assert_eq!(
        committed(&step(&mut leader, 8, said(2, acknowledge(1, 2)))),
        [Lsn(2)]
    );
}

/// log.md 17: with fewer in-sync replicas than the class demands nothing commits, and the leader proposes no such set.
#[test]
fn the_isr_does_not_shrink_below_the_minimum() {
    let mut leader = machine();
    step(&mut leader, 0, row(1, &[1, 2]));
    step(&mut leader, 0, Input::Durable(WriteNumber(1)));
    let out = step(&mut leader, 60_000, Input::Tick);
    assert_eq!((proposals(&out), committed(&out)), (vec![], vec![]));
    let mut alone = machine();
    step(&mut alone, 0, row(1, &[1]));
    assert_eq!(
        committed(&step(&mut alone, 0, Input::Durable(WriteNumber(1)))),
        []
    );
}

/// log.md 14: what an earlier incarnation says counts no more once a later one is known.
#[test]
fn an_earlier_incarnation_is_not_heard() {
    let mut leader = leader_of_three();
    step(&mut leader, 1, said(2, acknowledge(1, 1)));
    step(&mut leader, 1, said(3, acknowledge(2, 0)));
    assert_eq!(committed(&step(&mut leader, 2, said(3, acknowledge(1, 1)))), []);
    assert_eq!(
        committed(&step(&mut leader, 3, said(3, acknowledge(2, 1)))),
        [Lsn(1)]
    );
}

/// log.md 19: a leader whose disk stands still while a member is ahead asks for another leader, again and again, for
/// the controller may not have heard it; and takes nothing meanwhile.
#[test]
fn a_stalled_leader_resigns_until_it_is_heard() {
    let mut leader = machine();
    step(
        &mut leader,
        0,
        assign(&[member(1), member(2), member(3)], member(1), 2),
    );
    let resign = Output::Resign { epoch: Epoch(1) };
    step(&mut leader, 9_000, said(2, acknowledge(1, 1)));
    assert!(!step(&mut leader, 9_000, Input::Tick).contains(&resign));
    assert!(step(&mut leader, 9_001, Input::Tick).contains(&resign));
    let refused = Output::Refused(AppendRefusal::NotLeader);
    assert_eq!(step(&mut leader, 9_002, Input::Append(body())), [refused]);
    assert!(!step(&mut leader, 9_500, Input::Tick).contains(&resign));
    assert!(step(&mut leader, 10_001, Input::Tick).contains(&resign));
    step(&mut leader, 10_002, Input::Durable(WriteNumber(1)));
    assert!(!step(&mut leader, 11_002, Input::Tick).contains(&resign));
}

/// An entry of `epoch` at `lsn`, after one of `previous_epoch`.
fn entry(previous_epoch: u32, epoch: u32, lsn: u64) -> Entry {
    let header = EntryHeader {
        kind: EntryKind::Append,
        group: GroupId(1),
        epoch: Epoch(epoch),
        previous_epoch: Epoch(previous_epoch),
        lsn: Lsn(lsn),
        time: TimestampMs(6),
        partition: PartitionId::NONE,
        tenant: TenantId(3),
        key: KeyId::NONE,
    };
    Entry {
        header,
        payload: Bytes::new(),
    }
}

fn id(epoch: u32, lsn: u64) -> EntryId {
    EntryId {
        epoch: Epoch(epoch),
        lsn: Lsn(lsn),
    }
}

fn append(epoch: u32, previous: EntryId, entries: &[Entry], high_watermark: u64) -> Input {
    said(
        2,
        Message::Append(Append {
            epoch: Epoch(epoch),
            number: 1,
            previous,
            entries: entries.to_vec(),
            high_watermark: Lsn(high_watermark),
        }),
    )
}

/// A follower that found entries of epoch 1 up to `last` on its disk, `mark` of them known to be committed.
fn follower(last: u64, mark: u64) -> Machine {
    let mut recovered = Recovered::default();
    for lsn in 1..=last {
        let header = entry(u32::from(lsn > 1), 1, lsn).header;
        recovered.push(&header).unwrap();
    }
    recovered.mark(Lsn(mark));
    let me = member(1);
    Machine::new(Settings::new(GroupId(1), me.journal, me.registration), recovered)
}

/// log.md 8, 15: what contradicts the leader is cut, but never what is committed.
#[test]
fn a_cut_below_the_high_watermark_is_a_halt() {
    let other = [entry(1, 2, 3)];
    let mut cut = follower(4, 2);
    let out = step(&mut cut, 0, append(2, id(1, 2), &other, 2));
    let expected = [
        Output::Truncate {
            write: WriteNumber(1),
            epoch: Epoch(2),
            to: Lsn(2),
        },
        Output::Persist {
            write: WriteNumber(2),
            entry: other[0].clone(),
        },
    ];
    assert_eq!(out[..2], expected);
    // What was written before the cut is nothing that counts.
    assert_eq!(committed(&step(&mut cut, 1, append(2, id(2, 3), &[], 3))), []);
    assert_eq!(
        committed(&step(&mut cut, 2, Input::Durable(WriteNumber(2)))),
        [Lsn(3)]
    );

    let mut halted = follower(4, 3);
    let out = step(&mut halted, 0, append(2, id(1, 2), &other, 2));
    let halt = Output::Halt(HaltReason::TruncateBelowHighWatermark {
        epoch: Epoch(2),
        to: Lsn(2),
        high_watermark: Lsn(3),
    });
    assert_eq!(out, [halt]);
    assert_eq!(step(&mut halted, 1, append(2, id(1, 2), &other, 2)), []);
}

/// log.md 15: it must be exactly the entry before.
#[test]
fn a_follower_refuses_what_does_not_follow_and_says_what_it_has() {
    for (previous, has) in [
        (id(2, 4), Some(id(1, 4))), // Another epoch's.
        (id(1, 6), Some(id(1, 4))), // One that it lacks.
        (id(1, 3), None),
    ] {
        let mut follower = follower(4, 2);
        let out = step(&mut follower, 0, append(2, previous, &[], 2));
        let refused = out.iter().find_map(|output| match output {
            Output::Send {
                message: Message::Refuse(refuse),
                ..
            } => Some(refuse.has),
            _ => None,
        });
        assert_eq!(refused, has, "{previous:?}");
    }
}

/// A follower acknowledges what agrees with its leader's log, not what else it has on its disk.
#[test]
fn what_was_not_compared_is_not_acknowledged() {
    let mut follower = follower(4, 2);
    for (previous, durable) in [(id(1, 1), 2), (id(1, 3), 3), (id(1, 4), 4)] {
        let out = step(&mut follower, 0, append(2, previous, &[], 2));
        assert!(
            matches!(&out[..], [Output::Send { message: Message::Acknowledge(said), .. }] if said.durable == Lsn(durable)),
            "{out:?}"
        );
    }
}

/// A snapshot takes the place of a log that another epoch wrote: however long that is, nothing of it is left behind it.
#[test]
fn a_snapshot_in_the_place_of_a_longer_log_cuts_it_first() {
    let reset = |write, base| Output::Reset {
        write: WriteNumber(write),
        base,
    };
    let cut = |write, to| Output::Truncate {
        write: WriteNumber(write),
        epoch: Epoch(2),
        to: Lsn(to),
    };
    let persist = |write, entry: &Entry| Output::Persist {
        write: WriteNumber(write),
        entry: entry.clone(),
    };
    let next = entry(2, 2, 7);
    for (last, longer) in [(9, true), (6, true), (5, false)] {
        let mut follower = follower(last, 2);
        step(&mut follower, 0, append(2, id(1, 2), &[], 2));
        let out = step(&mut follower, 1, Input::Installed { base: id(2, 6) });
        let expected = match longer {
            true => vec![cut(1, 2), reset(2, id(2, 6))],
            false => vec![reset(1, id(2, 6))],
        };
        assert_eq!(out[..expected.len()], expected[..], "up to {last}");
        assert_eq!(committed(&out), [Lsn(6)]);
        let out = step(
            &mut follower,
            2,
            append(2, id(2, 6), std::slice::from_ref(&next), 6),
        );
        assert_eq!(out[0], persist(2 + u64::from(longer), &next));
    }
}

/// The snapshot was on disk, what follows it in the journal was not, when the process ended.
#[test]
fn a_log_that_its_snapshot_has_left_behind_is_cut_before_anything_is_written() {
    let headers = |last| (1..=last).map(|lsn| entry(u32::from(lsn > 1), 1, lsn).header);
    for last in [4, 9] {
        let mut recovered = Recovered::default();
        headers(last).for_each(|header| recovered.push(&header).unwrap());
        recovered.snapshot(id(2, 6)).unwrap();
        assert!(recovered.starts_anew());
        let me = member(1);
        let mut machine = Machine::new(Settings::new(GroupId(1), me.journal, me.registration), recovered);
        assert_eq!(machine.last(), id(2, 6));
        let next = entry(2, 3, 7);
        let out = step(
            &mut machine,
            0,
            append(3, id(2, 6), std::slice::from_ref(&next), 6),
        );
        let cut = Output::Truncate {
            write: WriteNumber(1),
            epoch: Epoch(3),
            to: Lsn(0),
        };
        let first = u64::from(last > 6);
        let reset = Output::Reset {
            write: WriteNumber(first + 1),
            base: id(2, 6),
        };
        let persist = Output::Persist {
            write: WriteNumber(first + 2),
            entry: next,
        };
        let expected: Vec<Output> = match last > 6 {
            true => vec![cut, reset, persist],
            false => vec![reset, persist],
        };
        assert_eq!(out, expected, "up to {last}");
    }
    let mut kept = Recovered::default();
    headers(6).for_each(|header| kept.push(&header).unwrap());
    kept.snapshot(id(1, 4)).unwrap();
    assert!(!kept.starts_anew());
}

/// A journal whose first file was recycled says where the log begins by what that file ended with. When that was cut off
/// since, none of it was committed: the log begins where the first entry behind the cut says.
#[test]
fn a_log_that_begins_behind_what_was_cut_has_committed_none_of_it() {
    let mut recovered = Recovered::default();
    let id = |epoch, lsn| EntryId {
        epoch: Epoch(epoch),
        lsn: Lsn(lsn),
    };
    recovered.reset(id(1, 5));
    recovered.truncate(Lsn(0));
    recovered.push(&entry(0, 2, 1).header).unwrap();
    recovered.push(&entry(2, 2, 2).header).unwrap();
    assert_eq!(recovered.log.last(), id(2, 2));
    assert_eq!(recovered.high_watermark, Lsn::ZERO);
    let me = member(1);
    let machine = Machine::new(Settings::new(GroupId(1), me.journal, me.registration), recovered);
    assert_eq!(machine.high_watermark(), Lsn::ZERO);
}
