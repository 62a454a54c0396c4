//! One connection: frames out, frames in, and the calls that the demo makes.

use bytes::{Bytes, BytesMut};
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::frame::{decode_response, encode_request};
use millstream_kafka_wire::message::Request;
use millstream_kafka_wire::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use millstream_kafka_wire::messages::metadata_request::MetadataRequestTopic;
use millstream_kafka_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use millstream_kafka_wire::messages::{
    InitProducerIdRequest, ListOffsetsRequest, MetadataRequest, ProduceRequest, SaslAuthenticateRequest,
    SaslHandshakeRequest,
};
use millstream_kafka_wire::records::Records;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

/// The largest answer that is believed, bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// The connection cannot be made, or broke.
    #[error("the Kafka port cannot be reached: {0}")]
    Connection(#[from] io::Error),
    /// The broker refused.
    #[error("the broker answered {code}{}", detail.as_ref().map(|it| format!(": {it}")).unwrap_or_default())]
    Refused {
        /// Kafka's name for it.
        code: String,
        /// The broker's own words.
        detail: Option<String>,
        /// Whether the same request may succeed later.
        retriable: bool,
    },
    /// The broker answered something unreadable.
    #[error("the broker's answer cannot be read: {0}")]
    Protocol(String),
}

/// A connection to one broker.
pub struct KafkaClient {
    stream: TcpStream,
    correlation: i32,
}

impl KafkaClient {
    /// Connects and authenticates with SASL PLAIN.
    ///
    /// # Errors
    /// When the port cannot be reached or the key is refused.
    pub async fn connect(address: &str, key: &str, secret: &str) -> Result<KafkaClient, KafkaError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut client = KafkaClient {
            stream,
            correlation: 0,
        };
        let handshake = SaslHandshakeRequest {
            mechanism: "PLAIN".into(),
        };
        let answer = client.call(1, &handshake).await?;
        check(answer.error_code, None)?;
        let request = SaslAuthenticateRequest {
            auth_bytes: Bytes::from(format!("\0{key}\0{secret}")),
        };
        let answer = client.call(2, &request).await?;
        check(answer.error_code, answer.error_message)?;
        Ok(client)
    }

    /// Connects to a broker that asks for no authentication.
    ///
    /// # Errors
    /// When the port cannot be reached.
    pub async fn connect_plain(address: &str) -> Result<KafkaClient, KafkaError> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(KafkaClient {
            stream,
            correlation: 0,
        })
    }

    /// Sends a request that was encoded before, its length in front.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn send_frame(&mut self, frame: &[u8]) -> Result<(), KafkaError> {
        Ok(self.stream.write_all(frame).await?)
    }

    /// Sends a request and waits for its answer.
    ///
    /// # Errors
    /// When the connection breaks or the answer cannot be read.
    pub async fn call<R: Request>(&mut self, version: i16, request: &R) -> Result<R::Response, KafkaError> {
        self.send(version, request).await?;
        self.receive::<R>(version).await
    }

    /// Sends a request; its answer is to be received later, in order.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn send<R: Request>(&mut self, version: i16, request: &R) -> Result<(), KafkaError> {
        self.correlation = self.correlation.wrapping_add(1);
        let frame = encode_request(version, self.correlation, Some("millstream"), request)
            .map_err(|error| KafkaError::Protocol(error.to_string()))?;
        self.stream.write_all(&frame.into_bytes()).await?;
        Ok(())
    }

    /// Receives the answer to the oldest request that has none yet.
    ///
    /// # Errors
    /// When the connection breaks or the answer cannot be read.
    pub async fn receive<R: Request>(&mut self, version: i16) -> Result<R::Response, KafkaError> {
        let length = self.stream.read_i32().await?;
        let length = usize::try_from(length).ok().filter(|it| *it <= ANSWER_BYTES_MAX);
        let length = length.ok_or_else(|| KafkaError::Protocol("a hostile length".into()))?;
        let mut frame = BytesMut::zeroed(length);
        self.stream.read_exact(&mut frame).await?;
        let decoded = decode_response::<R>(frame.freeze(), version);
        decoded
            .map(|(_, response)| response)
            .map_err(|error| KafkaError::Protocol(error.to_string()))
    }

    /// A topic's id and number of partitions.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn topic(&mut self, name: &str) -> Result<(Uuid, u32), KafkaError> {
        let topic = MetadataRequestTopic {
            name: Some(name.to_owned()),
            ..Default::default()
        };
        let request = MetadataRequest {
            topics: Some(vec![topic]),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        let answer = self.call(12, &request).await?;
        let found = answer
            .topics
            .first()
            .ok_or_else(|| KafkaError::Protocol("no topic in the answer".into()))?;
        check(found.error_code, None)?;
        Ok((
            found.topic_id,
            u32::try_from(found.partitions.len()).unwrap_or(u32::MAX),
        ))
    }

    /// The next offset of each partition, by index.
    ///
    /// # Errors
    /// When a partition refuses.
    pub async fn end_offsets(&mut self, topic: &str, partitions: u32) -> Result<Vec<i64>, KafkaError> {
        let indexes = 0..i32::try_from(partitions).unwrap_or(i32::MAX);
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![ListOffsetsTopic {
                name: topic.to_owned(),
                partitions: indexes
                    .map(|partition_index| ListOffsetsPartition {
                        partition_index,
                        current_leader_epoch: -1,
                        timestamp: -1,
                        ..Default::default()
                    })
                    .collect(),
            }],
            ..Default::default()
        };
        let answer = self.call(7, &request).await?;
        let mut found: Vec<_> = answer.topics.into_iter().flat_map(|it| it.partitions).collect();
        found.sort_by_key(|it| it.partition_index);
        found
            .into_iter()
            .map(|it| check(it.error_code, None).map(|()| it.offset))
            .collect()
    }

    /// An id and an epoch for an idempotent producer.
    ///
    /// # Errors
    /// When none are to be had.
    pub async fn init_producer(&mut self) -> Result<(i64, i16), KafkaError> {
        let request = InitProducerIdRequest {
            transactional_id: None,
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        let answer = self.call(4, &request).await?;
        check(answer.error_code, None)?;
        Ok((answer.producer_id, answer.producer_epoch))
    }

    /// Appends a batch to each partition and waits until every in-sync replica has it on disk.
    ///
    /// # Errors
    /// The first refusal.
    pub async fn produce(&mut self, topic: &str, batches: Vec<(u32, Bytes)>) -> Result<(), KafkaError> {
        let request = produce_request(topic, batches);
        let answer = self.call(9, &request).await?;
        for part in answer.responses.into_iter().flat_map(|it| it.partition_responses) {
            check(part.error_code, part.error_message)?;
        }
        Ok(())
    }
}

/// A produce request of version 3 to 12 with `acks=all`.
pub fn produce_request(topic: &str, batches: Vec<(u32, Bytes)>) -> ProduceRequest {
    ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![TopicProduceData {
            name: topic.to_owned(),
            partition_data: batches
                .into_iter()
                .map(|(index, batch)| PartitionProduceData {
                    index: i32::try_from(index).unwrap_or(i32::MAX),
                    records: Some(Records::from(batch)),
                })
                .collect(),
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn check(code: i16, detail: Option<String>) -> Result<(), KafkaError> {
    if code == 0 {
        return Ok(());
    }
    let known = ErrorCode::from_number(code);
    Err(KafkaError::Refused {
        code: known.map_or_else(|| code.to_string(), |it| it.name().to_owned()),
        detail,
        retriable: known.is_some_and(ErrorCode::is_retriable),
    })
}
