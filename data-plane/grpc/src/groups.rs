//! Consumer groups: their offsets, what they are doing, deleting them.

use crate::error::{error, status};
use crate::names::{name_of, resolve};
use bytes::{Buf, Bytes};
use millstream_access::Principal;
use millstream_broker::Broker;
use millstream_broker::interface::groups::{CommitOffsets, GroupError, MemberRef, OffsetToCommit};
use millstream_kafka_wire::messages::ConsumerProtocolAssignment;
use millstream_kafka_wire::{Message, Reader};
use millstream_model::limits::GRPC_MESSAGE_BYTES_MAX;
use millstream_model::{ConsumerGroupName, Kind, NameError, Offset, Problem, Retry};
use millstream_rpc::data::{
    CommitOffsetsRequest, CommitOffsetsResponse, CommittedOffset, DescribeGroupResponse, FetchOffsetsRequest,
    FetchOffsetsResponse, GroupMember, GroupSummary, ListGroupsResponse, Partition,
};
use std::collections::{BTreeSet, HashMap, HashSet};
use tonic::Status;

/// A partition in an answer takes so many bytes beside its topic's name, at most.
const PARTITION_BYTES: usize = 16;

/// A group's name out of a message.
pub(crate) fn group_name(text: &str) -> Result<ConsumerGroupName, Status> {
    text.parse().map_err(|error: NameError| {
        millstream_rpc::status::status(Problem {
            kind: Kind::InvalidGroupName,
            retry: Retry::Never,
            text: error.to_string(),
        })
    })
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
        .map_err(|cause| status(&cause))?;
    let outcome: HashMap<_, _> = answer.into_iter().collect();
    let results = results
        .into_iter()
        .map(|(partition, asked)| {
            let refused = partition.and_then(|id| match outcome.get(&id) {
                Some(Ok(())) => None,
                Some(Err(cause)) => Some(error(cause)),
                None => Some(error(&GroupError::NotAvailable)),
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
    // Each once: metadata is much longer than what asks for it.
    let asked: BTreeSet<_> = ids.iter().map(|(id, _)| *id).collect();
    let asked: Vec<_> = asked.into_iter().collect();
    let asked = (!all).then_some(asked.as_slice());
    let found = broker
        .groups()
        .fetch_offsets(who, &group, asked)
        .map_err(|cause| status(&cause))?;
    let mut found: HashMap<_, _> = found.into_iter().collect();
    let mut told = HashSet::new();
    for (id, named) in ids {
        if !told.insert(id) {
            continue;
        }
        offsets.push(match found.remove(&id) {
            Some(it) => committed(named, it.offset.0, it.metadata),
            None => committed(named, -1, String::new()),
        });
    }
    if all {
        let mut rest: Vec<_> = found
            .into_iter()
            .filter_map(|(id, it)| Some(committed(name_of(&image, who, id)?, it.offset.0, it.metadata)))
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
    let groups = broker.groups().list(who).map_err(|cause| status(&cause))?;
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
        .map_err(|cause| status(&cause))?;
    let found = found.ok_or_else(|| Status::not_found(format!("there is no consumer group '{group}'")))?;
    let mut left = GRPC_MESSAGE_BYTES_MAX;
    let mut members = Vec::with_capacity(found.members.len());
    for it in found.members {
        let assignment = assignment(&it.assignment, &mut left).ok_or_else(|| {
            Status::resource_exhausted(format!(
                "what the members of '{group}' are assigned is too much to tell"
            ))
        })?;
        members.push(GroupMember {
            assignment,
            member_id: it.member_id,
            instance_id: it.instance_id.unwrap_or_default(),
            client_id: it.client_id,
            client_host: it.client_host,
        });
    }
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

/// The partitions of a consumer's assignment; none when it is not in the consumer protocol. A client wrote it, and a
/// name stands in it once for any number of partitions: it may unfold to so many bytes.
fn assignment(bytes: &Bytes, left: &mut usize) -> Option<Vec<Partition>> {
    let mut rest = bytes.clone();
    if rest.remaining() < 2 {
        return Some(Vec::new());
    }
    let version = rest.get_i16().clamp(0, 3);
    let mut reader = Reader::new(rest);
    let Ok(found) = ConsumerProtocolAssignment::decode(&mut reader, version) else {
        return Some(Vec::new());
    };
    let mut partitions = Vec::new();
    for topic in found.assigned_partitions {
        for index in topic.partitions {
            let Ok(index) = u32::try_from(index) else { continue };
            *left = left.checked_sub(topic.topic.len() + PARTITION_BYTES)?;
            partitions.push(Partition {
                topic: topic.topic.to_string(),
                index,
            });
        }
    }
    Some(partitions)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::assignment;
    use bytes::{BufMut, Bytes, BytesMut};
    use millstream_model::limits::GRPC_MESSAGE_BYTES_MAX;

    fn assigned(name_bytes: usize, partitions: i32) -> Bytes {
        let mut bytes = BytesMut::new();
        bytes.put_i16(0);
        bytes.put_i32(1);
        bytes.put_i16(i16::try_from(name_bytes).unwrap());
        bytes.put_bytes(b'n', name_bytes);
        bytes.put_i32(partitions);
        (0..partitions).for_each(|index| bytes.put_i32(index));
        bytes.put_i32(-1);
        bytes.freeze()
    }

    #[test]
    fn a_name_that_stands_for_many_partitions_unfolds_within_bounds() {
        let mut left = GRPC_MESSAGE_BYTES_MAX;
        let few = assignment(&assigned(20, 3), &mut left).unwrap();
        assert_eq!(few.iter().map(|one| one.index).collect::<Vec<_>>(), [0, 1, 2]);
        // 400 KiB would be three gigabytes.
        assert_eq!(assignment(&assigned(32_000, 100_000), &mut left), None);
        assert_eq!(assignment(&Bytes::from_static(b"?"), &mut left), Some(Vec::new()));
    }
}
