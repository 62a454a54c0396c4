//! States and inputs, and exactly what comes out.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use millstream_model::entry::EntryKind;
use millstream_model::{
    Epoch, GroupId, JournalId, KeyId, Lsn, PartitionId, Registration, TenantId, TimestampMs,
};
use millstream_replication::{
    AppendBody, AppendRefusal, Assignment, Input, Machine, Member, Output, Recovered, Settings, WriteNumber,
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
