//! Rebalancing: asking everybody to join again, waiting for them, the new generation.

use super::appends::Then;
use super::group::{Context, Group, offers};
use super::member::Member;
use super::timers::Timer;
use crate::error::GroupError;
use crate::reply::GroupState;
use std::collections::BTreeMap;

impl Group {
    /// Takes a member out and lets the others go on.
    pub(super) fn remove_and_rebalance(&mut self, cx: &mut Context<'_>, member_id: &str) {
        self.remove(cx, member_id, GroupError::UnknownMember);
        match self.state {
            GroupState::Stable | GroupState::CompletingRebalance => self.prepare_rebalance(cx),
            GroupState::PreparingRebalance => self.maybe_complete_join(cx),
            GroupState::Empty => {}
        }
    }

    /// Starts a rebalance, or completes the join phase of the one in progress.
    pub(super) fn rebalance_or_complete_join(&mut self, cx: &mut Context<'_>) {
        if self.state == GroupState::PreparingRebalance {
            self.maybe_complete_join(cx);
        } else {
            self.prepare_rebalance(cx);
        }
    }

    /// Asks every member to join again.
    pub(super) fn prepare_rebalance(&mut self, cx: &mut Context<'_>) {
        if self.state == GroupState::CompletingRebalance {
            self.reset_assignments(cx, GroupError::RebalanceInProgress);
        }
        cx.timers.cancel(&Timer::Sync(cx.key.clone()));
        self.pending_sync.clear();
        let initial = self.state == GroupState::Empty;
        self.state = GroupState::PreparingRebalance;
        if initial {
            let delay = cx.settings.initial_rebalance_delay_ms;
            self.initial_remaining_ms = Some(self.rebalance_timeout_ms().saturating_sub(delay));
            self.new_member_added = false;
            cx.timers.set(Timer::Join(cx.key.clone()), cx.now.ms + delay);
        } else if self.all_joined() {
            self.complete_join(cx);
        } else {
            cx.timers.set(
                Timer::Join(cx.key.clone()),
                cx.now.ms + self.rebalance_timeout_ms(),
            );
        }
    }

    /// Completes the join phase if nobody is missing; the first one of an empty group always waits its time.
    pub(super) fn maybe_complete_join(&mut self, cx: &mut Context<'_>) {
        let waits = self.initial_remaining_ms.is_some();
        if self.state == GroupState::PreparingRebalance && !waits && self.all_joined() {
            self.complete_join(cx);
        }
    }

    /// The join phase's time is up.
    pub(super) fn join_timer(&mut self, cx: &mut Context<'_>) {
        if self.state != GroupState::PreparingRebalance {
            return;
        }
        if let Some(remaining) = self.initial_remaining_ms
            && self.new_member_added
            && remaining > 0
        {
            let delay = cx.settings.initial_rebalance_delay_ms.min(remaining);
            self.new_member_added = false;
            self.initial_remaining_ms = Some(remaining - delay);
            cx.timers.set(Timer::Join(cx.key.clone()), cx.now.ms + delay);
            return;
        }
        self.complete_join(cx);
    }

    /// The sync phase's time is up: who has not synced is gone.
    pub(super) fn sync_timer(&mut self, cx: &mut Context<'_>) {
        if !matches!(self.state, GroupState::CompletingRebalance | GroupState::Stable) {
            return;
        }
        let missing = std::mem::take(&mut self.pending_sync);
        if missing.is_empty() {
            return;
        }
        for member_id in &missing {
            self.remove(cx, member_id, GroupError::UnknownMember);
        }
        self.prepare_rebalance(cx);
    }

    /// Ends the join phase: a new generation of those who joined.
    fn complete_join(&mut self, cx: &mut Context<'_>) {
        cx.timers.cancel(&Timer::Join(cx.key.clone()));
        self.initial_remaining_ms = None;
        let gone: Vec<String> = self
            .members
            .iter()
            .filter(|(_, member)| member.awaiting_join.is_none() && member.instance_id.is_none())
            .map(|(id, _)| id.clone())
            .collect();
        for member_id in &gone {
            self.remove(cx, member_id, GroupError::UnknownMember);
        }
        if !self.members.is_empty() && !self.elect_joined_leader() {
            // Only static members that did not come back: wait for them or for the end of their sessions.
            cx.timers.set(
                Timer::Join(cx.key.clone()),
                cx.now.ms + self.rebalance_timeout_ms(),
            );
            return;
        }
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            self.state = GroupState::Empty;
            self.protocol = None;
            self.leader = None;
            self.store(cx, Then::Nothing);
            return;
        }
        let leader = self.leader.as_ref();
        assert!(
            leader.is_some_and(|id| self.members.contains_key(id)),
            "bug: generation {} is led by nobody who is in it",
            self.generation
        );
        self.protocol = self.select_protocol();
        self.state = GroupState::CompletingRebalance;
        self.pending_sync = self.members.keys().cloned().collect();
        let ids: Vec<String> = self.members.keys().cloned().collect();
        for member_id in &ids {
            let joined = self.joined(member_id);
            self.answer_join(cx, member_id, Ok(joined));
        }
        cx.timers.set(
            Timer::Sync(cx.key.clone()),
            cx.now.ms + self.rebalance_timeout_ms(),
        );
    }

    /// The strategy that all support and most prefer; among equals the leader's order decides.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let everyone = |name: &str| self.members.values().all(|member| offers(member, name));
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some(vote) = member.protocols.iter().find(|protocol| everyone(&protocol.name)) {
                *votes.entry(&vote.name).or_default() += 1;
            }
        }
        let most = votes.values().copied().max()?;
        let leader = self.leader.as_ref().and_then(|id| self.members.get(id));
        let leaders = leader
            .map(|member| member.protocols.as_slice())
            .unwrap_or_default();
        leaders
            .iter()
            .map(|protocol| protocol.name.as_str())
            .find(|name| votes.get(name) == Some(&most))
            .map(str::to_owned)
    }

    /// The longest that a member wants to be waited for.
    fn rebalance_timeout_ms(&self) -> u64 {
        let longest = self
            .members
            .values()
            .map(|member| member.rebalance_timeout_ms)
            .max();
        u64::try_from(longest.unwrap_or(0)).unwrap_or(0)
    }

    fn all_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(|member| member.awaiting_join.is_some())
    }

    /// Keeps the leader if it joined, else takes the first member that did.
    fn elect_joined_leader(&mut self) -> bool {
        let joined = |member: &Member| member.awaiting_join.is_some();
        if self
            .leader
            .as_ref()
            .and_then(|id| self.members.get(id))
            .is_some_and(joined)
        {
            return true;
        }
        let Some(elected) = self
            .members
            .iter()
            .find(|(_, member)| joined(member))
            .map(|(id, _)| id.clone())
        else {
            return false;
        };
        self.leader = Some(elected);
        true
    }
}
