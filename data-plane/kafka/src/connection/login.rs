//! Before authentication: ApiVersions, SaslHandshake and SaslAuthenticate, one at a time, and nothing else.

use super::answer::write;
use super::frames::Frames;
use super::{End, Limits, plain};
use crate::api::{api_versions, message, sasl};
use bytes::Bytes;
use millstream_door::{Login, LoginError};
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

/// The client's login; `None` when the client went away before it said so.
pub(super) async fn run<R, W>(
    frames: &mut Frames<'_, R>,
    writer: &mut W,
    limits: Limits<'_>,
    peer: SocketAddr,
) -> Result<Option<Login>, End>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut state = State::Start;
    while let Some(received) = frames.next().await? {
        if state == State::Bare {
            let login = check(&received.bytes, limits, peer).await.map_err(Refusal::end)?;
            write(
                writer,
                Frame {
                    pieces: vec![Bytes::from_static(&[0; 4])],
                },
                limits,
            )
            .await?;
            frames.authenticated(login.who().tenant);
            return Ok(Some(login));
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
                    _ => Err(Refusal::Told {
                        code: ErrorCode::IllegalSaslState,
                        text: "SaslHandshake comes first".to_owned(),
                        reason: "SaslAuthenticate before SaslHandshake".to_owned(),
                    }),
                };
                let response = match &checked {
                    Ok(_) => SaslAuthenticateResponse::default(),
                    // No word of it: clients take a refused login for a wrong secret and give up, but a closed
                    // connection for something to try again.
                    Err(Refusal::Full(_)) => return checked.map(Some).map_err(Refusal::end),
                    Err(Refusal::Told { code, text, .. }) => SaslAuthenticateResponse {
                        error_code: code.number(),
                        error_message: Some(text.clone()),
                        ..SaslAuthenticateResponse::default()
                    },
                };
                write(writer, request.answer(&response)?, limits).await?;
                let login = checked.map_err(Refusal::end)?;
                frames.authenticated(login.who().tenant);
                return Ok(Some(login));
            }
            api => return Err(End::Unauthenticated { api }),
        }
    }
    Ok(None)
}

/// A refused login.
enum Refusal {
    /// What the client is told, and what the log says.
    Told {
        code: ErrorCode,
        text: String,
        reason: String,
    },
    /// There are as many connections of its like as there may be.
    Full(End),
}

impl Refusal {
    fn end(self) -> End {
        match self {
            Refusal::Told { reason, .. } => End::Refused(reason),
            Refusal::Full(end) => end,
        }
    }
}

/// Lets the owner of a PLAIN message's key in.
async fn check(message: &[u8], limits: Limits<'_>, peer: SocketAddr) -> Result<Login, Refusal> {
    let logins = &limits.shared.logins;
    let (key, secret) = match plain::parse(message) {
        Ok(presented) => presented,
        Err(text) => {
            limits.shared.metrics.refused_logins.inc();
            logins.delay_refusal().await;
            return Err(Refusal::Told {
                code: ErrorCode::SaslAuthenticationFailed,
                text: text.to_owned(),
                reason: text.to_owned(),
            });
        }
    };
    match logins.login(key, secret, limits.close).await {
        Ok(login) => {
            let who = login.who();
            if let Err(full) = limits.place.known(who.organisation) {
                logins.delay_refusal().await;
                return Err(Refusal::Full(full.into()));
            }
            tracing::debug!(%peer, key = %who.key, tenant = %who.tenant, "authenticated");
            Ok(login)
        }
        Err(LoginError::Full(_)) => Err(Refusal::Full(End::ConnectionQuota)),
        Err(LoginError::Unknown(error)) => {
            limits.shared.metrics.refused_logins.inc();
            Err(Refusal::Told {
                code: ErrorCode::SaslAuthenticationFailed,
                text: error.client_text().to_owned(),
                reason: error.to_string(),
            })
        }
    }
}

/// A client's text in a log line.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}
