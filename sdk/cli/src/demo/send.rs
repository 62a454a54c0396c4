//! Sending the flights in event-time order through the Kafka port, at a multiple of their own speed.
//!
//! Where a row goes depends on the row alone, one record per row. So what a partition holds is a prefix of its rows,
//! and a demo that was killed goes on where each partition ends. The producer is idempotent.

use super::flights::Flight;
use super::statements::{PARTITIONS, TOPIC};
use super::{DemoArgs, Service};
use crate::connection::Connection;
use crate::failure::Failure;
use crate::kafka::{KafkaClient, KafkaError};
use bytes::Bytes;
use indicatif::ProgressBar;
use millstream_kafka_wire::batch::{BatchBuilder, NewRecord, Producer};
use millstream_kafka_wire::partitioner::partition_for_key;
use millstream_model::{ProducerEpoch, ProducerId, TimestampMs};
use std::time::{Duration, Instant};

/// Rows in one batch at most.
const BATCH_ROWS_MAX: usize = 2_000;

/// Event time that one request spans at most: the next is sent when it is acknowledged, so at any speed no partition
/// runs ahead of another by more than a query's grace period.
const REQUEST_SPAN_MS: i64 = 3_600_000;

/// Rows that are due are sent this often.
const TICK: Duration = Duration::from_millis(50);

/// Which partition a row goes to.
fn partition_of(row: usize, flight: &Flight, unkeyed: bool) -> u32 {
    if unkeyed {
        u32::try_from(row).unwrap_or(0) % PARTITIONS
    } else {
        partition_for_key(flight.carrier.as_bytes(), PARTITIONS)
    }
}

struct Sender {
    client: KafkaClient,
    producer: (i64, i16),
    /// Records that each partition held when this sender began: sequence numbers start there.
    begun_at: Vec<i64>,
    ends: Vec<i64>,
}

/// Sends every row that its partition does not hold yet.
///
/// # Errors
/// When the broker refuses or goes away for good.
pub(super) async fn send(
    service: &Service,
    connection: &Connection,
    flights: &[Flight],
    args: &DemoArgs,
    progress: &ProgressBar,
) -> Result<(), Failure> {
    let mut sender = Sender::connect(service, connection).await?;
    // What each partition already holds is skipped.
    let mut skip = sender.ends.clone();
    let mut waiting: Vec<(u32, &Flight)> = Vec::new();
    for (row, flight) in flights.iter().enumerate() {
        let partition = partition_of(row, flight, args.unkeyed);
        match usize::try_from(partition).ok().and_then(|it| skip.get_mut(it)) {
            Some(held) if *held > 0 => *held -= 1,
            _ => waiting.push((partition, flight)),
        }
    }
    progress.set_position(u64::try_from(flights.len() - waiting.len()).unwrap_or(0));
    let Some((_, first)) = waiting.first() else {
        return Ok(());
    };
    let (begun, from_ms) = (Instant::now(), first.scheduled_ms);
    let mut rest = waiting.as_slice();
    while !rest.is_empty() {
        let elapsed_ms = i64::try_from(begun.elapsed().as_millis()).unwrap_or(i64::MAX);
        let speed = i64::try_from(args.speed).unwrap_or(i64::MAX);
        let now_ms = from_ms.saturating_add(elapsed_ms.saturating_mul(speed));
        let due = rest.partition_point(|(_, flight)| flight.scheduled_ms <= now_ms);
        let (mut now, later) = rest.split_at(due);
        while let Some((_, first)) = now.first() {
            let end = first.scheduled_ms + REQUEST_SPAN_MS;
            let rows = now.partition_point(|(_, flight)| flight.scheduled_ms < end);
            let (rows, after) = now.split_at(rows.min(BATCH_ROWS_MAX));
            sender.send_rows(rows, args.unkeyed).await?;
            progress.inc(u64::try_from(rows.len()).unwrap_or(0));
            now = after;
        }
        rest = later;
        if !rest.is_empty() {
            tokio::time::sleep(TICK).await;
        }
    }
    Ok(())
}

impl Sender {
    async fn connect(service: &Service, connection: &Connection) -> Result<Sender, Failure> {
        let failed = |error: KafkaError| Failure::new(error.to_string());
        let mut client = KafkaClient::connect(&service.kafka, &connection.key, &connection.secret)
            .await
            .map_err(failed)?;
        let (_, partitions) = client.topic(TOPIC).await.map_err(failed)?;
        if partitions != PARTITIONS {
            return Err(Failure::new(format!(
                "topic {TOPIC} has {partitions} partitions instead of {PARTITIONS}; use another --data-dir"
            )));
        }
        let ends = client.end_offsets(TOPIC, PARTITIONS).await.map_err(failed)?;
        let producer = client.init_producer().await.map_err(failed)?;
        Ok(Sender {
            client,
            producer,
            begun_at: ends.clone(),
            ends,
        })
    }

    async fn send_rows(&mut self, rows: &[(u32, &Flight)], unkeyed: bool) -> Result<(), Failure> {
        let mut batches = Vec::new();
        for partition in 0..PARTITIONS {
            let mine: Vec<&Flight> = rows
                .iter()
                .filter(|(it, _)| *it == partition)
                .map(|(_, it)| *it)
                .collect();
            if !mine.is_empty() {
                batches.push((partition, self.batch(partition, &mine, unkeyed)?));
            }
        }
        self.client
            .produce(TOPIC, batches)
            .await
            .map_err(|error| Failure::new(error.to_string()))?;
        for (partition, _) in rows {
            if let Some(end) = usize::try_from(*partition)
                .ok()
                .and_then(|it| self.ends.get_mut(it))
            {
                *end += 1;
            }
        }
        Ok(())
    }

    fn batch(&self, partition: u32, rows: &[&Flight], unkeyed: bool) -> Result<Bytes, Failure> {
        let at = usize::try_from(partition).unwrap_or(usize::MAX);
        let sent = self
            .ends
            .get(at)
            .zip(self.begun_at.get(at))
            .map_or(0, |(end, begun)| end - begun);
        let (id, epoch) = (ProducerId(self.producer.0), ProducerEpoch(self.producer.1));
        let base_sequence = i32::try_from(sent).unwrap_or(i32::MAX);
        let mut builder = BatchBuilder::new().producer(Producer {
            id,
            epoch,
            base_sequence,
        });
        let refused = |error: &dyn std::fmt::Display| Failure::new(format!("a batch of flights: {error}"));
        for flight in rows {
            let key = (!unkeyed).then_some(flight.carrier.as_bytes());
            let timestamp = TimestampMs(flight.scheduled_ms);
            let record = NewRecord {
                timestamp,
                key,
                value: Some(&flight.json),
                headers: &[],
            };
            builder.push(record).map_err(|error| refused(&error))?;
        }
        builder.build().map_err(|error| refused(&error))
    }
}
