//! Consumer groups: their offsets, what they are doing, deleting them.

use crate::error::{group_status, of_group};
use crate::names::{name_of, resolve};
use bytes::{Buf, Bytes};
use millstream_access::Principal;
use millstream_broker::Broker;
use millstream_broker::interface::groups::{CommitOffsets, GroupError, MemberRef, OffsetToCommit};
use millstream_kafka_wire::messages::ConsumerProtocolAssignment;
use millstream_kafka_wire::{Message, Reader};
use millstream_model::{ConsumerGroupName, Offset};
use millstream_rpc::data::{
    CommitOffsetsRequest, CommitOffsetsResponse, CommittedOffset, DescribeGroupResponse, FetchOffsetsRequest,
    FetchOffsetsResponse, GroupMember, GroupSummary, ListGroupsResponse, Partition,
};
use std::collections::HashMap;
use tonic::Status;

/// A group's name out of a message.
pub(crate) fn group_name(text: &str) -> Result<ConsumerGroupName, Status> {
    text.parse()
        .map_err(|error| Status::invalid_argument(format!("{error}")))
}

pub(crate) async fn commit(
    broker: &Broker,
    who: &Principal,
    request: CommitOffsetsRequest,
) -> Result<CommitOffsetsResponse, Status> {
    let group = group_name(&request.group)?;
    let image = broker.image();
    let mut results = Vec::new();
    let mut offsets = Vec::new();
    for asked in request.offsets {
        match resolve(&image, who, asked.partition.as_ref()) {
            Ok(partition) => {
                let metadata = asked.metadata.clone();
                offsets.push(OffsetToCommit {
                    partition,
                    offset: Offset(asked.offset),
                    leader_epoch: -1,
                    metadata,
                });
                results.push((Some(partition), asked));
            }
            Err(error) => results.push((
                None,
                CommittedOffset {
                    error: Some(error),
                    ..asked
                },
            )),
        }
    }
    // Without a member and a generation it is a simple consumer's commit: refused while the group has members.
    let member = MemberRef {
        member_id: String::new(),
        instance_id: None,
    };
    let commit = CommitOffsets {
        member,
        generation: -1,
        retention_ms: None,
        offsets,
    };
    let answer = broker
        .groups()
        .commit_offsets(who, group, commit)
        .await
        .map_err(|cause| group_status(&cause))?;
    let outcome: HashMap<_, _> = answer.into_iter().collect();
    let results = results
        .into_iter()
        .map(|(partition, asked)| {
            let refused = partition.and_then(|id| match outcome.get(&id) {
                Some(Ok(())) => None,
                Some(Err(cause)) => Some(of_group(cause)),
                None => Some(of_group(&GroupError::NotAvailable)),
            });
            CommittedOffset {
                error: asked.error.clone().or(refused),
                ..asked
            }
        })
        .collect();
    Ok(CommitOffsetsResponse { results })
}

pub(crate) async fn fetch(
    broker: &Broker,
    who: &Principal,
    request: FetchOffsetsRequest,
) -> Result<FetchOffsetsResponse, Status> {
    let group = group_name(&request.group)?;
    let image = broker.image();
    let (mut ids, mut offsets) = (Vec::new(), Vec::new());
    let all = request.partitions.is_empty();
    for named in request.partitions {
        match resolve(&image, who, Some(&named)) {
            Ok(id) => ids.push((id, named)),
            Err(error) => offsets.push(CommittedOffset {
                partition: Some(named),
                offset: -1,
                error: Some(error),
                ..CommittedOffset::default()
            }),
        }
    }
    let asked: Vec<_> = ids.iter().map(|(id, _)| *id).collect();
    let asked = (!all).then_some(asked.as_slice());
    let found = broker
        .groups()
        .fetch_offsets(who, &group, asked)
        .map_err(|cause| group_status(&cause))?;
    let mut found: HashMap<_, _> = found.into_iter().collect();
    for (id, named) in ids {
        offsets.push(match found.remove(&id) {
            Some(it) => committed(named, it.offset.0, it.metadata),
            None => committed(named, -1, String::new()),
        });
    }
    if all {
        let mut rest: Vec<_> = found
            .into_iter()
            .filter_map(|(id, it)| {
                Some(committed(
                    name_of(&image, who.tenant, id)?,
                    it.offset.0,
                    it.metadata,
                ))
            })
            .collect();
        rest.sort_by(|left, right| place(left).cmp(&place(right)));
        offsets.extend(rest);
    }
    Ok(FetchOffsetsResponse { offsets })
}

fn committed(partition: Partition, offset: i64, metadata: String) -> CommittedOffset {
    CommittedOffset {
        partition: Some(partition),
        offset,
        metadata,
        error: None,
    }
}

fn place(it: &CommittedOffset) -> Option<(&str, u32)> {
    it.partition
        .as_ref()
        .map(|partition| (partition.topic.as_str(), partition.index))
}

pub(crate) fn list(broker: &Broker, who: &Principal) -> Result<ListGroupsResponse, Status> {
    let groups = broker.groups().list(who).map_err(|cause| group_status(&cause))?;
    let groups = groups
        .into_iter()
        .map(|it| GroupSummary {
            group: it.group.to_string(),
            state: it.state.to_string(),
            protocol_type: it.protocol_type,
        })
        .collect();
    Ok(ListGroupsResponse { groups })
}

pub(crate) fn describe(
    broker: &Broker,
    who: &Principal,
    name: &str,
) -> Result<DescribeGroupResponse, Status> {
    let group = group_name(name)?;
    let found = broker
        .groups()
        .describe(who, &group)
        .map_err(|cause| group_status(&cause))?;
    let found = found.ok_or_else(|| Status::not_found(format!("there is no consumer group '{group}'")))?;
    let members = found
        .members
        .into_iter()
        .map(|it| GroupMember {
            assignment: assignment(&it.assignment),
            member_id: it.member_id,
            instance_id: it.instance_id.unwrap_or_default(),
            client_id: it.client_id,
            client_host: it.client_host,
        })
        .collect();
    let summary = GroupSummary {
        group: group.to_string(),
        state: found.state.to_string(),
        protocol_type: found.protocol_type,
    };
    Ok(DescribeGroupResponse {
        group: Some(summary),
        protocol: found.protocol,
        members,
    })
}

/// The partitions of a consumer's assignment; none when it is not in the consumer protocol.
fn assignment(bytes: &Bytes) -> Vec<Partition> {
    let mut rest = bytes.clone();
    if rest.remaining() < 2 {
        return Vec::new();
    }
    let version = rest.get_i16().clamp(0, 3);
    let mut reader = Reader::new(rest);
    let Ok(found) = ConsumerProtocolAssignment::decode(&mut reader, version) else {
        return Vec::new();
    };
    found
        .assigned_partitions
        .into_iter()
        .flat_map(|topic| {
            let name = topic.topic;
            topic.partitions.into_iter().filter_map(move |index| {
                Some(Partition {
                    topic: name.to_string(),
                    index: u32::try_from(index).ok()?,
                })
            })
        })
        .collect()
}
