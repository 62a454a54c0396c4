//! The table of APIs: what is served, in which versions, by whom. Dispatch and ApiVersions both come from it.

pub(crate) mod api_versions;
mod authorized;
mod configs;
mod consumer_group_heartbeat;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_cluster;
mod describe_configs;
mod describe_groups;
mod fetch;
mod find_coordinator;
mod heartbeat;
mod incremental_alter_configs;
mod init_producer_id;
mod join_group;
mod leave_group;
mod list_groups;
mod list_offsets;
mod metadata;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod produce;
pub(crate) mod sasl;
mod sync_group;

use crate::connection::{Answer, End};
use crate::session::Call;
use futures::future::BoxFuture;
use millstream_kafka_wire::frame::RequestFrame;
use millstream_kafka_wire::{ApiKey, Request};
use std::future::Future;
use std::ops::RangeInclusive;
use tracing::Instrument;

/// Answers one kind of request.
pub(crate) trait Handler {
    /// What it answers.
    type Request: Request + Send;

    /// The answer; errors are in it.
    fn handle(
        call: &Call,
        request: Self::Request,
    ) -> impl Future<Output = <Self::Request as Request>::Response> + Send;
}

type Run = fn(Call, RequestFrame) -> BoxFuture<'static, Result<Answer, End>>;

/// One API as it is served.
pub(crate) struct Api {
    pub(crate) key: ApiKey,
    /// The least version, where it is not the codec's.
    from: i16,
    run: Run,
}

/// Everything that is served, by number.
pub(crate) const TABLE: &[Api] = &[
    Api {
        key: ApiKey::Produce,
        from: 0,
        run: produce::run,
    },
    // Fetches below version 4 want message formats that no record here has.
    Api {
        key: ApiKey::Fetch,
        from: 4,
        run: run::<fetch::Fetch>,
    },
    Api {
        key: ApiKey::ListOffsets,
        from: 0,
        run: run::<list_offsets::ListOffsets>,
    },
    Api {
        key: ApiKey::Metadata,
        from: 0,
        run: run::<metadata::Metadata>,
    },
    Api {
        key: ApiKey::OffsetCommit,
        from: 0,
        run: run::<offset_commit::OffsetCommit>,
    },
    Api {
        key: ApiKey::OffsetFetch,
        from: 0,
        run: run::<offset_fetch::OffsetFetch>,
    },
    Api {
        key: ApiKey::FindCoordinator,
        from: 0,
        run: run::<find_coordinator::FindCoordinator>,
    },
    Api {
        key: ApiKey::JoinGroup,
        from: 0,
        run: run::<join_group::JoinGroup>,
    },
    Api {
        key: ApiKey::Heartbeat,
        from: 0,
        run: run::<heartbeat::Heartbeat>,
    },
    Api {
        key: ApiKey::LeaveGroup,
        from: 0,
        run: run::<leave_group::LeaveGroup>,
    },
    Api {
        key: ApiKey::SyncGroup,
        from: 0,
        run: run::<sync_group::SyncGroup>,
    },
    Api {
        key: ApiKey::DescribeGroups,
        from: 0,
        run: run::<describe_groups::DescribeGroups>,
    },
    Api {
        key: ApiKey::ListGroups,
        from: 0,
        run: run::<list_groups::ListGroups>,
    },
    Api {
        key: ApiKey::SaslHandshake,
        from: 0,
        run: run::<sasl::LateHandshake>,
    },
    Api {
        key: ApiKey::ApiVersions,
        from: 0,
        run: api_versions::run,
    },
    Api {
        key: ApiKey::CreateTopics,
        from: 0,
        run: run::<create_topics::CreateTopics>,
    },
    Api {
        key: ApiKey::DeleteTopics,
        from: 0,
        run: run::<delete_topics::DeleteTopics>,
    },
    Api {
        key: ApiKey::DeleteRecords,
        from: 0,
        run: run::<delete_records::DeleteRecords>,
    },
    Api {
        key: ApiKey::InitProducerId,
        from: 0,
        run: run::<init_producer_id::InitProducerId>,
    },
    Api {
        key: ApiKey::OffsetForLeaderEpoch,
        from: 0,
        run: run::<offset_for_leader_epoch::OffsetForLeaderEpoch>,
    },
    Api {
        key: ApiKey::DescribeConfigs,
        from: 0,
        run: run::<describe_configs::DescribeConfigs>,
    },
    Api {
        key: ApiKey::SaslAuthenticate,
        from: 0,
        run: run::<sasl::LateAuthenticate>,
    },
    Api {
        key: ApiKey::CreatePartitions,
        from: 0,
        run: run::<create_partitions::CreatePartitions>,
    },
    Api {
        key: ApiKey::DeleteGroups,
        from: 0,
        run: run::<delete_groups::DeleteGroups>,
    },
    Api {
        key: ApiKey::IncrementalAlterConfigs,
        from: 0,
        run: run::<incremental_alter_configs::IncrementalAlterConfigs>,
    },
    Api {
        key: ApiKey::OffsetDelete,
        from: 0,
        run: run::<offset_delete::OffsetDelete>,
    },
    Api {
        key: ApiKey::DescribeCluster,
        from: 0,
        run: run::<describe_cluster::DescribeCluster>,
    },
    Api {
        key: ApiKey::ConsumerGroupHeartbeat,
        from: 0,
        run: run::<consumer_group_heartbeat::ConsumerGroupHeartbeat>,
    },
];

