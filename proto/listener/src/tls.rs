//! Certificates from PEM files, for as many doors as there are, read again when the operator says so.

use crate::pem::{PemError, Section, sections};
use crate::validity::Validity;
use millstream_durable::read_named;
use parking_lot::RwLock;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::SectionKind;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest file that is read: a chain and its key have some ten thousand bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where the certificate chain and its key lie, both as PEM.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {what} from {path}: {reason}")]
    Read {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// A file is not PEM, or holds more than PEM.
    #[error("cannot read {what} from {path}: {reason}")]
    Pem {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: PemError,
    },
    /// A file without what it is for.
    #[error("there is no {what} in {path}")]
    Empty {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// A section that says CERTIFICATE and is none.
    #[error("the section at line {line} of {path} is no certificate")]
    Certificate {
        /// The line, from 1.
        line: usize,
        /// The file.
        path: PathBuf,
    },
    /// A key of a kind or size that nobody takes.
    #[error(
        "the key in {path} cannot be used: {source}; RSA keys have 2,048 to 8,192 bits, others are ECDSA or Ed25519"
    )]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The two do not fit together.
    #[error("the certificate and the key do not work together ({certificate}, {key}): {source}")]
    Mismatch {
        /// The chain's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// A certificate that doors show, and that can be replaced while they are open.
#[derive(Debug)]
pub struct Certificates {
    settings: TlsSettings,
    current: Arc<Current>,
}

/// What handshakes are answered with from now on.
#[derive(Debug)]
struct Current {
    shown: RwLock<Shown>,
}

#[derive(Clone, Debug)]
struct Shown {
    key: Arc<CertifiedKey>,
    validity: Validity,
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.shown.read().key))
    }
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    /// When a file cannot be read, holds what is no certificate or key, or the pair does not fit.
    pub fn load(settings: TlsSettings) -> Result<Certificates, TlsError> {
        let shown = RwLock::new(read(&settings)?);
        Ok(Certificates {
            settings,
            current: Arc::new(Current { shown }),
        })
    }

    /// The configuration of a door that speaks these protocols; what [`Certificates::reload`] finds counts for it too.
    pub fn config(&self, alpn: &[&[u8]]) -> Arc<ServerConfig> {
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(&self.current) as _;
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }

    /// Reads the files again. New connections are shown what is there now; those that are open stay.
    ///
    /// # Errors
    /// As [`Certificates::load`]; then the last ones stay.
    pub fn reload(&self) -> Result<Validity, TlsError> {
        let shown = read(&self.settings)?;
        let validity = shown.validity;
        *self.current.shown.write() = shown;
        Ok(validity)
    }

    /// From when until when the whole chain holds.
    pub fn validity(&self) -> Validity {
        self.current.shown.read().validity
    }

    /// Where it comes from.
    pub fn file(&self) -> &Path {
        &self.settings.certificate
    }
}

fn read(settings: &TlsSettings) -> Result<Shown, TlsError> {
    let (chain, validity) = read_chain(&settings.certificate)?;
    let key = read_key(&settings.key)?;
    let mismatch = |source| TlsError::Mismatch {
        certificate: settings.certificate.clone(),
        key: settings.key.clone(),
        source,
    };
    let provider = CryptoProvider::get_default().cloned();
    let provider = provider.unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let loaded = provider.key_provider.load_private_key(key.clone_key());
    loaded.map_err(|source| TlsError::Key {
        path: settings.key.clone(),
        source,
    })?;
    let key = CertifiedKey::from_der(chain, key, &provider).map_err(mismatch)?;
    Ok(Shown {
        key: Arc::new(key),
        validity,
    })
}

fn read_chain(path: &Path) -> Result<(Vec<CertificateDer<'static>>, Validity), TlsError> {
    let what = "the certificate chain";
    let (mut chain, mut validity) = (Vec::new(), None::<Validity>);
    let found = read_sections(what, path)?;
    for section in found.into_iter().filter(|it| it.kind == SectionKind::Certificate) {
        let own = Validity::of(&section.der).ok_or_else(|| TlsError::Certificate {
            line: section.line,
            path: path.to_owned(),
        })?;
        validity = Some(validity.map_or(own, |before| before.and(own)));
        chain.push(CertificateDer::from(section.der));
    }
    let empty = || TlsError::Empty {
        what: "certificate",
        path: path.to_owned(),
    };
    Ok((chain, validity.ok_or_else(empty)?))
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let found = read_sections("the private key", path)?;
    let key = found
        .into_iter()
        .find_map(|Section { kind, der, .. }| match kind {
            SectionKind::PrivateKey => Some(PrivateKeyDer::Pkcs8(der.into())),
            SectionKind::RsaPrivateKey => Some(PrivateKeyDer::Pkcs1(der.into())),
            SectionKind::EcPrivateKey => Some(PrivateKeyDer::Sec1(der.into())),
            _ => None,
        });
    key.ok_or_else(|| TlsError::Empty {
        what: "private key",
        path: path.to_owned(),
    })
}

fn read_sections(what: &'static str, path: &Path) -> Result<Vec<Section>, TlsError> {
    let bytes = read_named(path, FILE_BYTES_MAX).map_err(|reason| TlsError::Read {
        what,
        path: path.to_owned(),
        reason,
    })?;
    sections(&bytes).map_err(|reason| TlsError::Pem {
        what,
        path: path.to_owned(),
        reason,
    })
}
