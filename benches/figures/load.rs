//! The load generator: prebuilt produce requests over a few pipelined connections; reading it all back.

use crate::server::Server;
use bytes::Bytes;
use millstream_cli::kafka::{KafkaClient, produce_request};
use millstream_kafka_wire::batch::{BatchBuilder, NewRecord};
use millstream_kafka_wire::frame::encode_request;
use millstream_kafka_wire::messages::create_topics_request::CreatableTopic;
use millstream_kafka_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use millstream_kafka_wire::messages::{CreateTopicsRequest, FetchRequest, ProduceRequest};
use millstream_model::TimestampMs;
use std::time::{Duration, Instant};

/// The version of produce requests that the generator sends.
const PRODUCE: i16 = 9;
const FETCH: i16 = 12;

/// Bytes of batches in one request at most.
const REQUEST_BYTES: usize = 1 << 20;

#[derive(Clone, Copy)]
pub struct Load {
    pub partitions: u32,
    pub batch_bytes: usize,
    pub record_bytes: usize,
    pub connections: usize,
    /// Requests of one connection under way at once.
    pub in_flight: usize,
    pub seconds: f64,
}

pub struct Produced {
    /// Batch bytes acknowledged.
    pub bytes: u64,
    pub requests: u64,
    pub seconds: f64,
}

impl Load {
    pub async fn create_topic(&self, server: &Server, name: &str) {
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: i32::try_from(self.partitions).unwrap(),
            replication_factor: 1,
            ..Default::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: 30_000,
            ..Default::default()
        };
        let mut client = server.connect().await;
        let answer = client.call(5, &request).await.unwrap();
        assert_eq!(
            answer.topics[0].error_code, 0,
            "{:?}",
            answer.topics[0].error_message
        );
        // Until every partition has a leader that answers.
        let until = Instant::now() + Duration::from_secs(60);
        while client.end_offsets(name, self.partitions).await.is_err() {
            assert!(Instant::now() < until, "the topic did not come up");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Produces for the load's time with `acks=all`.
    pub async fn produce(&self, server: &Server, topic: &str) -> Produced {
        let begun = Instant::now();
        let mut tasks = Vec::new();
        for number in 0..self.connections {
            let client = server.connect().await;
            let frames = self.frames(topic, number);
            tasks.push(tokio::spawn(drive(
                client,
                frames,
                self.in_flight,
                Duration::from_secs_f64(self.seconds),
            )));
        }
        let (mut bytes, mut requests) = (0, 0);
        for task in tasks {
            let (task_bytes, task_requests) = task.await.unwrap();
            bytes += task_bytes;
            requests += task_requests;
        }
        Produced {
            bytes,
            requests,
            seconds: begun.elapsed().as_secs_f64(),
        }
    }

    /// This connection's requests, each over a share of the partitions; they are sent again and again.
    fn frames(&self, topic: &str, connection: usize) -> Vec<(Bytes, u64)> {
        let batch = self.batch();
        let mine: Vec<u32> = (0..self.partitions)
            .filter(|it| {
                *it as usize % self.connections == connection % self.connections.min(self.partitions as usize)
            })
            .collect();
        let each = (REQUEST_BYTES / batch.len()).clamp(1, mine.len().max(1));
        mine.chunks(each)
            .map(|partitions| {
                let batches: Vec<_> = partitions.iter().map(|it| (*it, batch.clone())).collect();
                let bytes = batches.len() as u64 * batch.len() as u64;
                let frame =
                    encode_request(PRODUCE, 1, Some("load"), &produce_request(topic, batches)).unwrap();
                (frame.into_bytes(), bytes)
            })
            .collect()
    }

    fn batch(&self) -> Bytes {
        let mut builder = BatchBuilder::new();
        // Not all alike, so that nothing on the way can be clever.
        let value: Vec<u8> = (0..self.record_bytes).map(|at| (at * 31 % 251) as u8).collect();
        loop {
            let record = NewRecord {
                timestamp: TimestampMs::now(),
                key: None,
                value: Some(&value),
                headers: &[],
            };
            builder.push(record).unwrap();
            if builder.size() + self.record_bytes > self.batch_bytes {
                return builder.build().unwrap();
            }
        }
    }

    /// Reads up to `bytes` back from the start, all partitions over one connection; answers how many there were.
    pub async fn consume(&self, server: &Server, topic: &str, bytes: u64) -> u64 {
        let mut client = server.connect().await;
        let mut offsets = vec![0i64; self.partitions as usize];
        let ends = client.end_offsets(topic, self.partitions).await.unwrap();
        let mut read = 0u64;
        while read < bytes && offsets.iter().zip(&ends).any(|(at, end)| at < end) {
            let request = fetch_request(topic, &offsets);
            let answer = client.call(FETCH, &request).await.unwrap();
            for part in answer.responses.into_iter().flat_map(|it| it.partitions) {
                assert_eq!(part.error_code, 0, "a fetch was refused");
                for batch in part
                    .records
                    .into_iter()
                    .flat_map(|it| millstream_kafka_wire::batch::batches(it.into_bytes()))
                {
                    // A batch that the answer's limit cut off is read again.
                    let Ok(batch) = batch else { break };
                    read += batch.bytes().len() as u64;
                    offsets[part.partition_index as usize] = batch.header().next_offset().0;
                }
            }
        }
        read
    }
}

pub fn fetch_request(topic: &str, offsets: &[i64]) -> FetchRequest {
    FetchRequest {
        replica_id: -1,
        max_wait_ms: 500,
        min_bytes: 1,
        max_bytes: 16 << 20,
        topics: vec![FetchTopic {
            topic: topic.into(),
            partitions: offsets
                .iter()
                .enumerate()
                .map(|(index, offset)| FetchPartition {
                    partition: index as i32,
                    current_leader_epoch: -1,
                    fetch_offset: *offset,
                    last_fetched_epoch: -1,
                    log_start_offset: -1,
                    partition_max_bytes: 1 << 20,
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }],
        session_epoch: -1,
        ..Default::default()
    }
}

/// Keeps `in_flight` requests under way; answers acknowledged bytes and requests.
async fn drive(
    mut client: KafkaClient,
    frames: Vec<(Bytes, u64)>,
    in_flight: usize,
    time: Duration,
) -> (u64, u64) {
    let begun = Instant::now();
    let (mut sent, mut bytes, mut requests) = (0usize, 0u64, 0u64);
    let mut waiting = std::collections::VecDeque::new();
    loop {
        let over = begun.elapsed() >= time;
        if over && waiting.is_empty() {
            return (bytes, requests);
        }
        if !over && waiting.len() < in_flight {
            let (frame, size) = &frames[sent % frames.len()];
            client.send_frame(frame).await.unwrap();
            waiting.push_back(*size);
            sent += 1;
            continue;
        }
        let answer = client.receive::<ProduceRequest>(PRODUCE).await.unwrap();
        for part in answer.responses.iter().flat_map(|it| &it.partition_responses) {
            assert_eq!(
                part.error_code, 0,
                "a produce was refused: {:?}",
                part.error_message
            );
        }
        bytes += waiting.pop_front().unwrap_or(0);
        requests += 1;
    }
}
