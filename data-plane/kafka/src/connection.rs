//! One connection: login first, then requests in, answers out.

mod answer;
mod frames;
mod login;
mod owing;
mod pipeline;
mod plain;

use crate::session::{Session, Shared};
use crate::settings::Settings;
use frames::Frames;
use millstream_door::{NoPlace, Overstayed, Owner, Place, Rooms};
use millstream_kafka_wire::{ApiKey, DecodeError, EncodeError};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

pub(crate) use answer::{Answer, Finish, Finished};

/// What bounds a connection, and what it shares with the others.
#[derive(Clone, Copy)]
pub(crate) struct Limits<'a> {
    pub(crate) settings: &'a Settings,
    /// Room for requests that are not answered yet.
    pub(crate) rooms: &'a Rooms,
    pub(crate) shared: &'a Arc<Shared>,
    /// Its place at the door.
    pub(crate) place: &'a Place,
    /// No further requests are read.
    pub(crate) drain: &'a CancellationToken,
    /// The connection ends at once.
    pub(crate) close: &'a CancellationToken,
}

/// Why a connection ended, other than by the client's wish.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    #[error("a frame of {length} bytes, at most {max} are allowed{}", hint(*.length))]
    FrameLength { length: i32, max: usize },
    #[error("malformed request: {0}")]
    Malformed(#[from] DecodeError),
    #[error("{api} has no version {version} here")]
    Version { api: ApiKey, version: i16 },
    #[error("{api} is not served")]
    NotServed { api: ApiKey },
    #[error("{api} before authentication")]
    Unauthenticated { api: ApiKey },
    #[error("login refused: {0}")]
    Refused(String),
    #[error("no login in time")]
    LoginTimeout,
    #[error("a frame did not arrive in time")]
    FrameTimeout,
    #[error("{0}")]
    Overstayed(#[from] Overstayed),
    #[error("the quota of connections at once is used up")]
    ConnectionQuota,
    #[error("{0}")]
    NoPlace(#[from] NoPlace),
    #[error("the client does not take its answers")]
    WriteTimeout,
    #[error("no request for too long")]
    Idle,
    #[error("an acks=0 produce failed: {0}")]
    SilentProduce(String),
    #[error("an answer could not be encoded: {0}")]
    Encode(#[from] EncodeError),
    #[error("TLS: {0}")]
    Tls(std::io::Error),
    #[error("{0}")]
    Io(std::io::Error),
    #[error("the frame ends early: the client went away")]
    Gone,
    #[error("closed by the service")]
    Closed,
}

impl End {
    /// For counters.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::FrameLength { .. } => "frame_length",
            Self::Malformed(_) => "malformed",
            Self::Version { .. } => "version",
            Self::NotServed { .. } => "not_served",
            Self::Unauthenticated { .. } => "unauthenticated",
            Self::Refused(_) => "refused",
            Self::LoginTimeout => "login_timeout",
            Self::FrameTimeout => "frame_timeout",
            Self::Overstayed(_) => "overstayed",
            Self::ConnectionQuota => "connection_quota",
            Self::NoPlace(why) => why.label(),
            Self::WriteTimeout => "write_timeout",
            Self::Idle => "idle",
            Self::SilentProduce(_) => "silent_produce",
            Self::Encode(_) => "encode",
            Self::Tls(_) => "tls",
            Self::Io(_) | Self::Gone => "io",
            Self::Closed => "closed",
        }
    }

    /// One line, as loud as it deserves: a bug of ours is an error, a client's mistake a fact.
    pub(crate) fn log(&self, peer: SocketAddr) {
        match self {
            Self::Encode(_) => tracing::error!(%peer, reason = %self, "closed a Kafka connection"),
            Self::Io(_) | Self::Gone | Self::Idle | Self::Closed => {
                tracing::debug!(%peer, reason = %self, "closed a Kafka connection");
            }
            _ => tracing::info!(%peer, reason = %self, "closed a Kafka connection"),
        }
    }
}

/// What a nonsensical length most likely is.
fn hint(length: i32) -> &'static str {
    match length.to_be_bytes() {
        [0x16, 0x03, ..] => " (a TLS client on a port without TLS?)",
        [b'G', b'E', b'T', b' '] | [b'P', b'O', b'S', b'T'] | [b'P', b'R', b'I', b' '] => {
            " (an HTTP client?)"
        }
        _ => "",
    }
}

/// Serves a connection to its end.
pub(crate) async fn run<R, W>(
    limits: Limits<'_>,
    reader: R,
    mut writer: W,
    peer: SocketAddr,
) -> Result<(), End>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    let mut frames = Frames::new(reader, limits, peer);
    let login = login::run(&mut frames, &mut writer, limits, peer);
    let timed = tokio::time::timeout(limits.settings.login_timeout, login);
    let logged_in = tokio::select! {
        timed = timed => timed.map_err(|_| End::LoginTimeout)??,
        () = limits.drain.cancelled() => return Ok(()),
    };
    let Some(login) = logged_in else {
        return Ok(());
    };
    let who = login.who().clone();
    let turn = limits.rooms.turns().of(Owner::Tenant(who.tenant));
    let session = Arc::new(Session::new(
        Arc::clone(limits.shared),
        who,
        peer,
        frames.connection(),
        turn,
    ));
    pipeline::run(frames, writer, limits, session).await
}
