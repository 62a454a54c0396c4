//! Opening the doors that are not plain HTTP, and what their clients are told.

use crate::descriptors::connections_max;
use crate::settings::Settings;
use millstream_cli::Failure;
use millstream_kafka::Bound;
use millstream_listener::{BindError, Certificates, TlsSettings};
use millstream_metadata::HostPort;
use prometheus_client::registry::Registry;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::lookup_host;

/// Connections before the doors are open: probes, and clients who learn that it starts.
const EARLY_CONNECTIONS_MAX: usize = 256;

/// How long one of them is kept after its last request.
const EARLY_IDLE_MAX: Duration = Duration::from_secs(5);

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

/// The certificate that the doors show, if they speak TLS.
///
/// # Errors
/// When the certificate or its key cannot be used.
pub fn certificates(settings: &Settings) -> Result<Option<Arc<Certificates>>, Failure> {
    let load = |tls: &TlsSettings| Certificates::load(tls.clone()).map(Arc::new);
    let loaded = settings.tls.as_ref().map(load).transpose();
    loaded.map_err(|error| Failure::new(error.to_string()))
}

/// How the HTTP door behaves.
pub fn http_settings(
    certificates: Option<&Certificates>,
    registry: &mut Registry,
) -> millstream_listener::Settings {
    millstream_listener::Settings {
        connections_max: connections_max(),
        metrics: millstream_listener::Metrics::register(registry),
        idle_timeout: millstream_listener::Settings::default().idle_timeout,
        ..early_settings(certificates)
    }
}

/// How it behaves before it opens: few have a place, and nobody stays.
pub fn early_settings(certificates: Option<&Certificates>) -> millstream_listener::Settings {
    let alpn: &[&[u8]] = &[b"h2", b"http/1.1"];
    millstream_listener::Settings {
        tls: certificates.map(|it| it.config(alpn)),
        connections_max: EARLY_CONNECTIONS_MAX,
        idle_timeout: EARLY_IDLE_MAX,
        ..Default::default()
    }
}

/// Says what strangers could read or do, for doors that are not on this machine alone.
pub fn warn_of_strangers(kafka: SocketAddr, http: SocketAddr, admin: SocketAddr, has_tls: bool) {
    for line in strangers(kafka, http, admin, has_tls) {
        tracing::warn!("{line}");
    }
}

fn strangers(kafka: SocketAddr, http: SocketAddr, admin: SocketAddr, has_tls: bool) -> Vec<String> {
    let is_public = |address: &SocketAddr| !address.ip().to_canonical().is_loopback();
    let mut lines = Vec::new();
    for (door, address) in [("Kafka", kafka), ("gRPC and HTTP", http)] {
        if is_public(&address) && !has_tls {
            lines.push(format!(
                "the door for {door} on {address} speaks without TLS: who is on the way reads secrets and records; give it a \
                 certificate with --tls-certificate and --tls-key"
            ));
        }
    }
    if is_public(&admin) {
        lines.push(format!(
            "the admin port on {admin} can be reached from elsewhere: nobody logs in there, and it names all tenants; use a \
             loopback address with --admin-listen"
        ));
    }
    lines
}

/// Binds the Kafka door; nobody is let in yet.
///
/// # Errors
/// When the text is not an address, or the address cannot be had.
pub async fn bind_kafka(settings: &Settings, certificates: Option<&Certificates>) -> Result<Bound, Failure> {
    let text = &settings.kafka_listen;
    let resolved = lookup_host(text).await.and_then(|mut found| {
        let none = || std::io::Error::from(ErrorKind::AddrNotAvailable);
        found.next().ok_or_else(none)
    });
    let unresolved = |error| Failure::new(BindError::unresolved(text, "--kafka-listen", error).to_string());
    let address = resolved.map_err(unresolved)?;
    millstream_kafka::bind(millstream_kafka::Settings {
        tls: certificates.map(|it| it.config(&[])),
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

#[cfg(test)]
mod tests {
    use super::strangers;

    #[test]
    fn what_strangers_reach_in_the_clear_is_said() {
        let told = |kafka: &str, http: &str, admin: &str, has_tls| {
            let address = |text: &str| text.parse().unwrap();
            strangers(address(kafka), address(http), address(admin), has_tls).join("\n")
        };
        let (here, all, there) = ("127.0.0.1:1", "0.0.0.0:2", "192.0.2.1:3");
        assert_eq!(told(here, "[::1]:1", "[::ffff:127.0.0.1]:9", false), "");
        assert_eq!(told(all, there, here, true), "");
        let both = told(all, there, here, false);
        assert!(
            both.contains("Kafka on 0.0.0.0:2") && both.contains("HTTP on 192.0.2.1:3"),
            "{both}"
        );
        let admin = told(here, here, all, true);
        assert!(
            admin.contains("admin port on 0.0.0.0:2") && admin.contains("--admin-listen"),
            "{admin}"
        );
    }
}
