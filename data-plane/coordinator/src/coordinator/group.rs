//! A group as its coordinator sees it: members, sessions, the rebalance in progress.
//!
//! ```text
//!            first join                 all joined, or time is up               the leader's assignment committed
//!   Empty ──────────────▶ Preparing ─────────────────────────────▶ Completing ───────────────────────────────▶ Stable
//!     ▲                    ▲    │ nobody left                           │ a member joins, leaves or dies          │
//!     └────────────────────│────┘                                       │                                         │
//!                          └────────────────────────────────────────────┴─────────────────────────────────────────┘
//! ```

use super::Output;
use super::appends::{Appends, Then};
use super::member::Member;
use super::timers::{Timer, Timers};
use crate::command::{Client, GroupKey, MemberRef, Protocol, Settings};
use crate::error::GroupError;
use crate::fact::Fact;
use crate::ledger::{Now, Token};
use crate::reply::{GroupState, Joined, JoinedMember, Synced};
use crate::request::{Answer, Reply};
use crate::stored::{GroupMetadata, StoredMember};
use bytes::Bytes;
use millstream_model::PartitionId;
use std::collections::{BTreeMap, BTreeSet};

/// How long a new member's join may wait before the member is forgotten: its client cannot heartbeat yet.
const NEW_MEMBER_JOIN_TIMEOUT_MS: u64 = 5 * 60_000;

/// What a step may use beside the group itself.
pub(super) struct Context<'a> {
    pub(super) key: &'a GroupKey,
    pub(super) now: Now,
    pub(super) settings: &'a Settings,
    pub(super) timers: &'a mut Timers,
    pub(super) appends: &'a mut Appends,
    pub(super) out: &'a mut Vec<Output>,
}

impl Context<'_> {
    pub(super) fn answer(&mut self, token: Token, answer: Answer) {
        self.out.push(Output::Answer { token, answer });
    }
}

/// One group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) state: GroupState,
    pub(super) generation: i32,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) leader: Option<String>,
    pub(super) members: BTreeMap<String, Member>,
    /// Instance id to member id.
    pub(super) statics: BTreeMap<String, String>,
    /// Ids given out that have not joined yet (KIP-394).
    pub(super) pending: BTreeSet<String>,
    /// Members that have not synced in this generation.
    pub(super) pending_sync: BTreeSet<String>,
    /// While the first rebalance of an empty group waits for more members: how much longer it may, ms.
    pub(super) initial_remaining_ms: Option<u64>,
    /// A member came since the initial wait was last prolonged.
    pub(super) new_member_added: bool,
    /// Appends not decided yet.
    pub(super) in_flight: u32,
    /// Partitions with offset commits not decided yet.
    pub(super) offsets_in_flight: BTreeMap<PartitionId, u32>,
}

impl Group {
    /// A group without members.
    pub(super) fn empty() -> Group {
        Group {
            state: GroupState::Empty,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            statics: BTreeMap::new(),
            pending: BTreeSet::new(),
            pending_sync: BTreeSet::new(),
            initial_remaining_ms: None,
            new_member_added: false,
            in_flight: 0,
            offsets_in_flight: BTreeMap::new(),
        }
    }

    /// A group as it was stored: its members go on in their generation.
    pub(super) fn stored(metadata: &GroupMetadata) -> Group {
        let mut group = Group::empty();
        group.generation = metadata.generation;
        group.protocol_type = (!metadata.protocol_type.is_empty()).then(|| metadata.protocol_type.clone());
        if metadata.members.is_empty() {
            return group;
        }
        group.state = GroupState::Stable;
        group.protocol = metadata.protocol.clone();
        group.leader = metadata.leader.clone();
        for stored in &metadata.members {
            let client = Client {
                id: stored.client_id.clone(),
                host: stored.client_host.clone(),
            };
            let mut member = Member::new(stored.instance_id.clone(), client);
            member.session_timeout_ms = stored.session_timeout_ms;
            member.rebalance_timeout_ms = stored.rebalance_timeout_ms;
            member.assignment = stored.assignment.clone();
            member.is_new = false;
            let name = metadata.protocol.clone().unwrap_or_default();
            member.protocols = vec![Protocol {
                name,
                metadata: stored.metadata.clone(),
            }];
            if let Some(instance) = &stored.instance_id {
                group.statics.insert(instance.clone(), stored.member_id.clone());
            }
            group.members.insert(stored.member_id.clone(), member);
        }
        group
    }

