//! How messages travel: a channel over the wire or a service in the same process, with the key on every call.

use crate::error::Error;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::uri::Scheme;
use http::{HeaderValue, Request, Response, Uri};
use std::sync::Arc;
use std::time::Duration;
use tonic::body::Body;
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Service, ServiceExt};

/// Any gRPC service, with its type forgotten.
pub type Transport = BoxCloneSyncService<Request<Body>, Response<Body>, TransportError>;

/// The service could not be reached, or broke off.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct TransportError(BoxError);

/// What a client shows to be let in.
#[derive(Clone)]
pub enum Credentials {
    /// An API key.
    Key {
        /// Its id.
        id: String,
        /// Its secret.
        secret: String,
    },
    /// A token, asked for before every call so that it can be renewed.
    Token(Arc<dyn Fn() -> String + Send + Sync>),
}

impl Credentials {
    /// An API key's id and secret.
    pub fn key(id: impl Into<String>, secret: impl Into<String>) -> Credentials {
        Credentials::Key {
            id: id.into(),
            secret: secret.into(),
        }
    }

    /// A token that `provider` gives for every call.
    pub fn token(provider: impl Fn() -> String + Send + Sync + 'static) -> Credentials {
        Credentials::Token(Arc::new(provider))
    }

    fn header(&self) -> Option<HeaderValue> {
        let text = match self {
            Credentials::Key { id, secret } => format!("Basic {}", STANDARD.encode(format!("{id}:{secret}"))),
            Credentials::Token(provider) => format!("Bearer {}", provider()),
        };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Credentials::Key { id, .. } => f.debug_struct("Key").field("id", id).finish_non_exhaustive(),
            Credentials::Token(_) => f.write_str("Token"),
        }
    }
}

/// Whose certificates a client of an `https` address takes.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// Those of the system's authorities.
    System,
    /// Those of these authorities (PEM) and no others.
    Only(Vec<u8>),
}

/// A channel to `address` that connects when first used and again when it broke.
pub(crate) fn over_the_wire(address: &str, trust: Trust) -> Result<Transport, Error> {
    let address = if address.contains("://") {
        address.to_owned()
    } else {
        format!("http://{address}")
    };
    let wrong =
        |error: tonic::transport::Error| Error::Invalid(format!("{address} is not an address: {error}"));
    // Without TLS's settings: they need certificates, which only `https` has a use for.
    let uri: Uri = address
        .parse()
        .map_err(|error| Error::Invalid(format!("{address} is not an address: {error}")))?;
    let secure = uri.scheme() == Some(&Scheme::HTTPS);
    let mut endpoint = Endpoint::from_shared(address.clone()).map_err(wrong)?;
    if secure {
        let tls = match trust {
            Trust::System => ClientTlsConfig::new().with_native_roots(),
            Trust::Only(pem) if !holds_certificate(&pem) => {
                return Err(Error::Invalid(
                    "the certificate authority is not a certificate in PEM form".into(),
                ));
            }
            Trust::Only(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
        };
        endpoint = endpoint.tls_config(tls).map_err(|error| {
            Error::Invalid(format!(
                "no certificate authority can be used: {}",
                with_causes(&error)
            ))
        })?;
    } else if let Trust::Only(_) = trust {
        return Err(Error::Invalid(format!(
            "a certificate authority is of no use without TLS: say https:// instead of {address}"
        )));
    }
    let endpoint = endpoint
        .connect_timeout(Duration::from_secs(5))
        .tcp_nodelay(true)
        .http2_keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20))
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(16 << 20);
    Ok(BoxCloneSyncService::new(
        endpoint
            .connect_lazy()
            .map_err(|error| TransportError(error.into())),
    ))
}

fn holds_certificate(pem: &[u8]) -> bool {
    String::from_utf8_lossy(pem).contains("-----BEGIN CERTIFICATE-----")
}

/// An error and what caused it, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// A service in the same process.
pub(crate) fn in_process<S>(service: S) -> Transport
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    BoxCloneSyncService::new(service.map_err(|error| TransportError(error.into())))
}

/// Puts the key on every call.
pub(crate) fn with_credentials(transport: Transport, credentials: Credentials) -> Transport {
    BoxCloneSyncService::new(transport.map_request(move |mut request: Request<Body>| {
        if let Some(value) = credentials.header() {
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        request
    }))
}
