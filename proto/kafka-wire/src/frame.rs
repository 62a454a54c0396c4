//! Frames: a length, a header, a message.
//!
//! ```text
//! request:  length i32 | api key i16 | version i16 | correlation id i32 | client id | [tags] | message
//! response: length i32 | correlation id i32 | [tags] | message
//! ```
//! Who reads the socket strips the length; everything here that decodes starts behind it, everything that
//! encodes writes it.

use crate::api::ApiKey;
use crate::message::{Message, Request};
use crate::messages::{RequestHeader, ResponseHeader};
use crate::reader::{DecodeError, Problem, Reader};
use crate::writer::{EncodeError, Frame, Writer};
use bytes::Bytes;

/// A request's header, read; its message follows in the reader.
#[derive(Clone, Debug)]
pub struct RequestFrame {
    /// Which request.
    pub key: ApiKey,
    /// In which version; not yet checked against what the API has, so that ApiVersions can answer.
    pub version: i16,
    /// To be repeated in the answer.
    pub correlation_id: i32,
    /// What the client calls itself.
    pub client_id: Option<String>,
    /// Stands at the message.
    pub body: Reader,
}

impl RequestFrame {
    /// Reads the header of a frame without its length.
    ///
    /// # Errors
    /// For an API key that has no table, and for bytes that are no header.
    pub fn read(frame: Bytes) -> Result<RequestFrame, DecodeError> {
        let mut body = Reader::new(frame);
        let mut ahead = body.clone();
        let number = ahead.int16("RequestHeader.RequestApiKey")?;
        let version = ahead.int16("RequestHeader.RequestApiVersion")?;
        let Some(key) = ApiKey::from_number(number) else {
            return Err(body.fault("RequestHeader.RequestApiKey", Problem::ApiKey { key: number }));
        };
        let header = RequestHeader::decode(&mut body, key.request_header_version(version))?;
        Ok(RequestFrame {
            key,
            version,
            correlation_id: header.correlation_id,
            client_id: header.client_id,
            body,
        })
    }

    /// Reads the message, which must fill the rest of the frame.
    ///
    /// # Errors
    /// As [`Message::from_bytes`].
    pub fn message<R: Request>(mut self) -> Result<R, DecodeError> {
        let message = R::decode(&mut self.body, self.version)?;
        self.body.finish(R::NAME)?;
        Ok(message)
    }

    /// Starts over what answers this request.
    ///
    /// # Errors
    /// As [`Message::encode`].
    pub fn answer<M: Message>(&self, response: &M) -> Result<Frame, EncodeError> {
        encode_response(self.key, self.version, self.correlation_id, response)
    }
}

/// A request frame, its length in front.
///
/// # Errors
/// As [`Message::encode`].
pub fn encode_request<R: Request>(
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    request: &R,
) -> Result<Frame, EncodeError> {
    let header = RequestHeader {
        request_api_key: R::KEY.number(),
        request_api_version: version,
        correlation_id,
        client_id: client_id.map(str::to_owned),
    };
    let mut writer = Writer::for_frame();
    writer.put_slice(&[0; 4]);
    header.encode(&mut writer, R::KEY.request_header_version(version))?;
    request.encode(&mut writer, version)?;
    writer.into_frame_with_length()
}

/// A response frame, its length in front.
///
/// To refuse an ApiVersions request whose version is unknown, answer with version 0 (KIP-511).
///
/// # Errors
/// As [`Message::encode`].
pub fn encode_response<M: Message>(
    key: ApiKey,
    version: i16,
    correlation_id: i32,
    response: &M,
) -> Result<Frame, EncodeError> {
    let mut writer = Writer::for_frame();
    writer.put_slice(&[0; 4]);
    ResponseHeader { correlation_id }.encode(&mut writer, key.response_header_version(version))?;
    response.encode(&mut writer, version)?;
    writer.into_frame_with_length()
}

/// Reads a response frame without its length: the correlation id and the message.
///
/// # Errors
/// As [`Message::from_bytes`].
pub fn decode_response<R: Request>(frame: Bytes, version: i16) -> Result<(i32, R::Response), DecodeError> {
    let mut reader = Reader::new(frame);
    let header = ResponseHeader::decode(&mut reader, R::KEY.response_header_version(version))?;
    let response = R::Response::decode(&mut reader, version)?;
    reader.finish(R::Response::NAME)?;
    Ok((header.correlation_id, response))
}
