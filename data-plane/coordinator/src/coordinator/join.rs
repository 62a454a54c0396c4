//! JoinGroup: new members, members that come back, static members that come back as somebody else.

use super::appends::Then;
use super::group::{Context, Group};
use super::member::Member;
use super::timers::Timer;
use crate::command::{Join, Protocol};
use crate::error::GroupError;
use crate::ledger::Token;
use crate::reply::GroupState;
use crate::request::Reply;
use bytes::Bytes;
use millstream_model::limits::{
    GROUP_BYTES_MAX, GROUP_MEMBER_BYTES_MAX, GROUP_MEMBERS_MAX, GROUP_PROTOCOLS_MAX, GROUP_TEXT_BYTES_MAX,
};

/// What of a join can be judged without the group.
pub(super) fn check_join(cx: &Context<'_>, join: &Join) -> Result<(), GroupError> {
    let (min, max) = (
        cx.settings.session_timeout_ms_min,
        cx.settings.session_timeout_ms_max,
    );
    if join.session_timeout_ms < min || join.session_timeout_ms > max {
        return Err(GroupError::InvalidSessionTimeout { min, max });
    }
    let texts = [
        &join.member.member_id,
        &join.client.id,
        &join.client.host,
        &join.protocol_type,
    ];
    let names = join.protocols.iter().map(|protocol| &protocol.name);
    let longest = texts
        .into_iter()
        .chain(&join.member.instance_id)
        .chain(names)
        .map(String::len)
        .max();
    let bytes: usize = join
        .protocols
        .iter()
        .map(|protocol| protocol.metadata.len())
        .sum();
    if longest > Some(GROUP_TEXT_BYTES_MAX)
        || bytes > GROUP_MEMBER_BYTES_MAX
        || join.protocols.len() > GROUP_PROTOCOLS_MAX
    {
        return Err(GroupError::MemberTooLarge);
    }
    Ok(())
}

impl Group {
    /// Takes a join that [`check_join`] let pass.
    pub(super) fn join(&mut self, cx: &mut Context<'_>, token: Token, mut join: Join) {
        // Out of the request's buffer, which would else live as long as the member.
        for protocol in &mut join.protocols {
            protocol.metadata = Bytes::copy_from_slice(&protocol.metadata);
        }
        if let Err(refusal) = self.join_or_refuse(cx, token, &join) {
            cx.answer(token, Err(refusal));
        }
    }

    fn join_or_refuse(&mut self, cx: &mut Context<'_>, token: Token, join: &Join) -> Result<(), GroupError> {
        let known = &join.member.member_id;
        self.check_room(join)?;
        let taken_over = join.member.instance_id.as_ref().filter(|_| known.is_empty());
        let taken_over = taken_over
            .and_then(|instance| self.statics.get(instance))
            .cloned();
        let except = taken_over
            .as_deref()
            .or(Some(known.as_str()).filter(|id| !id.is_empty()));
        if !self.supports(&join.protocol_type, &join.protocols, except) {
            return Err(GroupError::InconsistentProtocol);
        }
        if !known.is_empty() {
            return self.join_known(cx, token, join);
        }
        let new_id = new_member_id(join);
        if let Some(old_id) = taken_over {
            self.take_over(cx, token, join, &old_id, &new_id);
        } else if join.member.instance_id.is_none() && join.member_id_required {
            let until = cx.now.ms + u64::try_from(join.session_timeout_ms).unwrap_or(0);
            self.pending.insert(new_id.clone());
            cx.timers
                .set(Timer::Pending(cx.key.clone(), new_id.clone()), until);
            return Err(GroupError::MemberIdRequired { member_id: new_id });
        } else {
            self.join_new(cx, token, join, &new_id);
        }
        Ok(())
    }

    fn check_room(&self, join: &Join) -> Result<(), GroupError> {
        let known = &join.member.member_id;
        let is_member = self.members.contains_key(known) || self.pending.contains(known);
        let takes_over = join
            .member
            .instance_id
            .as_ref()
            .is_some_and(|instance| self.statics.contains_key(instance));
        if !is_member && !takes_over && self.members.len() + self.pending.len() >= GROUP_MEMBERS_MAX {
            return Err(GroupError::GroupFull);
        }
        let bytes: usize = join
            .protocols
            .iter()
            .map(|protocol| protocol.metadata.len())
            .sum();
        if self.bytes_without(known) + bytes > GROUP_BYTES_MAX {
            return Err(GroupError::GroupFull);
        }
        Ok(())
    }

