//! Reading whole topics or chosen partitions, record by record, without a consumer group.

use crate::client::Client;
use crate::data::Position;
use crate::error::Error;
use crate::record::{ConsumedRecord, Header};
use bytes::Bytes;
use millstream_kafka_wire::batch::{Record as StoredRecord, batches};
use std::collections::VecDeque;
use std::time::Duration;

/// Where reading begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the first record that is still there.
    Earliest,
    /// Behind the last one.
    Latest,
    /// At the first record at or after this time, ms since 1970.
    Timestamp(i64),
    /// At these offsets, one per partition, in the settings' order.
    Offsets(Vec<i64>),
}

/// What a consumer reads.
#[derive(Clone, Debug)]
pub struct ConsumerSettings {
    /// The topic.
    pub topic: String,
    /// The partitions; all of them when empty.
    pub partitions: Vec<u32>,
    /// Where it begins.
    pub start: Start,
    /// Bytes fetched from one partition at a time.
    pub fetch_bytes: usize,
    /// How long one fetch waits for records.
    pub wait: Duration,
}

impl ConsumerSettings {
    /// All partitions of `topic` from `start`.
    pub fn new(topic: impl Into<String>, start: Start) -> ConsumerSettings {
        ConsumerSettings {
            topic: topic.into(),
            partitions: Vec::new(),
            start,
            fetch_bytes: 1024 * 1024,
            wait: Duration::from_millis(500),
        }
    }
}

/// Reads records in order within each partition.
pub struct Consumer {
    client: Client,
    settings: ConsumerSettings,
    /// `(topic, partition, next offset)`; empty until the first read.
    positions: Vec<(String, u32, i64)>,
    ready: VecDeque<ConsumedRecord>,
    /// What went wrong with a partition while others brought records: told once those are taken.
    failed: Option<Error>,
}

impl Client {
    /// A reader of whole topics or chosen partitions, without a consumer group.
    pub fn consumer(&self, settings: ConsumerSettings) -> Consumer {
        Consumer::new(self.clone(), settings)
    }
}

impl Consumer {
    pub(crate) fn new(client: Client, settings: ConsumerSettings) -> Consumer {
        Consumer {
            client,
            settings,
            positions: Vec::new(),
            ready: VecDeque::new(),
            failed: None,
        }
    }

    /// The next record; waits for one.
    ///
    /// # Errors
    /// When the topic is unknown, an offset is out of range, or the service cannot answer (then call again).
    pub async fn next(&mut self) -> Result<ConsumedRecord, Error> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Ok(record);
            }
            self.ready = self.poll().await?.into();
        }
    }

    /// What is there now, after waiting up to the settings' `wait`; possibly nothing. What other partitions bring beside
    /// one that fails comes first, then the error: reading goes on behind what was returned.
    ///
    /// # Errors
    /// As [`Consumer::next`].
    pub async fn poll(&mut self) -> Result<Vec<ConsumedRecord>, Error> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        self.find_start().await?;
        let fetched = self
            .client
            .fetch(&self.positions, self.settings.fetch_bytes, self.settings.wait)
            .await?;
        let mut records = Vec::new();
        for (part, position) in fetched.into_iter().zip(&mut self.positions) {
            let had = records.len();
            let next = match part.error {
                Some(error) => Err(error),
                None => read(
                    &part.topic,
                    part.partition,
                    position.2,
                    part.records,
                    &mut records,
                ),
            };
            match next {
                Ok(next) => position.2 = next,
                Err(error) => {
                    // Of a batch that does not read nothing counts: its place is read again.
                    records.truncate(had);
                    self.failed.get_or_insert(error);
                }
            }
        }
        match self.failed.take_if(|_| records.is_empty()) {
            Some(error) => Err(error),
            None => Ok(records),
        }
    }

    /// The next offset of each partition, as `(partition, offset)`; empty before the first read.
    pub fn positions(&self) -> impl Iterator<Item = (u32, i64)> + '_ {
        self.positions
            .iter()
            .map(|(_, partition, offset)| (*partition, *offset))
    }

    async fn find_start(&mut self) -> Result<(), Error> {
        if !self.positions.is_empty() {
            return Ok(());
        }
        let topic = &self.settings.topic;
        let partitions = if self.settings.partitions.is_empty() {
            (0..self.client.admin().get_topic(topic).await?.partitions).collect()
        } else {
            self.settings.partitions.clone()
        };
        let offsets = match &self.settings.start {
            Start::Earliest => {
                self.client
                    .list_offsets(topic, &partitions, Position::Earliest)
                    .await?
            }
            Start::Latest => {
                self.client
                    .list_offsets(topic, &partitions, Position::Latest)
                    .await?
            }
            Start::Timestamp(at) => {
                let mut found = self
                    .client
                    .list_offsets(topic, &partitions, Position::AtOrAfter(*at))
                    .await?;
                let ends = self
                    .client
                    .list_offsets(topic, &partitions, Position::Latest)
                    .await?;
                for (offset, end) in found.iter_mut().zip(ends) {
                    if *offset < 0 {
                        *offset = end;
                    }
                }
                found
            }
            Start::Offsets(offsets) if offsets.len() == partitions.len() => offsets.clone(),
            Start::Offsets(offsets) => {
                return Err(Error::Invalid(format!(
                    "{} start offsets for {} partitions",
                    offsets.len(),
                    partitions.len()
                )));
            }
        };
        self.positions = partitions
            .into_iter()
            .zip(offsets)
            .map(|(index, offset)| (topic.clone(), index, offset))
            .collect();
        Ok(())
    }
}

/// Appends the records of whole batches from `offset` on; answers the next offset.
fn read(
    topic: &str,
    partition: u32,
    offset: i64,
    records: Bytes,
    out: &mut Vec<ConsumedRecord>,
) -> Result<i64, Error> {
    let unreadable =
        |error: &dyn std::fmt::Display| Error::Protocol(format!("{topic}-{partition} at {offset}: {error}"));
    let mut next = offset;
    for batch in batches(records) {
        let batch = batch.map_err(|error| unreadable(&error))?;
        batch.check().map_err(|error| unreadable(&error))?;
        next = next.max(batch.header().next_offset().0);
        if batch.header().attributes.is_control() {
            continue;
        }
        let set = batch.records().map_err(|error| unreadable(&error))?;
        for record in set.shared() {
            let record = record.map_err(|error| unreadable(&error))?;
            if record.offset.0 < offset {
                continue;
            }
            out.push(ConsumedRecord {
                topic: topic.to_owned(),
                partition,
                offset: record.offset.0,
                timestamp_ms: record.timestamp.0,
                headers: headers(&record),
                key: record.key,
                value: record.value,
            });
        }
    }
    Ok(next)
}

fn headers(record: &StoredRecord) -> Vec<Header> {
    record
        .headers()
        .map(|it| Header {
            name: it.name().into_owned(),
            value: it.value.map(Bytes::copy_from_slice),
        })
        .collect()
}
