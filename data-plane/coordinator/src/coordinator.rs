//! The leader's machine over the ledger: commands, appends and deadlines in, appends and answers out.

mod appends;
mod group;
mod join;
mod member;
mod membership;
mod offsets;
mod reading;
mod rebalance;
mod timers;

use crate::command::{GroupKey, Settings};
use crate::error::GroupError;
use crate::fact::Fact;
use crate::groups::StoredGroups;
use crate::ledger::{Ledger, Now, Ticket, Token};
use crate::record::{Applied, Record};
use crate::request::{Answer, Command, Reply};
use appends::{Appends, Then, Waiting};
use bytes::Bytes;
use group::{Context, Group};
use millstream_model::limits::SLOT_TENANT_GROUPS_MAX;
use millstream_model::{PartitionId, SlotKind, TimestampMs, TopicId};
use std::collections::{BTreeMap, BTreeSet};
use timers::{Timer, Timers};

/// What the machine wants done. Records appended together have at most `limits::GROUP_APPEND_BYTES_MAX` bytes and a
/// record, which has at most `limits::GROUP_BYTES_MAX` bytes and a little.
type Output = crate::ledger::Output<Answer>;

/// A slot's consumer groups: what survives of them, and while its replica leads, the machine.
#[derive(Debug)]
pub struct Coordinator {
    settings: Settings,
    stored: StoredGroups,
    lead: Option<Lead>,
}

/// What only the leader has.
#[derive(Debug, Default)]
struct Lead {
    /// Groups about which there is more to say than the ledger says.
    groups: BTreeMap<GroupKey, Group>,
    timers: Timers,
    appends: Appends,
}

impl Coordinator {
    /// A follower that knows nothing yet.
    pub fn new(settings: Settings) -> Coordinator {
        Coordinator {
            settings,
            stored: StoredGroups::new(),
            lead: None,
        }
    }

    /// What survives.
    pub fn stored(&self) -> &StoredGroups {
        &self.stored
    }

    /// Whether it leads.
    pub fn leads(&self) -> bool {
        self.lead.is_some()
    }

    fn decided(&mut self, now: Now, ticket: Ticket, result: Result<(), GroupError>, out: &mut Vec<Output>) {
        let Coordinator { settings, lead, .. } = self;
        let Some(lead) = lead else { return };
        let Some(Waiting { key, then, failed }) = lead.appends.waiting.remove(&ticket) else {
            return;
        };
        let result = if failed {
            Err(GroupError::NotAvailable)
        } else {
            result
        };
        if let (Then::Part(last), Err(_)) = (&then, &result)
            && let Some(last) = lead.appends.waiting.get_mut(last)
        {
            last.failed = true;
        }
        lead.with_group(&key, now, settings, out, |group, cx| {
            group.in_flight = group.in_flight.saturating_sub(1);
            follow(group, cx, then, result);
        });
    }
}

impl Ledger for Coordinator {
    const KIND: SlotKind = SlotKind::Groups;
    type Key = GroupKey;
    type Command = Command;
    type Answer = Answer;

    fn apply(&mut self, key: &[u8], value: Option<&Bytes>) -> Applied {
        self.stored.apply(key, value)
    }