    /// Whether the ledger alone says all there is to say.
    pub(super) fn is_idle(&self) -> bool {
        self.state == GroupState::Empty
            && self.members.is_empty()
            && self.pending.is_empty()
            && self.in_flight == 0
    }

    /// What its members say of themselves, bytes, without this one.
    pub(super) fn bytes_without(&self, member_id: &str) -> usize {
        self.members
            .iter()
            .filter(|(id, _)| id.as_str() != member_id)
            .map(|(_, member)| member.bytes())
            .sum()
    }

    /// Whether a member with these protocols could be in the group together with the others.
    pub(super) fn supports(&self, protocol_type: &str, protocols: &[Protocol], except: Option<&str>) -> bool {
        if protocol_type.is_empty() || protocols.is_empty() {
            return false;
        }
        let others: Vec<&Member> = self
            .members
            .iter()
            .filter(|(id, _)| Some(id.as_str()) != except)
            .map(|(_, member)| member)
            .collect();
        if self.members.is_empty() {
            return true;
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols
                .iter()
                .any(|ours| others.iter().all(|member| offers(member, &ours.name)))
    }

    /// Whether the member is who it says it is.
    pub(super) fn check(&self, member: &MemberRef) -> Result<(), GroupError> {
        if let Some(instance) = &member.instance_id {
            match self.statics.get(instance) {
                None => return Err(GroupError::UnknownMember),
                Some(id) if *id != member.member_id => return Err(GroupError::FencedInstance),
                Some(_) => {}
            }
        }
        if self.members.contains_key(&member.member_id) {
            Ok(())
        } else {
            Err(GroupError::UnknownMember)
        }
    }

    /// The member's session starts anew, unless it waits for us.
    pub(super) fn touch(&mut self, cx: &mut Context<'_>, member_id: &str) {
        let Some(member) = self.members.get_mut(member_id) else {
            return;
        };
        let session = u64::try_from(member.session_timeout_ms).unwrap_or(0);
        member.deadline_ms = if member.awaiting_join.is_some() && member.is_new {
            Some(cx.now.ms + NEW_MEMBER_JOIN_TIMEOUT_MS)
        } else if member.awaiting_join.is_some() || member.awaiting_sync.is_some() {
            None
        } else {
            Some(cx.now.ms + session)
        };
        if let Some(deadline) = member.deadline_ms
            && member.armed_ms.is_none_or(|armed| armed > deadline)
        {
            member.armed_ms = Some(deadline);
            cx.timers
                .set(Timer::Session(cx.key.clone(), member_id.to_owned()), deadline);
        }
    }

    /// The member's timer fired: whether its session is over. If not, the timer is set again.
    pub(super) fn session_over(&mut self, cx: &mut Context<'_>, member_id: &str) -> bool {
        let Some(member) = self.members.get_mut(member_id) else {
            return false;
        };
        member.armed_ms = None;
        match member.deadline_ms {
            None => false,
            Some(deadline) if deadline <= cx.now.ms => true,
            Some(deadline) => {
                member.armed_ms = Some(deadline);
                cx.timers
                    .set(Timer::Session(cx.key.clone(), member_id.to_owned()), deadline);
                false
            }
        }
    }

    /// Puts a member in.
    pub(super) fn add(&mut self, cx: &mut Context<'_>, member_id: &str, member: Member, protocol_type: &str) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.to_owned());
        }
        if self.leader.is_none() {
            self.leader = Some(member_id.to_owned());
        }
        if let Some(instance) = &member.instance_id {
            self.statics.insert(instance.clone(), member_id.to_owned());
        }
        if self.initial_remaining_ms.is_some() {
            self.new_member_added = true;
        }
        self.members.insert(member_id.to_owned(), member);
        self.touch(cx, member_id);
    }

