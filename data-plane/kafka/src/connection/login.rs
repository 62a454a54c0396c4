//! Before authentication: ApiVersions, SaslHandshake and SaslAuthenticate, one at a time, and nothing else.

use super::answer::write;
use super::frames::Frames;
use super::{End, Limits, plain};
use crate::api::{api_versions, message, sasl};
use crate::connections::Entered;
use bytes::Bytes;
use millstream_access::{AuthError, Principal};
use millstream_door::Meter;
use millstream_kafka_wire::frame::RequestFrame;
use millstream_kafka_wire::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest,
};
use millstream_kafka_wire::{ApiKey, ErrorCode, Frame};
use millstream_model::limits::LOGIN_DEBT_WAIT_MS_MAX;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

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
            let who = check(&received.bytes, limits, peer).await.map_err(Refusal::end)?;
            write(
                writer,
                Frame {
                    pieces: vec![Bytes::from_static(&[0; 4])],
                },
                limits,
            )
            .await?;
            frames.authenticated(who.0.tenant);
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
                let who = checked.map_err(Refusal::end)?;
                frames.authenticated(who.0.tenant);
                return Ok(Some(who));
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

async fn check(
    message: &[u8],
    limits: Limits<'_>,
    peer: SocketAddr,
) -> Result<(Principal, Entered), Refusal> {
    let refusal = match plain::parse(message) {
        Err(text) => Refusal::Told {
            code: ErrorCode::SaslAuthenticationFailed,
            text: text.to_owned(),
            reason: text.to_owned(),
        },
        Ok((key, secret)) => match limits.shared.broker.authenticate(key, secret) {
            Ok(who) => match enter(limits, &who) {
                Ok(entered) => {
                    tracing::debug!(%peer, key = %who.key, tenant = %who.tenant, "authenticated");
                    count(limits, &who).await;
                    return Ok((who, entered));
                }
                Err(end) => Refusal::Full(end),
            },
            Err(error) => Refusal::Told {
                code: ErrorCode::SaslAuthenticationFailed,
                text: AuthError::CLIENT_TEXT.to_owned(),
                reason: error.to_string(),
            },
        },
    };
    if let Refusal::Told { .. } = refusal {
        limits.shared.metrics.refused_logins.inc();
    }
    tokio::time::sleep(limits.settings.refusal_delay).await;
    Err(refusal)
}

/// Counts the connection as its owner's, if there may be one more.
fn enter(limits: Limits<'_>, who: &Principal) -> Result<Entered, End> {
    let entered = limits.connections.enter(limits.shared, who, limits.close);
    let entered = entered.ok_or(End::ConnectionQuota)?;
    limits.place.known(who.organisation)?;
    Ok(entered)
}

/// A login is a request: who owes some waits a little, or could do one over each of many connections.
async fn count(limits: Limits<'_>, who: &Principal) {
    let quotas = &limits.shared.quotas;
    let patience = Duration::from_millis(LOGIN_DEBT_WAIT_MS_MAX);
    let until = Instant::now() + patience.min(limits.settings.debt_patience);
    if quotas.begin(who, Meter::Requests, 1, until).await.is_err() {
        quotas.take(who, Meter::Requests, 1);
    }
}

/// A client's text in a log line.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}
