//! Committing and deleting offsets, deleting groups, and what grows too old.

use super::appends::Then;
use super::group::{Context, Group};
use crate::GroupKey;
use crate::command::{CommitOffsets, DeleteOffsets, Settings};
use crate::error::GroupError;
use crate::fact::Fact;
use crate::groups::StoredGroup;
use crate::ledger::Token;
use crate::reply::GroupState;
use crate::request::Reply;
use crate::stored::{CommittedOffset, GroupMetadata};
use bytes::{Buf, Bytes};
use millstream_model::limits::OFFSET_METADATA_BYTES_MAX;
use millstream_model::{PartitionId, TimestampMs, TopicName};
use std::collections::BTreeSet;

impl Group {
    /// Takes a commit; answers when it is durable.
    pub(super) fn commit_offsets(&mut self, cx: &mut Context<'_>, token: Token, commit: CommitOffsets) {
        if let Err(refusal) = self.check_commit(&commit) {
            cx.answer(token, Err(refusal));
            return;
        }
        if commit.generation >= 0 {
            self.touch(cx, &commit.member.member_id);
        }
        let expires = commit
            .retention_ms
            .map(|keep| TimestampMs(cx.now.time.0.saturating_add(keep)));
        let mut results = Vec::with_capacity(commit.offsets.len());
        let mut facts = Vec::new();
        let mut partitions = Vec::new();
        for offset in commit.offsets {
            if offset.metadata.len() > OFFSET_METADATA_BYTES_MAX {
                let max = OFFSET_METADATA_BYTES_MAX;
                results.push((offset.partition, Err(GroupError::MetadataTooLarge { max })));
                continue;
            }
            let committed = CommittedOffset {
                offset: offset.offset,
                leader_epoch: offset.leader_epoch,
                metadata: offset.metadata,
                time: cx.now.time,
                expires,
            };
            facts.push(Fact::Offset(cx.key.clone(), offset.partition, Some(committed)));
            partitions.push(offset.partition);
            results.push((offset.partition, Ok(())));
        }
        let done = Reply::CommitOffsets(results);
        if facts.is_empty() {
            cx.answer(token, Ok(done));
            return;
        }
        for partition in &partitions {
            *self.offsets_in_flight.entry(*partition).or_default() += 1;
        }
        let then = Then::Offsets {
            token,
            done,
            partitions,
        };
        self.in_flight += cx.appends.append(cx.key, facts, then, cx.out);
    }

