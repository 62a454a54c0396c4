//! Opening the doors that are not plain HTTP, and what their clients are told.

use crate::descriptors::connections_max;
use crate::settings::Settings;
use millstream_cli::Failure;
use millstream_kafka::Bound;
use millstream_listener::{BindError, load_tls};
use millstream_metadata::HostPort;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use tokio::net::lookup_host;

/// What Kafka clients are told to connect to: what the operator says, else what is bound.
///
/// # Errors
/// When the operator's text is not `HOST:PORT`.
pub fn advertised(given: Option<&str>, bound: SocketAddr) -> Result<HostPort, Failure> {
    let Some(given) = given else {
        let host = match bound.ip() {
            ip if !ip.is_unspecified() => ip.to_string(),
            IpAddr::V4(_) | IpAddr::V6(_) => {
                return Err(Failure::new(
                    "a Kafka door on every address needs --kafka-advertise HOST:PORT, or clients would be told to connect to 0.0.0.0",
                ));
            }
        };
        return Ok(HostPort {
            host,
            port: bound.port(),
        });
    };
    let wrong = || Failure::new(format!("--kafka-advertise wants HOST:PORT, not '{given}'"));
    let (host, port) = given.rsplit_once(':').ok_or_else(wrong)?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    match port.parse() {
        // Port 0 stands for the bound one.
        Ok(port) if !host.is_empty() => Ok(HostPort {
            host: host.to_owned(),
            port: if port == 0 { bound.port() } else { port },
        }),
        _ => Err(wrong()),
    }
}

/// How the HTTP door behaves.
///
/// # Errors
/// When the certificate or its key cannot be used.
pub fn http_settings(settings: &Settings) -> Result<millstream_listener::Settings, Failure> {
    let alpn: &[&[u8]] = &[b"h2", b"http/1.1"];
    let tls = settings.tls.as_ref().map(|tls| load_tls(tls, alpn)).transpose();
    Ok(millstream_listener::Settings {
        tls: tls.map_err(|error| Failure::new(error.to_string()))?,
        connections_max: connections_max(),
        ..Default::default()
    })
}

/// Binds the Kafka door; nobody is let in yet.
///
/// # Errors
/// When the text is not an address, or the address cannot be had.
pub async fn bind_kafka(settings: &Settings) -> Result<Bound, Failure> {
    let text = &settings.kafka_listen;
    let resolved = lookup_host(text).await.ok().and_then(|mut found| found.next());
    let address = resolved.ok_or_else(|| {
        Failure::new(format!(
            "{text} is not an address to listen on; --kafka-listen wants HOST:PORT, such as 127.0.0.1:0"
        ))
    })?;
    let tls = settings.tls.as_ref().map(|tls| load_tls(tls, &[])).transpose();
    let tls = tls.map_err(|error| Failure::new(error.to_string()))?;
    millstream_kafka::bind(millstream_kafka::Settings {
        tls,
        connections_max: connections_max(),
        ..millstream_kafka::Settings::new(address)
    })
    .map_err(|error| match error.source.kind() {
        // Said as the HTTP door says it.
        ErrorKind::AddrInUse => Failure::new(
            BindError::Taken {
                address: text.clone(),
                flag: "--kafka-listen",
            }
            .to_string(),
        ),
        _ => Failure::new(error.to_string()),
    })
}