    fn records(&self) -> Box<dyn Iterator<Item = Record> + '_> {
        Box::new(self.stored.records())
    }

    fn lead(&mut self, now: Now) {
        let mut lead = Lead::default();
        if !self.stored.is_empty() {
            lead.retain_after(now, &self.settings);
        }
        let mut out = Vec::new();
        for (key, stored) in self.stored.groups() {
            let Some(metadata) = stored
                .metadata
                .as_ref()
                .filter(|metadata| !metadata.members.is_empty())
            else {
                continue;
            };
            let mut group = Group::stored(metadata);
            let Lead { timers, appends, .. } = &mut lead;
            let mut cx = Context {
                key,
                now,
                settings: &self.settings,
                timers,
                appends,
                out: &mut out,
            };
            for member in &metadata.members {
                group.touch(&mut cx, &member.member_id);
            }
            lead.groups.insert(key.clone(), group);
        }
        self.lead = Some(lead);
    }

    fn resign(&mut self, out: &mut Vec<Output>) {
        let Some(lead) = self.lead.take() else { return };
        let members = lead
            .groups
            .into_values()
            .flat_map(|group| group.members.into_values());
        let parked = members.flat_map(|member| [member.awaiting_join, member.awaiting_sync]);
        // Whether what is under way commits is for the next leader to find out.
        let waiting = lead.appends.waiting.into_values();
        let waiting = waiting.map(|waiting| waiting.then.token());
        out.extend(parked.chain(waiting).flatten().map(|token| Output::Answer {
            token,
            answer: Err(GroupError::NotCoordinator),
        }));
    }

    fn handle(&mut self, now: Now, token: Token, key: &GroupKey, command: Command, out: &mut Vec<Output>) {
        let Coordinator {
            settings,
            stored,
            lead,
        } = self;
        let Some(lead) = lead else {
            let answer = Err(GroupError::NotCoordinator);
            out.push(Output::Answer { token, answer });
            return;
        };
        if let Err(error) = lead.load(stored, key, may_create(&command)) {
            let answer = Err(error.unwrap_or_else(|| absent(&command)));
            out.push(Output::Answer { token, answer });
            return;
        }
        if !lead.timers.is_set(&Timer::Retention) {
            lead.retain_after(now, settings);
        }
        lead.with_group(key, now, settings, out, |group, cx| match command {
            Command::Join(join) => match join::check_join(cx, &join) {
                Ok(()) => group.join(cx, token, join),
                Err(error) => cx.answer(token, Err(error)),
            },
            Command::Sync(sync) => group.sync(cx, token, sync),
            Command::Heartbeat(heartbeat) => {
                let result = group.heartbeat(cx, &heartbeat);
                cx.answer(token, result.map(Reply::Heartbeat));
            }
            Command::Leave(leave) => {
                let left = group.leave(cx, leave);
                cx.answer(token, Ok(Reply::Leave(left)));
            }
            Command::CommitOffsets(commit) => group.commit_offsets(cx, token, commit),
            Command::DeleteGroup(_) => group.delete(cx, token, stored.group(key)),
            Command::DeleteOffsets(delete) => group.delete_offsets(cx, token, delete, stored.group(key)),
        });
    }

    fn committed(&mut self, now: Now, ticket: Ticket, out: &mut Vec<Output>) {
        self.decided(now, ticket, Ok(()), out);
    }

    fn failed(&mut self, now: Now, ticket: Ticket, out: &mut Vec<Output>) {
        self.decided(now, ticket, Err(GroupError::NotAvailable), out);
    }

    fn next_deadline(&self) -> Option<u64> {
        self.lead.as_ref()?.timers.next()
    }

    fn expire(&mut self, now: Now, out: &mut Vec<Output>) {
        let Coordinator {
            settings,
            stored,
            lead,
        } = self;
        let Some(lead) = lead else { return };
        while let Some(timer) = lead.timers.pop(now.ms) {
            match timer {
                Timer::Session(key, member) => lead.with_group(&key, now, settings, out, |group, cx| {
                    if group.session_over(cx, &member) {
                        group.remove_and_rebalance(cx, &member);
                    }
                }),
                Timer::Pending(key, member) => lead.with_group(&key, now, settings, out, |group, cx| {
                    if group.pending.remove(&member) {
                        group.maybe_complete_join(cx);
                    }
                }),
                Timer::Join(key) => {
                    lead.with_group(&key, now, settings, out, |group, cx| group.join_timer(cx))
                }
                Timer::Sync(key) => {
                    lead.with_group(&key, now, settings, out, |group, cx| group.sync_timer(cx))
                }
                Timer::Retention => {
                    lead.retain(stored, now, settings, out);
                    if !stored.is_empty() || !lead.groups.is_empty() {
                        lead.retain_after(now, settings);
                    }
                }
            }
        }
    }

    fn topics_deleted(&mut self, topics: &BTreeSet<TopicId>, time: TimestampMs, out: &mut Vec<Output>) {
        let Coordinator { stored, lead, .. } = self;
        let Some(lead) = lead else { return };
        for (key, stored) in stored.groups() {
            let in_flight = lead
                .groups
                .get(key)
                .into_iter()
                .flat_map(|group| group.offsets_in_flight.keys());
            let gone: BTreeSet<&PartitionId> = stored
                .offsets
                .keys()
                .chain(in_flight)
                .filter(|partition| topics.contains(&partition.topic))
                .collect();
            let kept = stored.metadata.is_some() || lead.groups.contains_key(key);
            let is_last = !gone.is_empty() && stored.offsets.keys().all(|partition| gone.contains(partition));
            let group = (is_last && !kept).then(|| offsets::emptied(key, time));
            let gone = gone.into_iter();
            let gone = gone.map(|partition| Fact::Offset(key.clone(), *partition, None));
            let facts: Vec<Fact> = group.into_iter().chain(gone).collect();
            lead.append(key, facts, out);
        }
    }
}

