//! What is read without changing anything: committed offsets, lists, descriptions.

use super::Coordinator;
use super::group::Group;
use crate::command::GroupKey;
use crate::reply::{DescribedGroup, DescribedMember, GroupState, ListedGroup};
use crate::stored::{CommittedOffset, GroupMetadata};
use bytes::Bytes;
use millstream_model::{PartitionId, TenantId};
use std::collections::BTreeMap;

impl Coordinator {
    /// A group's committed offsets: of these partitions, or of all. Partitions without one are left out.
    pub fn fetch_offsets(
        &self,
        key: &GroupKey,
        partitions: Option<&[PartitionId]>,
    ) -> Vec<(PartitionId, CommittedOffset)> {
        let Some(group) = self.stored.group(key) else {
            return Vec::new();
        };
        match partitions {
            None => group
                .offsets
                .iter()
                .map(|(partition, offset)| (*partition, offset.clone()))
                .collect(),
            Some(partitions) => {
                let find =
                    |partition: &PartitionId| Some((*partition, group.offsets.get(partition)?.clone()));
                partitions.iter().filter_map(find).collect()
            }
        }
    }

    /// A tenant's groups.
    pub fn list(&self, tenant: TenantId) -> Vec<ListedGroup> {
        let mut found: BTreeMap<&GroupKey, (GroupState, &str)> = BTreeMap::new();
        for (key, stored) in self.stored.groups_of(tenant) {
            let metadata = stored.metadata.as_ref();
            let state = metadata.map_or(GroupState::Empty, stored_state);
            found.insert(
                key,
                (
                    state,
                    metadata.map_or("", |metadata| metadata.protocol_type.as_str()),
                ),
            );
        }
        let live = self
            .lead
            .iter()
            .flat_map(|lead| lead.groups.range(GroupKey::first(tenant)..));
        for (key, group) in live.take_while(|(key, _)| key.tenant == tenant) {
            found.insert(
                key,
                (group.state, group.protocol_type.as_deref().unwrap_or_default()),
            );
        }
        let listed = found
            .into_iter()
            .map(|(key, (state, protocol_type))| ListedGroup {
                group: key.group.clone(),
                state,
                protocol_type: protocol_type.to_owned(),
            });
        listed.collect()
    }

    /// One group; none when it does not exist.
    pub fn describe(&self, key: &GroupKey) -> Option<DescribedGroup> {
        if let Some(group) = self.lead.as_ref().and_then(|lead| lead.groups.get(key)) {
            return Some(describe(group));
        }
        let stored = self.stored.group(key)?;
        Some(describe(
            &stored.metadata.as_ref().map_or_else(Group::empty, Group::stored),
        ))
    }
}

fn stored_state(metadata: &GroupMetadata) -> GroupState {
    if metadata.members.is_empty() {
        GroupState::Empty
    } else {
        GroupState::Stable
    }
}

fn describe(group: &Group) -> DescribedGroup {
    let stable = group.state == GroupState::Stable;
    let protocol = group.protocol.as_deref().filter(|_| stable);
    let members = group.members.iter().map(|(id, member)| DescribedMember {
        member_id: id.clone(),
        instance_id: member.instance_id.clone(),
        client_id: member.client.id.clone(),
        client_host: member.client.host.clone(),
        metadata: member.metadata(protocol),
        assignment: if stable {
            member.assignment.clone()
        } else {
            Bytes::new()
        },
    });
    DescribedGroup {
        state: group.state,
        protocol_type: group.protocol_type.clone().unwrap_or_default(),
        protocol: protocol.unwrap_or_default().to_owned(),
        members: members.collect(),
    }
}
