//! Kafka's protocol by hand: frames out, frames in, and nothing that would repair a mistake.

use crate::harness::Key;
use bytes::Bytes;
use millstream_kafka_wire::frame::{decode_response, encode_request};
use millstream_kafka_wire::message::Request;
use millstream_kafka_wire::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

/// How long an answer or an end may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A whole frame.
    Answer(Bytes),
    /// The end of the connection.
    Closed,
}

/// A raw connection.
pub struct Wire {
    stream: TcpStream,
}

impl Wire {
    pub fn connect(address: &str) -> Wire {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Wire { stream }
    }

    /// A connection that has shown a key with SASL PLAIN.
    pub fn authenticated(address: &str, key: &Key) -> Wire {
        Wire::try_authenticated(address, key).expect("the login is answered")
    }

    /// The same, or nothing when the connection is closed instead. A refused login is a failure.
    pub fn try_authenticated(address: &str, key: &Key) -> Option<Wire> {
        let mut wire = Wire::connect(address);
        let handshake = SaslHandshakeRequest {
            mechanism: "PLAIN".into(),
        };
        assert_eq!(wire.try_call(1, &handshake)?.error_code, 0);
        let token = SaslAuthenticateRequest {
            auth_bytes: Bytes::from(format!("\0{}\0{}", key.id, key.secret)),
        };
        let answer = wire.try_call(2, &token)?;
        assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
        Some(wire)
    }

    /// Sends a request and reads its answer.
    pub fn call<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let answer = self.try_call(version, request);
        answer.expect("the connection was closed instead of answering")
    }

    /// The same, or nothing when the connection is closed instead.
    pub fn try_call<R: Request>(&mut self, version: i16, request: &R) -> Option<R::Response> {
        let frame = encode_request(version, 1, Some("wire"), request).unwrap();
        self.send(&frame.into_bytes());
        match self.outcome() {
            Outcome::Answer(frame) => Some(decode_response::<R>(frame, version).unwrap().1),
            Outcome::Closed => None,
        }
    }

    /// Sends bytes; a connection that is closed meanwhile is noticed when reading.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Nothing more will be sent.
    pub fn end(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// The next frame, or the end. Waiting in vain is a failure.
    pub fn outcome(&mut self) -> Outcome {
        let mut length = [0; 4];
        let read = self.stream.read_exact(&mut length).and_then(|()| {
            let mut frame = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap()];
            self.stream.read_exact(&mut frame)?;
            Ok(Bytes::from(frame))
        });
        match read {
            Ok(frame) => Outcome::Answer(frame),
            Err(error) if is_end(&error) => Outcome::Closed,
            Err(error) => panic!("neither an answer nor an end within {PATIENCE:?}: {error}"),
        }
    }
}

fn is_end(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
    )
}

/// A request frame with any header: api key, version, correlation 7, client id `x`, then `body`.
pub fn frame(api_key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut inner = Vec::new();
    inner.extend(api_key.to_be_bytes());
    inner.extend(version.to_be_bytes());
    inner.extend(7i32.to_be_bytes());
    inner.extend(1i16.to_be_bytes());
    inner.extend(b"x");
    inner.extend(body);
    let mut framed = u32::try_from(inner.len()).unwrap().to_be_bytes().to_vec();
    framed.extend(inner);
    framed
}
