//! Single calls to the data door: fetch, offsets, trimming. Whole record batches, many partitions each way.

use crate::client::Client;
use crate::error::Error;
use bytes::Bytes;
use millstream_rpc::data::{
    DeleteRecordsPartition, DeleteRecordsRequest, FetchPartition, FetchRequest, FetchResult, Isolation,
    ListOffsetsPartition, ListOffsetsRequest, Partition, list_offsets_partition,
};
use std::time::Duration;

/// Where in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// The log start.
    Earliest,
    /// The high watermark.
    Latest,
    /// The first record at or after this time, ms since 1970.
    AtOrAfter(i64),
}

/// What a fetch found in one partition.
#[derive(Clone, Debug)]
pub struct FetchedPartition {
    /// Its topic.
    pub topic: String,
    /// Its index.
    pub partition: u32,
    /// One past the last committed record.
    pub high_watermark: i64,
    /// The first record that is still there.
    pub log_start: i64,
    /// Whole batches, concatenated; the first may begin below the offset asked for.
    pub records: Bytes,
    /// What went wrong with this partition.
    pub error: Option<Error>,
}

impl From<FetchResult> for FetchedPartition {
    fn from(result: FetchResult) -> Self {
        let error = result
            .error
            .as_ref()
            .map(|error| Error::partition(result.partition.as_ref(), error));
        let partition = result.partition.unwrap_or_default();
        FetchedPartition {
            topic: partition.topic,
            partition: partition.index,
            high_watermark: result.high_watermark,
            log_start: result.log_start_offset,
            records: result.records,
            error,
        }
    }
}

impl Client {
    /// Reads batches of `(topic, partition, offset)`; waits up to `wait` for the first bytes.
    ///
    /// # Errors
    /// When the call as a whole fails; a partition's own failure is in its result.
    pub async fn fetch(
        &self,
        partitions: &[(String, u32, i64)],
        bytes_max_each: usize,
        wait: Duration,
    ) -> Result<Vec<FetchedPartition>, Error> {
        let request = FetchRequest {
            partitions: partitions
                .iter()
                .map(|(topic, index, offset)| FetchPartition {
                    partition: Some(Partition {
                        topic: topic.clone(),
                        index: *index,
                    }),
                    offset: *offset,
                    bytes_max: u32::try_from(bytes_max_each).unwrap_or(u32::MAX),
                })
                .collect(),
            bytes_min: u32::from(!wait.is_zero()),
            bytes_max: 0,
            wait_ms: u32::try_from(wait.as_millis()).unwrap_or(u32::MAX),
            isolation: Isolation::ReadCommitted.into(),
        };
        let response = self.data().fetch(request).await?.into_inner();
        Ok(response.results.into_iter().map(FetchedPartition::from).collect())
    }

    /// The offset of `position` in each partition of `topic`, in the order asked.
    ///
    /// # Errors
    /// When the call or one of its partitions fails.
    pub async fn list_offsets(
        &self,
        topic: &str,
        partitions: &[u32],
        position: Position,
    ) -> Result<Vec<i64>, Error> {
        let position = match position {
            Position::Earliest => list_offsets_partition::Position::Earliest(true),
            Position::Latest => list_offsets_partition::Position::Latest(true),
            Position::AtOrAfter(timestamp_ms) => list_offsets_partition::Position::TimestampMs(timestamp_ms),
        };
        let request = ListOffsetsRequest {
            partitions: partitions
                .iter()
                .map(|index| ListOffsetsPartition {
                    partition: Some(Partition {
                        topic: topic.to_owned(),
                        index: *index,
                    }),
                    position: Some(position),
                })
                .collect(),
            isolation: Isolation::ReadCommitted.into(),
        };
        let response = self.data().list_offsets(request).await?.into_inner();
        response
            .results
            .into_iter()
            .map(|result| match &result.error {
                Some(error) => Err(Error::partition(result.partition.as_ref(), error)),
                None => Ok(result.offset),
            })
            .collect()
    }

    /// Forgets every record of a partition below `before_offset` and answers the new log start.
    ///
    /// # Errors
    /// When the offset lies beyond the high watermark, or the call fails.
    pub async fn delete_records(
        &self,
        topic: &str,
        partition: u32,
        before_offset: i64,
    ) -> Result<i64, Error> {
        let request = DeleteRecordsRequest {
            partitions: vec![DeleteRecordsPartition {
                partition: Some(Partition {
                    topic: topic.to_owned(),
                    index: partition,
                }),
                before_offset,
            }],
        };
        let response = self.data().delete_records(request).await?.into_inner();
        let result = response
            .results
            .first()
            .ok_or_else(|| Error::Protocol("no result".into()))?;
        match &result.error {
            Some(error) => Err(Error::partition(result.partition.as_ref(), error)),
            None => Ok(result.log_start_offset),
        }
    }
}
