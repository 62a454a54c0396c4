//! Random lives: whatever happens, replay equals the live state, every request is answered once, tenants never meet.

use crate::world::{World, commit, instance, join, key, member, partition, settings};
use millstream_coordinator::{
    Answer, Command, Coordinator, DeleteGroup, GroupError, GroupKey, Heartbeat, Leave, Leaving, Ledger,
    MemberRef, Output, Reply, Sync,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

/// One step of a life.
#[derive(Clone, Debug)]
enum Step {
    Join {
        group: usize,
        member: usize,
        fresh: bool,
        required: bool,
    },
    Sync {
        group: usize,
        member: usize,
    },
    Heartbeat {
        group: usize,
        member: usize,
    },
    Leave {
        group: usize,
        member: usize,
    },
    Commit {
        group: usize,
        member: usize,
        offset: i64,
    },
    Delete {
        group: usize,
    },
    Pass {
        ms: u64,
    },
    CommitAppend,
    FailAppend,
    Hold {
        hold: bool,
    },
}

const GROUPS: usize = 4;
const MEMBERS: usize = 4;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (group, member) = (0..GROUPS, 0..MEMBERS);
    let step = prop_oneof![
        4 => (group.clone(), member.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(group, member, fresh, required)| Step::Join { group, member, fresh, required }),
        4 => (group.clone(), member.clone()).prop_map(|(group, member)| Step::Sync { group, member }),
        2 => (group.clone(), member.clone()).prop_map(|(group, member)| Step::Heartbeat { group, member }),
        1 => (group.clone(), member.clone()).prop_map(|(group, member)| Step::Leave { group, member }),
        2 => (group.clone(), member, 0i64..100)
            .prop_map(|(group, member, offset)| Step::Commit { group, member, offset }),
        1 => group.prop_map(|group| Step::Delete { group }),
        3 => (0u64..15_000).prop_map(|ms| Step::Pass { ms }),
        3 => Just(Step::CommitAppend),
        1 => Just(Step::FailAppend),
        1 => any::<bool>().prop_map(|hold| Step::Hold { hold }),
    ];
    prop::collection::vec(step, 1..120)
}

/// Two tenants with the same two group names.
fn group_key(group: usize) -> GroupKey {
    key(1 + (group / 2) as u64, ["a", "b"][group % 2])
}

/// What the members of a life know.
struct Life {
    world: World,
    /// Member id and generation, by group and member.
    known: Vec<(String, i32)>,
    /// Who asked with which token.
    asked: Vec<(u64, usize)>,
    nonce: u128,
}

impl Life {
    fn new() -> Life {
        let known = vec![(String::new(), -1); GROUPS * MEMBERS];
        Life {
            world: World::new(),
            known,
            asked: Vec::new(),
            nonce: 0,
        }
    }

    /// Members 0 and 1 are dynamic, the others static.
    fn member(&self, group: usize, index: usize) -> MemberRef {
        let id = &self.known[group * MEMBERS + index].0;
        if index < 2 {
            member(id)
        } else {
            instance(id, &format!("static-{index}"))
        }
    }

    fn send(&mut self, group: usize, index: usize, command: Command) {
        let token = self.world.send_to(&group_key(group), command);
        self.asked.push((token, group * MEMBERS + index));
    }

