//! A coordinator with a clock and a log that commits when it is told to.

use bytes::Bytes;
use millstream_coordinator::{
    Answer, Applied, Client, Command, CommitOffsets, Coordinator, GroupError, GroupKey, Heartbeat, Join,
    Joined, Leave, Leaving, Ledger, Left, MemberRef, Now, OffsetToCommit, Output, Protocol, Record, Request,
    Settings, Sync, Synced, Ticket, Token,
};
use millstream_model::{Offset, PartitionId, PartitionIndex, TenantId, TimestampMs, TopicId};
use std::collections::BTreeMap;

/// The wall clock when the monotonic one is at zero.
pub const EPOCH_MS: i64 = 1_700_000_000_000;

pub struct World {
    pub coordinator: Coordinator,
    pub ms: u64,
    /// Every record that was committed, in order.
    pub log: Vec<Record>,
    /// Appends that wait, when `hold` is set.
    pub appends: Vec<(Ticket, Vec<Record>)>,
    pub hold: bool,
    pub answers: BTreeMap<u64, Answer>,
    next: u64,
}

pub fn settings() -> Settings {
    Settings {
        initial_rebalance_delay_ms: 3_000,
        ..Settings::default()
    }
}

pub fn key(tenant: u64, group: &str) -> GroupKey {
    GroupKey {
        tenant: TenantId(tenant),
        group: group.parse().unwrap(),
    }
}

pub fn partition(topic: u8, index: u32) -> PartitionId {
    PartitionId {
        topic: TopicId::from_bytes([topic; 16]),
        index: PartitionIndex(index),
    }
}

impl World {
    pub fn new() -> World {
        World::of(Coordinator::new(settings()))
    }

    pub fn of(coordinator: Coordinator) -> World {
        let mut world = World {
            coordinator,
            ms: 0,
            log: Vec::new(),
            appends: Vec::new(),
            hold: false,
            answers: BTreeMap::new(),
            next: 0,
        };
        world.coordinator.lead(world.now());
        world
    }

    pub fn now(&self) -> Now {
        Now {
            ms: self.ms,
            time: TimestampMs(EPOCH_MS + self.ms as i64),
        }
    }

    /// Sends a command to group `g` of tenant 1; returns its token.
    pub fn send(&mut self, command: Command) -> u64 {
        self.send_to(&key(1, "g"), command)
    }

    pub fn send_to(&mut self, key: &GroupKey, command: Command) -> u64 {
        self.next += 1;
        let mut out = Vec::new();
        self.coordinator
            .handle(self.now(), Token(self.next), key, command, &mut out);
        self.carry_out(out);
        self.next
    }

    pub fn carry_out(&mut self, out: Vec<Output<Answer>>) {
        for output in out {
            match output {
                Output::Answer { token, answer } => {
                    assert!(self.answers.insert(token.0, answer).is_none(), "answered twice");
                }
                Output::Append { ticket, records, .. } => {
                    assert!(!records.is_empty());
                    self.appends.push((ticket, records));
                }
            }
        }
        while !self.hold && !self.appends.is_empty() {
            self.commit_one();
        }
    }

    pub fn commit_one(&mut self) {
        let (ticket, records) = self.appends.remove(0);
        for record in records {
            let applied = self.coordinator.apply(&record.key, record.value.as_ref());
            assert_eq!(applied, Applied::Done);
            self.log.push(record);
        }
        let mut out = Vec::new();
        self.coordinator.committed(self.now(), ticket, &mut out);
        self.carry_out(out);
    }

    pub fn fail_one(&mut self) {
        let (ticket, _) = self.appends.remove(0);
        let mut out = Vec::new();
        self.coordinator.failed(self.now(), ticket, &mut out);
        self.carry_out(out);
    }

    /// Lets time pass, stopping at every deadline on the way.
    pub fn pass(&mut self, ms: u64) {
        let until = self.ms + ms;
        while let Some(due) = self.coordinator.next_deadline().filter(|due| *due <= until) {
            self.ms = self.ms.max(due);
            self.expire();
        }
        self.ms = until;
        self.expire();
    }

    pub fn expire(&mut self) {
        let mut out = Vec::new();
        self.coordinator.expire(self.now(), &mut out);
        self.carry_out(out);
    }

    pub fn is_waiting(&self, token: u64) -> bool {
        !self.answers.contains_key(&token)
    }

