//! States and inputs, and exactly what comes out.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use millstream_model::entry::EntryKind;
use millstream_model::{
    Epoch, GroupId, JournalId, KeyId, Lsn, PartitionId, Registration, TenantId, TimestampMs,
};
use millstream_replication::{
    Acknowledge, Append, AppendBody, AppendRefusal, Assignment, EntryId, Input, Machine, Member, Message,
    Output, Recovered, Refuse, Settings, WriteNumber,
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