    fn learn(&mut self) {
        for (token, who) in &self.asked {
            match self.world.answers.get(token) {
                Some(Ok(Reply::Join(joined))) => {
                    self.known[*who] = (joined.member_id.clone(), joined.generation)
                }
                Some(Err(GroupError::MemberIdRequired { member_id })) => {
                    self.known[*who] = (member_id.clone(), -1);
                }
                _ => {}
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Join {
                group,
                member,
                fresh,
                required,
            } => {
                self.nonce += 1;
                let mut who = self.member(group, member);
                if fresh {
                    who.member_id.clear();
                }
                let mut wanted = join(who, self.nonce);
                wanted.client.id = format!("tenant-{}", group_key(group).tenant);
                wanted.member_id_required = required;
                self.send(group, member, Command::Join(wanted));
            }
            Step::Sync { group, member } => {
                let generation = self.known[group * MEMBERS + member].1;
                let of = |index: usize| (self.known[group * MEMBERS + index].0.clone(), "x".into());
                let assignments = (0..MEMBERS).map(of).collect();
                let member_ref = self.member(group, member);
                let (protocol_type, protocol) = (None, None);
                let sync = Sync {
                    member: member_ref,
                    generation,
                    protocol_type,
                    protocol,
                    assignments,
                };
                self.send(group, member, Command::Sync(sync));
            }
            Step::Heartbeat { group, member } => {
                let generation = self.known[group * MEMBERS + member].1;
                let heartbeat = Heartbeat {
                    member: self.member(group, member),
                    generation,
                };
                self.send(group, member, Command::Heartbeat(heartbeat));
            }
            Step::Leave { group, member } => {
                let members = vec![Leaving {
                    member: self.member(group, member),
                }];
                self.send(group, member, Command::Leave(Leave { members }));
            }
            Step::Commit {
                group,
                member,
                offset,
            } => {
                let (id, generation) = self.known[group * MEMBERS + member].clone();
                let topic = group_key(group).tenant.0 as u8;
                let wanted = commit(&id, generation, &[(partition(topic, member as u32), offset)]);
                self.send(group, member, Command::CommitOffsets(wanted));
            }
            Step::Delete { group } => self.send(group, 0, Command::DeleteGroup(DeleteGroup)),
            Step::Pass { ms } => self.world.pass(ms),
            Step::CommitAppend if !self.world.appends.is_empty() => self.world.commit_one(),
            Step::FailAppend if !self.world.appends.is_empty() => self.world.fail_one(),
            Step::CommitAppend | Step::FailAppend => {}
            Step::Hold { hold } => {
                self.world.hold = hold;
                self.world.carry_out(Vec::new());
            }
        }
        self.learn();
    }

    fn check(&self) {
        // Replay equals the live state, from the log and from a snapshot.
        let mut replayed = Coordinator::new(settings());
        for record in &self.world.log {
            replayed.apply(&record.key, record.value.as_ref());
        }
        assert_eq!(replayed.stored(), self.world.coordinator.stored());
        // Nothing of one tenant is with the other.
        for group in 0..GROUPS {
            let key = group_key(group);
            let topic = partition(key.tenant.0 as u8, 0).topic;
            let offsets = self.world.coordinator.fetch_offsets(&key, None);
            assert!(offsets.iter().all(|(partition, _)| partition.topic == topic));
            if let Some(described) = self.world.coordinator.describe(&key) {
                let own = format!("tenant-{}", key.tenant);
                assert!(described.members.iter().all(|member| member.client_id == own));
            }
            assert!(self.world.coordinator.list(key.tenant).len() <= 2);
        }
    }

    /// Everybody gets an answer in the end.
    fn end(mut self) {
        self.world.hold = false;
        self.world.carry_out(Vec::new());
        self.world.pass(20 * 60_000);
        let open: BTreeSet<u64> = self
            .asked
            .iter()
            .map(|(token, _)| *token)
            .filter(|token| self.world.is_waiting(*token))
            .collect();
        assert!(open.is_empty(), "never answered: {open:?}");
        let mut out: Vec<Output<Answer>> = Vec::new();
        self.world.coordinator.resign(&mut out);
        assert!(out.is_empty(), "nobody waits any more: {out:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn lives(steps in steps()) {
        let mut life = Life::new();
        for step in steps {
            life.step(step);
            life.check();
        }
        life.end();
    }

    #[test]
    fn a_life_is_the_same_when_it_is_lived_again(steps in steps()) {
        let live = || {
            let mut life = Life::new();
            steps.iter().cloned().for_each(|step| life.step(step));
            (life.world.answers, life.world.log)
        };
        prop_assert_eq!(live(), live());
    }

    #[test]
    fn resigning_answers_everybody(steps in steps()) {
        let mut life = Life::new();
        steps.into_iter().for_each(|step| life.step(step));
        let mut out = Vec::new();
        life.world.coordinator.resign(&mut out);
        life.world.hold = true;
        life.world.carry_out(out);
        let open = life.asked.iter().filter(|(token, _)| life.world.is_waiting(*token)).count();
        prop_assert_eq!(open, 0);
    }
}