    /// Takes a member out and tells it so, if it waits.
    pub(super) fn remove(
        &mut self,
        cx: &mut Context<'_>,
        member_id: &str,
        why: GroupError,
    ) -> Option<Member> {
        let member = self.members.remove(member_id)?;
        cx.timers
            .cancel(&Timer::Session(cx.key.clone(), member_id.to_owned()));
        self.pending_sync.remove(member_id);
        if let Some(instance) = &member.instance_id {
            self.statics.remove(instance);
        }
        if self.leader.as_deref() == Some(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        if let Some(token) = member.awaiting_join {
            cx.answer(token, Err(why.clone()));
        }
        if let Some(token) = member.awaiting_sync {
            cx.answer(token, Err(why));
        }
        Some(member)
    }

    /// What a member of the current generation is told.
    pub(super) fn joined(&self, member_id: &str) -> Joined {
        let leads = self.leader.as_deref() == Some(member_id);
        Joined {
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone().unwrap_or_default(),
            skip_assignment: false,
            member_id: member_id.to_owned(),
            members: if leads { self.joined_members() } else { Vec::new() },
        }
    }

    pub(super) fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref();
        self.members
            .iter()
            .map(|(id, member)| JoinedMember {
                member_id: id.clone(),
                instance_id: member.instance_id.clone(),
                metadata: member.metadata(protocol),
            })
            .collect()
    }

    /// Answers a parked join, if there is one, and starts the member's session.
    pub(super) fn answer_join(
        &mut self,
        cx: &mut Context<'_>,
        member_id: &str,
        answer: Result<Joined, GroupError>,
    ) {
        let Some(member) = self.members.get_mut(member_id) else {
            return;
        };
        if let Some(token) = member.awaiting_join.take() {
            member.is_new = false;
            cx.answer(token, answer.map(Reply::Join));
            self.touch(cx, member_id);
        }
    }

    /// What a member is told that syncs in a stable group.
    pub(super) fn synced(&self, member: &Member) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment: member.assignment.clone(),
        }
    }

    /// Gives every member its assignment, and those who wait their answer.
    pub(super) fn assign(&mut self, cx: &mut Context<'_>, assignments: &BTreeMap<String, Bytes>) {
        self.state = GroupState::Stable;
        for (id, member) in &mut self.members {
            member.assignment = assignments.get(id).cloned().unwrap_or_default();
        }
        self.answer_syncs(cx, None);
    }

    /// Takes every member's assignment, and tells those who wait why.
    pub(super) fn reset_assignments(&mut self, cx: &mut Context<'_>, why: GroupError) {
        for member in self.members.values_mut() {
            member.assignment = Bytes::new();
        }
        self.answer_syncs(cx, Some(why));
    }

    fn answer_syncs(&mut self, cx: &mut Context<'_>, why: Option<GroupError>) {
        let waiting: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| member.awaiting_sync.is_some())
            .map(|(id, _)| id.clone())
            .collect();
        for member_id in &waiting {
            let Some(member) = self.members.get_mut(member_id) else {
                continue;
            };
            let Some(token) = member.awaiting_sync.take() else {
                continue;
            };
            let answer = match (&why, self.members.get(member_id)) {
                (None, Some(member)) => Ok(self.synced(member)),
                (None, None) => Err(GroupError::UnknownMember),
                (Some(why), _) => Err(why.clone()),
            };
            cx.answer(token, answer.map(Reply::Sync));
            self.touch(cx, member_id);
        }
    }

    /// Hands the group's present metadata to the log.
    pub(super) fn store(&mut self, cx: &mut Context<'_>, then: Then) {
        let assignments = self
            .members
            .iter()
            .map(|(id, member)| (id.clone(), member.assignment.clone()))
            .collect();
        let metadata = self.metadata(cx.now, &assignments);
        let facts = vec![Fact::Group(cx.key.clone(), Some(metadata))];
        self.in_flight += cx.appends.append(cx.key, facts, then, cx.out);
    }

    /// The group's metadata with these assignments.
    pub(super) fn metadata(&self, now: Now, assignments: &BTreeMap<String, Bytes>) -> GroupMetadata {
        let protocol = self.protocol.as_deref();
        let members = self.members.iter().map(|(id, member)| StoredMember {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client.id.clone(),
            client_host: member.client.host.clone(),
            session_timeout_ms: member.session_timeout_ms,
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            metadata: member.metadata(protocol),
            assignment: assignments.get(id).cloned().unwrap_or_default(),
        });
        GroupMetadata {
            generation: self.generation,
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            time: now.time,
            members: members.collect(),
        }
    }
}

pub(super) fn offers(member: &Member, name: &str) -> bool {
    member.protocols.iter().any(|protocol| protocol.name == name)
}
