//! A client that sends what it is told to, well-formed or not.

use bytes::{Bytes, BytesMut};
use millstream_kafka_wire::batch::{BatchBuilder, NewRecord};
use millstream_kafka_wire::frame::{decode_response, encode_request};
use millstream_kafka_wire::messages::{
    CreateTopicsRequest, SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
    create_topics_request,
};
use millstream_kafka_wire::{ApiKey, Request};
use millstream_model::TimestampMs;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// No answer takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Client {
    pub stream: TcpStream,
    next: i32,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Client {
        Client::on(TcpStream::connect(address).await.unwrap())
    }

    pub fn on(stream: TcpStream) -> Client {
        Client { stream, next: 0 }
    }

    pub async fn login(&mut self, user: &str, password: &str) -> SaslAuthenticateResponse {
        let handshake = SaslHandshakeRequest {
            mechanism: "PLAIN".to_owned(),
        };
        assert_eq!(self.ask(1, &handshake).await.error_code, 0);
        let auth_bytes = Bytes::from(format!("\0{user}\0{password}"));
        self.ask(2, &SaslAuthenticateRequest { auth_bytes }).await
    }

    /// Sends a login and does not look at what becomes of it.
    pub async fn try_login(&mut self, user: &str, password: &str) {
        let handshake = SaslHandshakeRequest {
            mechanism: "PLAIN".to_owned(),
        };
        assert_eq!(self.ask(1, &handshake).await.error_code, 0);
        let auth_bytes = Bytes::from(format!("\0{user}\0{password}"));
        self.send(2, &SaslAuthenticateRequest { auth_bytes }).await;
    }

    /// Asks in the newest stable version.
    pub async fn newest<R: Request>(&mut self, request: &R) -> R::Response {
        self.ask(*R::KEY.versions().end(), request).await
    }

    pub async fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let id = self.send(version, request).await;
        self.answer::<R>(version, id).await
    }

    /// Sends without waiting; returns the correlation id.
    pub async fn send<R: Request>(&mut self, version: i16, request: &R) -> i32 {
        self.next += 1;
        let frame = encode_request(version, self.next, Some("test"), request).unwrap();
        self.stream.write_all(&frame.into_bytes()).await.unwrap();
        self.next
    }

    pub async fn answer<R: Request>(&mut self, version: i16, id: i32) -> R::Response {
        let frame = self
            .frame()
            .await
            .unwrap_or_else(|| panic!("{} v{version}: connection closed", R::KEY));
        let (found, response) = decode_response::<R>(frame, version).unwrap();
        assert_eq!(found, id, "answers come in the order of the requests");
        response
    }

    pub async fn send_raw(&mut self, bytes: &[u8]) {
        // The other side may have closed already: the answer is what counts.
        let _ = self.stream.write_all(bytes).await;
    }

    /// The next frame without its length; none when the connection was closed.
    pub async fn frame(&mut self) -> Option<Bytes> {
        let read = async {
            let length = self.stream.read_u32().await.ok()?;
            let mut frame = BytesMut::zeroed(length as usize);
            self.stream.read_exact(&mut frame).await.ok()?;
            Some(frame.freeze())
        };
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("an answer or a closed connection in time")
    }

    pub async fn is_closed(&mut self) -> bool {
        self.frame().await.is_none()
    }

    pub async fn create_topic(&mut self, name: &str, partitions: i32) -> uuid::Uuid {
        let topic = create_topics_request::CreatableTopic {
            name: name.to_owned(),
            num_partitions: partitions,
            replication_factor: -1,
            ..Default::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: 1000,
            ..Default::default()
        };
        let response = self.newest(&request).await;
        assert_eq!(
            response.topics[0].error_code, 0,
            "{:?}",
            response.topics[0].error_message
        );
        response.topics[0].topic_id
    }
}

/// A header of a request as bytes, its length in front, `body` behind.
pub fn raw(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend_from_slice(&(10 + body.len() as i32).to_be_bytes());
    frame.extend_from_slice(&key.to_be_bytes());
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&7i32.to_be_bytes());
    frame.extend_from_slice(&(-1i16).to_be_bytes());
    frame.extend_from_slice(body);
    frame
}

pub fn batch(values: &[&str]) -> Bytes {
    let mut builder = BatchBuilder::new();
    for value in values {
        let value = Some(value.as_bytes());
        builder
            .push(NewRecord {
                timestamp: TimestampMs::now(),
                key: None,
                value,
                headers: &[],
            })
            .unwrap();
    }
    builder.build().unwrap()
}

/// Every version of an API that the door serves.
pub fn versions(key: ApiKey) -> std::ops::RangeInclusive<i16> {
    let known = key.versions();
    let from = match key {
        ApiKey::Fetch => 4,
        ApiKey::Produce => 3,
        _ => *known.start(),
    };
    from..=*known.end()
}
