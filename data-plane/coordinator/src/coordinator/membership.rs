//! SyncGroup, Heartbeat and LeaveGroup: what members do between joins.

use super::appends::Then;
use super::group::{Context, Group};
use super::timers::Timer;
use crate::command::{Heartbeat, Leave, Leaving, Sync};
use crate::error::GroupError;
use crate::fact::Fact;
use crate::ledger::Token;
use crate::reply::{GroupState, Left};
use crate::request::Reply;
use bytes::Bytes;
use millstream_model::limits::GROUP_BYTES_MAX;
use std::collections::BTreeMap;

impl Group {
    /// Takes a sync; parks it until the leader's assignment is committed.
    pub(super) fn sync(&mut self, cx: &mut Context<'_>, token: Token, sync: Sync) {
        if let Err(refusal) = self.sync_or_refuse(cx, token, sync) {
            cx.answer(token, Err(refusal));
        }
    }

    fn sync_or_refuse(&mut self, cx: &mut Context<'_>, token: Token, sync: Sync) -> Result<(), GroupError> {
        let id = sync.member.member_id.as_str();
        self.check(&sync.member)?;
        if sync.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        let differs = |expected: &Option<String>, is: &Option<String>| expected.is_some() && expected != is;
        if differs(&sync.protocol_type, &self.protocol_type) || differs(&sync.protocol, &self.protocol) {
            return Err(GroupError::InconsistentProtocol);
        }
        match self.state {
            GroupState::Empty => Err(GroupError::UnknownMember),
            GroupState::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            GroupState::Stable => {
                self.pending_sync.remove(id);
                let member = self.members.get(id).ok_or(GroupError::UnknownMember)?;
                cx.answer(token, Ok(Reply::Sync(self.synced(member))));
                self.touch(cx, id);
                Ok(())
            }
            GroupState::CompletingRebalance => {
                let leads = self.leader.as_deref() == Some(id);
                let assignments = if leads {
                    Some(self.checked(&sync.assignments)?)
                } else {
                    None
                };
                self.pending_sync.remove(id);
                let before = self
                    .members
                    .get_mut(id)
                    .and_then(|member| member.awaiting_sync.replace(token));
                if let Some(before) = before {
                    cx.answer(before, Err(GroupError::RebalanceInProgress));
                }
                self.touch(cx, id);
                if let Some(assignments) = assignments {
                    self.store_assignments(cx, assignments);
                }
                Ok(())
            }
        }
    }

    /// The leader's assignments of those who are members, out of the request's buffer.
    fn checked(&self, assignments: &[(String, Bytes)]) -> Result<BTreeMap<String, Bytes>, GroupError> {
        let protocol = self.protocol.as_deref();
        let metadata: usize = self
            .members
            .values()
            .map(|member| member.metadata(protocol).len())
            .sum();
        let assigned: usize = assignments.iter().map(|(_, bytes)| bytes.len()).sum();
        if metadata + assigned > GROUP_BYTES_MAX {
            return Err(GroupError::GroupFull);
        }
        let members = assignments.iter().filter(|(id, _)| self.members.contains_key(id));
        Ok(members
            .map(|(id, bytes)| (id.clone(), Bytes::copy_from_slice(bytes)))
            .collect())
    }

    fn store_assignments(&mut self, cx: &mut Context<'_>, assignments: BTreeMap<String, Bytes>) {
        let metadata = self.metadata(cx.now, &assignments);
        let facts = vec![Fact::Group(cx.key.clone(), Some(metadata))];
        let then = Then::Assign {
            generation: self.generation,
            assignments,
        };
        self.in_flight += cx.appends.append(cx.key, facts, then, cx.out);
    }

    /// The leader's assignment is decided, if it still is of this generation.
    pub(super) fn assignment_decided(
        &mut self,
        cx: &mut Context<'_>,
        generation: i32,
        assignments: &BTreeMap<String, Bytes>,
        result: Result<(), GroupError>,
    ) {
        if self.state != GroupState::CompletingRebalance || self.generation != generation {
            return;
        }
        match result {
            Ok(()) => self.assign(cx, assignments),
            Err(error) => {
                self.reset_assignments(cx, error);
                self.prepare_rebalance(cx);
            }
        }
    }

    /// A member is alive.
    pub(super) fn heartbeat(
        &mut self,
        cx: &mut Context<'_>,
        heartbeat: &Heartbeat,
    ) -> Result<(), GroupError> {
        self.check(&heartbeat.member)?;
        if heartbeat.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        self.touch(cx, &heartbeat.member.member_id);
        match self.state {
            GroupState::Empty => Err(GroupError::UnknownMember),
            GroupState::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            GroupState::CompletingRebalance | GroupState::Stable => Ok(()),
        }
    }

    /// Members leave.
    pub(super) fn leave(&mut self, cx: &mut Context<'_>, leave: Leave) -> Vec<Left> {
        let mut left = Vec::with_capacity(leave.members.len());
        for leaving in leave.members {
            let result = self.leave_one(cx, &leaving);
            let (member_id, instance_id) = (leaving.member.member_id, leaving.member.instance_id);
            left.push(Left {
                member_id,
                instance_id,
                result,
            });
        }
        left
    }

    fn leave_one(&mut self, cx: &mut Context<'_>, leaving: &Leaving) -> Result<(), GroupError> {
        let mut member = leaving.member.clone();
        if let Some(instance) = member
            .instance_id
            .as_ref()
            .filter(|_| member.member_id.is_empty())
        {
            // An administrator removes a static member by its instance id alone.
            member.member_id = self
                .statics
                .get(instance)
                .cloned()
                .ok_or(GroupError::UnknownMember)?;
        } else if member.instance_id.is_none() && self.pending.remove(&member.member_id) {
            cx.timers
                .cancel(&Timer::Pending(cx.key.clone(), member.member_id));
            self.maybe_complete_join(cx);
            return Ok(());
        }
        self.check(&member)?;
        self.remove_and_rebalance(cx, &member.member_id);
        Ok(())
    }
}