impl Lead {
    /// Makes the group present in memory: as it is, as it was stored, or new where the command may create it.
    /// Refuses with nothing when there is no such group.
    fn load(
        &mut self,
        stored: &StoredGroups,
        key: &GroupKey,
        create: bool,
    ) -> Result<(), Option<GroupError>> {
        if self.groups.contains_key(key) {
            return Ok(());
        }
        let group = match stored.group(key) {
            Some(group) => group.metadata.as_ref().map_or_else(Group::empty, Group::stored),
            None if !create => return Err(None),
            None => {
                let live = self.groups.range(GroupKey::first(key.tenant)..);
                let live = live.take_while(|(other, _)| other.tenant == key.tenant);
                let unstored = live.filter(|(other, _)| stored.group(other).is_none()).count();
                if stored.groups_of(key.tenant).count() + unstored >= SLOT_TENANT_GROUPS_MAX {
                    return Err(Some(GroupError::TooManyGroups));
                }
                Group::empty()
            }
        };
        self.groups.insert(key.clone(), group);
        Ok(())
    }

    /// Lets `step` work on the group, then forgets the group if the ledger says all there is to say.
    fn with_group(
        &mut self,
        key: &GroupKey,
        now: Now,
        settings: &Settings,
        out: &mut Vec<Output>,
        step: impl FnOnce(&mut Group, &mut Context<'_>),
    ) {
        let Lead {
            groups,
            timers,
            appends,
        } = self;
        let Some(group) = groups.get_mut(key) else { return };
        step(
            group,
            &mut Context {
                key,
                now,
                settings,
                timers,
                appends,
                out,
            },
        );
        if group.is_idle() {
            groups.remove(key);
        }
    }

    /// Looks at retention after a while.
    fn retain_after(&mut self, now: Now, settings: &Settings) {
        self.timers
            .set(Timer::Retention, now.ms + settings.retention_check_ms.max(1));
    }

    /// Removes what has grown too old from groups without members.
    fn retain(&mut self, stored: &StoredGroups, now: Now, settings: &Settings, out: &mut Vec<Output>) {
        for (key, stored) in stored.groups() {
            if !self.groups.contains_key(key) {
                let facts = offsets::expired(key, stored, now.time, settings);
                self.append(key, facts, out);
            }
        }
    }

    /// Hands facts to the log that nobody waits for.
    fn append(&mut self, key: &GroupKey, facts: Vec<Fact>, out: &mut Vec<Output>) {
        let tickets = self.appends.append(key, facts, Then::Nothing, out);
        if let Some(group) = self.groups.get_mut(key) {
            group.in_flight += tickets;
        }
    }
}

/// Does what was to follow an append.
fn follow(group: &mut Group, cx: &mut Context<'_>, then: Then, result: Result<(), GroupError>) {
    match then {
        Then::Nothing | Then::Part(_) => {}
        Then::Answer { token, done } => cx.answer(token, result.map(|()| done)),
        Then::Offsets {
            token,
            done,
            partitions,
        } => {
            group.offsets_decided(&partitions);
            cx.answer(token, result.map(|()| done));
        }
        Then::Assign {
            generation,
            assignments,
        } => group.assignment_decided(cx, generation, &assignments, result),
        Then::Replaced {
            token,
            done,
            old_id,
            new_id,
            before,
        } => {
            if result.is_err() && group.rename(cx, &new_id, &old_id).is_some() {
                group.restore(cx, &old_id, *before);
            }
            cx.answer(token, result.map(|()| done));
        }
    }
}

/// Whether the command makes a group that does not exist.
fn may_create(command: &Command) -> bool {
    match command {
        Command::Join(join) => join.member.member_id.is_empty(),
        Command::CommitOffsets(commit) => commit.generation < 0,
        _ => false,
    }
}

/// The refusal when the group does not exist.
fn absent(command: &Command) -> GroupError {
    match command {
        Command::Join(_) | Command::Sync(_) | Command::Heartbeat(_) | Command::Leave(_) => {
            GroupError::UnknownMember
        }
        Command::CommitOffsets(_) | Command::DeleteGroup(_) | Command::DeleteOffsets(_) => {
            GroupError::GroupNotFound
        }
    }
}