    /// Kafka's rules for who may commit.
    fn check_commit(&self, commit: &CommitOffsets) -> Result<(), GroupError> {
        let anonymous = commit.member.member_id.is_empty() && commit.member.instance_id.is_none();
        if commit.generation < 0 && self.state == GroupState::Empty {
            return Ok(());
        }
        if commit.generation < 0 && anonymous {
            // The group has members, and this is none of them.
            return Err(GroupError::UnknownMember);
        }
        self.check(&commit.member)?;
        if commit.generation != self.generation {
            return Err(GroupError::IllegalGeneration);
        }
        if self.state == GroupState::CompletingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    /// A commit is decided: its partitions are no longer in flight.
    pub(super) fn offsets_decided(&mut self, partitions: &[PartitionId]) {
        for partition in partitions {
            if let Some(count) = self.offsets_in_flight.get_mut(partition) {
                *count -= 1;
                if *count == 0 {
                    self.offsets_in_flight.remove(partition);
                }
            }
        }
    }

    /// Deletes the group, which must have no members.
    pub(super) fn delete(&mut self, cx: &mut Context<'_>, token: Token, stored: Option<&StoredGroup>) {
        if self.state != GroupState::Empty || !self.pending.is_empty() {
            cx.answer(token, Err(GroupError::NonEmptyGroup));
            return;
        }
        let offsets: BTreeSet<PartitionId> = self.known_offsets(stored).collect();
        let mut facts: Vec<Fact> = offsets
            .into_iter()
            .map(|partition| Fact::Offset(cx.key.clone(), partition, None))
            .collect();
        facts.push(Fact::Group(cx.key.clone(), None));
        let done = Reply::DeleteGroup(());
        self.in_flight += cx
            .appends
            .append(cx.key, facts, Then::Answer { token, done }, cx.out);
    }

    /// Deletes offsets of topics that no member subscribes to.
    pub(super) fn delete_offsets(
        &mut self,
        cx: &mut Context<'_>,
        token: Token,
        delete: DeleteOffsets,
        stored: Option<&StoredGroup>,
    ) {
        let consumers = self.protocol_type.as_deref() == Some("consumer");
        if !self.members.is_empty() && !consumers {
            cx.answer(token, Err(GroupError::NonEmptyGroup));
            return;
        }
        let known: BTreeSet<PartitionId> = self.known_offsets(stored).collect();
        let mut facts: Vec<Fact> = Vec::new();
        let mut deleted = BTreeSet::new();
        let mut results = Vec::with_capacity(delete.offsets.len());
        for (topic, partition) in delete.offsets {
            if self.subscribes(&topic) {
                results.push((partition, Err(GroupError::SubscribedToTopic)));
                continue;
            }
            if known.contains(&partition) && deleted.insert(partition) {
                facts.push(Fact::Offset(cx.key.clone(), partition, None));
            }
            results.push((partition, Ok(())));
        }
        let done = Reply::DeleteOffsets(results);
        if facts.is_empty() {
            cx.answer(token, Ok(done));
            return;
        }
        let is_last = facts.len() == known.len();
        if is_last && self.members.is_empty() && stored.is_none_or(|group| group.metadata.is_none()) {
            facts.insert(0, emptied(cx.key, cx.now.time));
        }
        self.in_flight += cx
            .appends
            .append(cx.key, facts, Then::Answer { token, done }, cx.out);
    }

    fn known_offsets<'a>(
        &'a self,
        stored: Option<&'a StoredGroup>,
    ) -> impl Iterator<Item = PartitionId> + 'a {
        let stored = stored.into_iter().flat_map(|group| group.offsets.keys().copied());
        stored.chain(self.offsets_in_flight.keys().copied())
    }

    /// Whether a member reads the topic, as far as its subscription can be read; one that cannot be read may.
    fn subscribes(&self, topic: &TopicName) -> bool {
        self.members.values().any(|member| {
            let metadata = match &self.protocol {
                Some(protocol) => member.metadata(Some(protocol)),
                None => member
                    .protocols
                    .first()
                    .map(|first| first.metadata.clone())
                    .unwrap_or_default(),
            };
            subscribed(metadata).is_none_or(|topics| topics.contains(topic.as_str()))
        })
    }
}

/// The topics in a consumer's subscription (`ConsumerProtocolSubscription`: version, topics, more).
fn subscribed(mut metadata: Bytes) -> Option<BTreeSet<String>> {
    metadata.try_get_i16().ok()?;
    let mut topics = BTreeSet::new();
    for _ in 0..metadata.try_get_i32().ok()? {
        let length = usize::try_from(metadata.try_get_i16().ok()?).ok()?;
        if metadata.len() < length {
            return None;
        }
        topics.insert(String::from_utf8(metadata.split_to(length).into()).ok()?);
    }
    Some(topics)
}

/// That a group is there, without members and offsets: one that only ever committed offsets would be gone with the last
/// of them. As in Kafka, it goes when retention next looks at it.
pub(super) fn emptied(key: &GroupKey, time: TimestampMs) -> Fact {
    let metadata = GroupMetadata {
        time,
        ..GroupMetadata::default()
    };
    Fact::Group(key.clone(), Some(metadata))
}

/// What of an empty group has grown too old: its offsets, and itself once it has none.
pub(super) fn expired(
    key: &GroupKey,
    group: &StoredGroup,
    now: TimestampMs,
    settings: &Settings,
) -> Vec<Fact> {
    let empty_since = group
        .metadata
        .as_ref()
        .filter(|metadata| !metadata.protocol_type.is_empty())
        .map(|m| m.time);
    let is_over = |offset: &CommittedOffset| {
        // A group that had members keeps its offsets from when it became empty (KIP-211).
        let since = empty_since.unwrap_or(offset.time).max(offset.time);
        let until = offset
            .expires
            .unwrap_or(TimestampMs(since.0.saturating_add(settings.offsets_retention_ms)));
        until <= now
    };
    let over: Vec<PartitionId> = group
        .offsets
        .iter()
        .filter(|(_, offset)| is_over(offset))
        .map(|(partition, _)| *partition)
        .collect();
    let all = over.len() == group.offsets.len();
    let mut facts: Vec<Fact> = over
        .into_iter()
        .map(|partition| Fact::Offset(key.clone(), partition, None))
        .collect();
    if all && group.metadata.is_some() {
        facts.push(Fact::Group(key.clone(), None));
    }
    facts
}