impl Api {
    /// The versions that are served.
    pub(crate) fn versions(&self) -> RangeInclusive<i16> {
        let known = self.key.versions();
        self.from.max(*known.start())..=*known.end()
    }
}

/// Begins a request; what it returns is its answer, or what the answer will be.
pub(crate) async fn handle(call: Call, request: RequestFrame) -> Result<Answer, End> {
    let api = find(&request)?;
    let span = tracing::debug_span!(
        "kafka", api = request.key.name(), version = request.version, tenant = %call.who().tenant
    );
    (api.run)(call, request).instrument(span).await
}

/// The API that serves the request; ApiVersions answers any version of itself.
pub(crate) fn find(request: &RequestFrame) -> Result<&'static Api, End> {
    let api = TABLE
        .iter()
        .find(|api| api.key == request.key)
        .ok_or(End::NotServed { api: request.key })?;
    if api.versions().contains(&request.version) || api.key == ApiKey::ApiVersions {
        return Ok(api);
    }
    Err(End::Version {
        api: request.key,
        version: request.version,
    })
}

/// Decodes, handles, encodes.
fn run<H: Handler>(mut call: Call, request: RequestFrame) -> BoxFuture<'static, Result<Answer, End>> {
    Box::pin(async move {
        let message: H::Request = unfolded(&mut call, &request).await?;
        let response = H::handle(&call, message).await;
        Ok(Answer::Now {
            frame: request.answer(&response)?,
            throttle: call.muted(),
        })
    })
}

/// Reads a request's message, and takes room for what it unfolds to: a frame of tiny elements becomes many times its
/// size. Who finds none forgets the message, waits, and reads it again.
pub(crate) async fn unfolded<R: Request>(call: &mut Call, request: &RequestFrame) -> Result<R, End> {
    let bytes = match unfold(call, request)? {
        Ok(message) => return Ok(message),
        Err(bytes) => bytes,
    };
    call.unfold(bytes).await?;
    message(request)
}

/// The message, or the room that it needs and does not have.
fn unfold<R: Request>(call: &mut Call, request: &RequestFrame) -> Result<Result<R, usize>, End> {
    let mut body = request.body.clone();
    let message = R::decode(&mut body, request.version)?;
    let bytes = body.unfolded();
    Ok(if call.unfold_at_once(bytes) {
        Ok(message)
    } else {
        Err(bytes)
    })
}

/// Reads a request's message. Bytes behind it are passed over, as Kafka does: librdkafka sends some behind a Metadata
/// request for all topics.
pub(crate) fn message<R: Request>(request: &RequestFrame) -> Result<R, End> {
    Ok(R::decode(&mut request.body.clone(), request.version)?)
}