    fn join_known(&mut self, cx: &mut Context<'_>, token: Token, join: &Join) -> Result<(), GroupError> {
        let id = &join.member.member_id;
        if self.pending.contains(id) && join.member.instance_id.is_none() {
            self.pending.remove(id);
            cx.timers.cancel(&Timer::Pending(cx.key.clone(), id.clone()));
            self.join_new(cx, token, join, id);
            return Ok(());
        }
        self.check(&join.member)?;
        let same = self
            .members
            .get(id)
            .is_some_and(|member| same_protocols(&member.protocols, &join.protocols));
        let leads = self.leader.as_deref() == Some(id.as_str());
        let answer_now = match self.state {
            // It did not hear of the generation that it is in.
            GroupState::CompletingRebalance => same,
            // A leader that joins again wants a rebalance; a follower may only have lost an answer.
            GroupState::Stable => same && !leads,
            GroupState::PreparingRebalance => false,
            GroupState::Empty => return Err(GroupError::UnknownMember),
        };
        if answer_now {
            cx.answer(token, Ok(Reply::Join(self.joined(id))));
            self.touch(cx, id);
        } else {
            self.update(cx, token, join, id);
            self.rebalance_or_complete_join(cx);
        }
        Ok(())
    }

    fn join_new(&mut self, cx: &mut Context<'_>, token: Token, join: &Join, member_id: &str) {
        let mut member = Member::new(join.member.instance_id.clone(), join.client.clone());
        fill(&mut member, token, join);
        self.add(cx, member_id, member, &join.protocol_type);
        self.rebalance_or_complete_join(cx);
    }

    /// A static member is back without its member id: it gets a new one, and whoever uses the old one is fenced.
    fn take_over(&mut self, cx: &mut Context<'_>, token: Token, join: &Join, old_id: &str, new_id: &str) {
        let led = self.leader.as_deref() == Some(old_id);
        let old_leader = self.leader.clone().unwrap_or_default();
        let before = self.rename(cx, old_id, new_id);
        self.update(cx, token, join, new_id);
        if self.state != GroupState::Stable {
            // While completing, the leader's assignment would name the old id; so all join again.
            self.rebalance_or_complete_join(cx);
            return;
        }
        if self.select_protocol() != self.protocol {
            self.prepare_rebalance(cx);
            return;
        }
        // Nothing changes for the others: the new id is stored, the member goes on with its assignment.
        let mut joined = self.joined(new_id);
        if join.skip_assignment_supported {
            joined.skip_assignment = led;
        } else {
            // Old clients are told the old leader's id, so that none thinks that it has to assign.
            joined.leader = old_leader;
            joined.members = Vec::new();
        }
        if let Some(member) = self.members.get_mut(new_id) {
            member.awaiting_join = None;
            member.is_new = false;
        }
        self.touch(cx, new_id);
        let Some(before) = before else { return };
        let done = Reply::Join(joined);
        let (old_id, new_id) = (old_id.to_owned(), new_id.to_owned());
        self.store(
            cx,
            Then::Replaced {
                token,
                done,
                old_id,
                new_id,
                before: Box::new(before),
            },
        );
    }

    /// Gives a member another id; returns it as it was. Answers parked under the old id are fenced.
    pub(super) fn rename(&mut self, cx: &mut Context<'_>, old_id: &str, new_id: &str) -> Option<Member> {
        let led = self.leader.as_deref() == Some(old_id);
        let pending_sync = self.pending_sync.contains(old_id);
        let mut member = self.remove(cx, old_id, GroupError::FencedInstance)?;
        (member.awaiting_join, member.awaiting_sync) = (None, None);
        let before = member.clone();
        member.disarm();
        if led {
            self.leader = Some(new_id.to_owned());
        }
        if pending_sync {
            self.pending_sync.insert(new_id.to_owned());
        }
        let protocol_type = self.protocol_type.clone().unwrap_or_default();
        self.add(cx, new_id, member, &protocol_type);
        Some(before)
    }

    /// Puts a member back as it was under its id, with a fresh session.
    pub(super) fn restore(&mut self, cx: &mut Context<'_>, member_id: &str, mut before: Member) {
        before.disarm();
        if let Some(member) = self.members.get_mut(member_id) {
            *member = before;
        }
        cx.timers
            .cancel(&Timer::Session(cx.key.clone(), member_id.to_owned()));
        self.touch(cx, member_id);
    }

    /// Parks the join of a member that is in the group.
    fn update(&mut self, cx: &mut Context<'_>, token: Token, join: &Join, member_id: &str) {
        let Some(member) = self.members.get_mut(member_id) else {
            return;
        };
        let before = fill(member, token, join);
        if let Some(before) = before {
            // The same member asked again, on another connection most likely.
            cx.answer(before, Err(GroupError::RebalanceInProgress));
        }
        self.touch(cx, member_id);
    }
}

/// What a join says of a member. Returns the join that was parked before.
fn fill(member: &mut Member, token: Token, join: &Join) -> Option<Token> {
    member.client = join.client.clone();
    member.session_timeout_ms = join.session_timeout_ms;
    member.rebalance_timeout_ms = join.rebalance_timeout_ms;
    member.protocols = join.protocols.clone();
    member.awaiting_join.replace(token)
}

fn same_protocols(ours: &[Protocol], theirs: &[Protocol]) -> bool {
    ours == theirs
}

/// Kafka's form: the instance or client id, and a random UUID.
fn new_member_id(join: &Join) -> String {
    let hex = format!("{:032x}", join.nonce);
    let name = join.member.instance_id.as_ref().unwrap_or(&join.client.id);
    format!(
        "{name}-{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
