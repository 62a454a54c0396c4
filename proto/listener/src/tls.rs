//! Certificates from PEM files into a rustls configuration with ALPN for h2 and HTTP/1.1.

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// A file is missing or is not PEM.
    #[error("cannot read {what} from {path}: {reason}")]
    Read {
        /// Certificate or key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The two do not fit together.
    #[error("the certificate and the key do not work together: {0}")]
    Mismatch(#[from] rustls::Error),
}

/// Reads the files and makes the server's TLS configuration.
///
/// # Errors
/// When a file cannot be read or the pair does not fit.
pub fn load_tls(settings: &TlsSettings, alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
    let chain = CertificateDer::pem_file_iter(&settings.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable("the certificate chain", &settings.certificate, &error))?;
    let key = PrivateKeyDer::from_pem_file(&settings.key)
        .map_err(|error| unreadable("the private key", &settings.key, &error))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

fn unreadable(what: &'static str, path: &Path, error: &rustls::pki_types::pem::Error) -> TlsError {
    TlsError::Read {
        what,
        path: path.to_owned(),
        reason: error.to_string(),
    }
}
