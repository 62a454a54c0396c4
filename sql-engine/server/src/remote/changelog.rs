//! A shard's changelog: one partition of the tenant's internal topic, appended to in the owner's name.

use super::{patiently, unreadable};
use async_trait::async_trait;
use bytes::Bytes;
use millstream_kafka_wire::batch::{BatchBuilder, Compression, NewRecord, batches};
use millstream_model::{Offset, OwnerEpoch, TimestampMs};
use millstream_runtime::{Changelog, ChangelogError, ChangelogPart, Fence};
use millstream_rust::{Client, Error};
use std::sync::OnceLock;
use std::time::Duration;

/// Bytes read at a time: some pieces.
const READ_BYTES: usize = 4 * 1024 * 1024;

/// How long an append may take: a little longer than the service waits, so that its own answer comes first.
const APPEND_MAX: Duration = Duration::from_secs(35);

/// The code of an append in the name of an owner that is not it any more.
const OWNER_FENCED: &str = "OWNER_FENCED";

/// Over the tenant's client.
pub(super) struct RemoteChangelog {
    client: Client,
    partition: u32,
    /// The topic, once it is known to be there.
    topic: OnceLock<String>,
}

fn failed(error: Error) -> ChangelogError {
    match &error {
        Error::Partition { code, .. } if code == OWNER_FENCED => ChangelogError::Fenced,
        Error::Partition { code, .. } if code == "CORRUPT_MESSAGE" => ChangelogError::Damaged {
            reason: error.to_string(),
        },
        _ => ChangelogError::Unavailable {
            reason: error.to_string(),
        },
    }
}

impl RemoteChangelog {
    pub(super) fn new(client: Client, partition: u32) -> Self {
        Self {
            client,
            partition,
            topic: OnceLock::new(),
        }
    }

    async fn topic(&self) -> Result<&str, ChangelogError> {
        if let Some(topic) = self.topic.get() {
            return Ok(topic);
        }
        let made = patiently(|| Box::pin(self.client.sql_changelog())).await;
        let made = made.map_err(failed)?;
        Ok(self.topic.get_or_init(|| made))
    }
}

/// One record, compressed: deltas of one kind are much alike.
fn batch_of(piece: &[u8]) -> Result<Bytes, ChangelogError> {
    let mut builder = BatchBuilder::new().compression(Compression::Zstd);
    let record = NewRecord {
        timestamp: TimestampMs::now(),
        value: Some(piece),
        ..NewRecord::default()
    };
    let built = builder.push(record).and_then(|_| builder.build());
    built.map_err(|error| ChangelogError::Unavailable {
        reason: format!("a piece does not fit into a batch: {error}"),
    })
}

#[async_trait]
impl Changelog for RemoteChangelog {
    async fn fence(&self) -> Result<Fence, ChangelogError> {
        let topic = self.topic().await?;
        let owned = patiently(|| Box::pin(self.client.fence(topic, self.partition))).await;
        let owned = owned.map_err(failed)?;
        Ok(Fence {
            epoch: owned.owner_epoch,
            start: Offset(owned.log_start),
            end: Offset(owned.high_watermark),
        })
    }

    async fn append(&self, epoch: OwnerEpoch, piece: Bytes) -> Result<Offset, ChangelogError> {
        let topic = self.topic().await?;
        let batch = batch_of(&piece)?;
        // Not tried again here: whoever asked repeats it when it is time, and answers others meanwhile.
        let append = self.client.append_owned(topic, self.partition, epoch, batch);
        match tokio::time::timeout(APPEND_MAX, append).await {
            Ok(appended) => appended.map(Offset).map_err(failed),
            Err(_) => Err(failed(Error::Timeout("an append was not answered".into()))),
        }
    }

    async fn read(&self, from: Offset) -> Result<ChangelogPart, ChangelogError> {
        let asked = [(self.topic().await?.to_owned(), self.partition, from.0)];
        let fetched = self.client.fetch(&asked, READ_BYTES, Duration::ZERO).await;
        let part = fetched.map_err(failed)?.into_iter().next();
        let part = part.ok_or_else(|| failed(Error::Protocol("no result".into())))?;
        if let Some(error) = part.error {
            return Err(failed(error));
        }
        let (mut pieces, mut next) = (Vec::new(), from);
        let damaged = |error: &dyn std::fmt::Display| ChangelogError::Unavailable {
            reason: unreadable("changelog", self.partition, from, error),
        };
        for batch in batches(part.records) {
            let batch = batch.map_err(|error| damaged(&error))?;
            next = next.max(batch.header().next_offset());
            let set = batch.records().map_err(|error| damaged(&error))?;
            for record in set.shared() {
                let record = record.map_err(|error| damaged(&error))?;
                if record.offset >= from {
                    pieces.extend(record.value);
                }
            }
        }
        Ok(ChangelogPart { pieces, next })
    }

    async fn trim(&self, before: Offset) -> Result<(), ChangelogError> {
        let topic = self.topic().await?;
        let trimmed = self.client.delete_records(topic, self.partition, before.0).await;
        trimmed.map(|_| ()).map_err(failed)
    }
}
