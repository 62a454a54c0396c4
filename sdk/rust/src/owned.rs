//! Partitions that one owner alone writes: taking one over, and appending in its name. For parts of the service.

use crate::client::Client;
use crate::error::Error;
use bytes::Bytes;
use millstream_model::OwnerEpoch;
use millstream_rpc::control::EnsureSqlChangelogRequest;
use millstream_rpc::data::{self, FencePartitionRequest, Partition, ProducePartition, ProduceRequest};
use std::time::Duration;

/// How long the service may wait until a batch is on every in-sync replica.
const APPEND_TIMEOUT: Duration = Duration::from_secs(30);

/// A partition that was taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owned {
    /// What appends have to carry.
    pub owner_epoch: OwnerEpoch,
    /// The first offset that is still there.
    pub log_start: i64,
    /// One past the last committed offset: whatever an earlier owner has got in, or will, lies below.
    pub high_watermark: i64,
}

impl Client {
    /// The topic that keeps the changelogs of the tenant's SQL shards, one partition each; made when it is not there.
    ///
    /// # Errors
    /// When the caller is not the service, or the call fails.
    pub async fn sql_changelog(&self) -> Result<String, Error> {
        let request = EnsureSqlChangelogRequest {};
        let response = self.sql_catalog().ensure_sql_changelog(request).await?;
        Ok(response.into_inner().topic)
    }

    /// Takes a partition over: no batch of an earlier owner is appended from here on.
    ///
    /// # Errors
    /// When the caller is not the service, the partition is unknown, or it is not known to be taken over: then the
    /// call can be repeated.
    pub async fn fence(&self, topic: &str, partition: u32) -> Result<Owned, Error> {
        let named = place(topic, partition);
        let request = FencePartitionRequest {
            partition: Some(named.clone()),
        };
        let response = self.data().fence_partition(request).await?.into_inner();
        match &response.error {
            Some(error) => Err(Error::partition(Some(&named), error)),
            None => Ok(Owned {
                owner_epoch: OwnerEpoch(response.owner_epoch),
                log_start: response.log_start_offset,
                high_watermark: response.high_watermark,
            }),
        }
    }

    /// Appends one record batch in an owner's name; answers its first offset once it is on every in-sync replica.
    ///
    /// # Errors
    /// `OWNER_FENCED` (not retriable) when another owner has taken over. After a retriable error the batch may be in
    /// the log all the same, or still get there: who must know takes the partition over again and reads.
    pub async fn append_owned(
        &self,
        topic: &str,
        partition: u32,
        owner_epoch: OwnerEpoch,
        batch: Bytes,
    ) -> Result<i64, Error> {
        let named = place(topic, partition);
        let request = ProduceRequest {
            partitions: vec![ProducePartition {
                partition: Some(named.clone()),
                batch,
                owner_epoch: owner_epoch.0,
            }],
            acks: data::Acks::All.into(),
            timeout_ms: u32::try_from(APPEND_TIMEOUT.as_millis()).unwrap_or(u32::MAX),
        };
        let response = self.data().produce(request).await?.into_inner();
        let result = response.results.into_iter().next();
        let result = result.ok_or_else(|| Error::Protocol("no result".into()))?;
        match &result.error {
            Some(error) => Err(Error::partition(Some(&named), error)),
            None => Ok(result.base_offset),
        }
    }
}

fn place(topic: &str, partition: u32) -> Partition {
    Partition {
        topic: topic.to_owned(),
        index: partition,
    }
}
