//! Before authentication: ApiVersions, SaslHandshake and SaslAuthenticate, one at a time, and nothing else.

use super::answer::write;
use super::frames::Frames;
use super::{End, Limits, plain};
use crate::api::{api_versions, message, sasl};
use crate::connections::Entered;
use bytes::Bytes;
use millstream_access::{AuthError, Principal};
use millstream_kafka_wire::frame::RequestFrame;
use millstream_kafka_wire::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
};
use millstream_kafka_wire::{ApiKey, ErrorCode, Frame};
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncWrite};

/// What the client may send next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// ApiVersions or a handshake.
    Start,
    /// SaslAuthenticate (handshake version 1).
    Wrapped,
    /// The PLAIN message itself, with nothing but a length around it (handshake version 0).
    Bare,
}

/// Who it is; `None` when the client went away before it said so.
pub(super) async fn run<R, W>(
    frames: &mut Frames<'_, R>,
    writer: &mut W,
    limits: Limits<'_>,
    peer: SocketAddr,
) -> Result<Option<(Principal, Entered)>, End>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut state = State::Start;
    while let Some(received) = frames.next().await? {
        if state == State::Bare {
            let who = check(&received.bytes, limits, peer)
                .await
                .map_err(|refusal| End::Refused(refusal.reason))?;
            write(
                writer,
                Frame {
                    pieces: vec![Bytes::from_static(&[0; 4])],
                },
                limits,
            )
            .await?;
            frames.authenticated();
            return Ok(Some(who));
        }
        let request = RequestFrame::read(received.bytes)?;
        match request.key {
            ApiKey::ApiVersions => write(writer, api_versions::answer(request)?, limits).await?,
            ApiKey::SaslHandshake => {
                sasl::check_version(&request)?;
                let version = request.version;
                let handshake: SaslHandshakeRequest = message(&request)?;
                let legal = state == State::Start;
                let (response, accepted) = sasl::handshake(&handshake.mechanism, legal);
                write(writer, request.answer(&response)?, limits).await?;
                if !accepted {
                    return Err(End::Refused(format!(
                        "mechanism {:?}",
                        shortened(&handshake.mechanism)
                    )));
                }
                state = if version == 0 { State::Bare } else { State::Wrapped };
            }
            ApiKey::SaslAuthenticate => {
                sasl::check_version(&request)?;
                let asked: SaslAuthenticateRequest = message(&request)?;
                let checked = match state {
                    State::Wrapped => check(&asked.auth_bytes, limits, peer).await,
                    _ => Err(Refusal {
                        code: ErrorCode::IllegalSaslState,
                        text: "SaslHandshake comes first".to_owned(),
                        reason: "SaslAuthenticate before SaslHandshake".to_owned(),
                    }),
                };
                let response = match &checked {
                    Ok(_) => SaslAuthenticateResponse::default(),
                    Err(refusal) => SaslAuthenticateResponse {
                        error_code: refusal.code.number(),
                        error_message: Some(refusal.text.clone()),
                        ..SaslAuthenticateResponse::default()
                    },
                };
                write(writer, request.answer(&response)?, limits).await?;
                let who = checked.map_err(|refusal| End::Refused(refusal.reason))?;
                frames.authenticated();
                return Ok(Some(who));
            }
            api => return Err(End::Unauthenticated { api }),
        }
    }
    Ok(None)
}

/// A refused login: what the client is told, and what the log says.
struct Refusal {
    code: ErrorCode,
    text: String,
    reason: String,
}

async fn check(
    message: &[u8],
    limits: Limits<'_>,
    peer: SocketAddr,
) -> Result<(Principal, Entered), Refusal> {
    let refusal = match plain::parse(message) {
        Err(text) => Refusal {
            code: ErrorCode::SaslAuthenticationFailed,
            text: text.to_owned(),
            reason: text.to_owned(),
        },
        Ok((key, secret)) => match limits.shared.broker.authenticate(key, secret) {
            Ok(who) => match limits.connections.enter(limits.shared, &who, limits.close) {
                Some(entered) => {
                    tracing::debug!(%peer, key = %who.key, tenant = %who.tenant, "authenticated");
                    return Ok((who, entered));
                }
                None => {
                    let text = "the quota of connections at once is used up".to_owned();
                    Refusal {
                        code: ErrorCode::SaslAuthenticationFailed,
                        reason: text.clone(),
                        text,
                    }
                }
            },
            Err(error) => Refusal {
                code: ErrorCode::SaslAuthenticationFailed,
                text: AuthError::CLIENT_TEXT.to_owned(),
                reason: error.to_string(),
            },
        },
    };
    limits.shared.metrics.refused_logins.inc();
    tokio::time::sleep(limits.settings.refusal_delay).await;
    Err(refusal)
}

/// A client's text in a log line.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}