    /// What a request of this kind was answered by.
    pub fn answer<R: Request>(&self, token: u64) -> Result<R::Reply, GroupError> {
        let answer = self.answers.get(&token).expect("the request was answered");
        answer.clone().map(R::reply_of)
    }

    pub fn joined(&self, token: u64) -> Result<Joined, GroupError> {
        self.answer::<Join>(token)
    }

    pub fn synced(&self, token: u64) -> Result<Synced, GroupError> {
        self.answer::<Sync>(token)
    }

    pub fn heartbeat(&mut self, member_id: &str, generation: i32) -> Result<(), GroupError> {
        let member = member(member_id);
        let token = self.send(Command::Heartbeat(Heartbeat { member, generation }));
        self.answer::<Heartbeat>(token)
    }

    pub fn leave(&mut self, members: Vec<MemberRef>) -> Result<Vec<Left>, GroupError> {
        let members = members.into_iter().map(|member| Leaving { member }).collect();
        let token = self.send(Command::Leave(Leave { members }));
        self.answer::<Leave>(token)
    }

    pub fn commit(&mut self, member_id: &str, generation: i32, offsets: &[(PartitionId, i64)]) -> u64 {
        self.send(Command::CommitOffsets(commit(member_id, generation, offsets)))
    }

    /// A stable group of so many members, the leader first; returns their ids and the generation.
    pub fn stable(&mut self, members: usize) -> (Vec<String>, i32) {
        let tokens: Vec<u64> = (0..members)
            .map(|nonce| self.send(join_new(nonce as u128)))
            .collect();
        self.pass(10_000);
        let joined: Vec<Joined> = tokens.iter().map(|token| self.joined(*token).unwrap()).collect();
        let generation = joined[0].generation;
        let mut ids: Vec<String> = joined.iter().map(|joined| joined.member_id.clone()).collect();
        ids.sort_by_key(|id| *id != joined[0].leader);
        for id in ids.iter().skip(1).chain(ids.first()) {
            let assignments = ids.iter().map(|id| (id.clone(), assignment_of(id))).collect();
            let assignments = if *id == ids[0] { assignments } else { Vec::new() };
            self.send(Command::Sync(sync(id, generation, assignments)));
        }
        (ids, generation)
    }
}

pub fn assignment_of(member_id: &str) -> Bytes {
    Bytes::from(format!("for {member_id}"))
}

pub fn member(member_id: &str) -> MemberRef {
    MemberRef {
        member_id: member_id.to_owned(),
        instance_id: None,
    }
}

pub fn instance(member_id: &str, instance_id: &str) -> MemberRef {
    MemberRef {
        member_id: member_id.to_owned(),
        instance_id: Some(instance_id.to_owned()),
    }
}

/// A join of a consumer with a session of 10 s, rebalances of 60 s and the strategies `range` and `roundrobin`.
pub fn join(member: MemberRef, nonce: u128) -> Join {
    let protocol = |name: &str| Protocol {
        name: name.to_owned(),
        metadata: Bytes::from(format!("{name} data")),
    };
    Join {
        member,
        client: Client {
            id: "client".to_owned(),
            host: "/127.0.0.1".to_owned(),
        },
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol("range"), protocol("roundrobin")],
        member_id_required: false,
        skip_assignment_supported: true,
        nonce,
    }
}

/// The join of a dynamic member without an id, as clients before KIP-394 send it.
pub fn join_new(nonce: u128) -> Command {
    Command::Join(join(MemberRef::default(), nonce))
}

pub fn join_again(member_id: &str) -> Command {
    Command::Join(join(member(member_id), 99))
}

pub fn sync(member_id: &str, generation: i32, assignments: Vec<(String, Bytes)>) -> Sync {
    Sync {
        member: member(member_id),
        generation,
        protocol_type: Some("consumer".to_owned()),
        protocol: Some("range".to_owned()),
        assignments,
    }
}

pub fn commit(member_id: &str, generation: i32, offsets: &[(PartitionId, i64)]) -> CommitOffsets {
    let offsets = offsets.iter().map(|(partition, offset)| OffsetToCommit {
        partition: *partition,
        offset: Offset(*offset),
        leader_epoch: -1,
        metadata: String::new(),
    });
    CommitOffsets {
        member: member(member_id),
        generation,
        retention_ms: None,
        offsets: offsets.collect(),
    }
}
