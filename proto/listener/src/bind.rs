//! Binding a port, with errors that say what to do.

use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpSocket, lookup_host};

/// Connections that wait to be accepted; the system may allow fewer. The library's 128 are full after a burst that lasts
/// a millisecond, and who comes then tries again a second later.
const BACKLOG: u32 = 4096;

/// A door that could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another process has the port.
    #[error(
        "{address} is taken by another process; stop it or choose another port with {flag} (port 0 takes a free one)"
    )]
    Taken {
        /// The address asked for.
        address: String,
        /// The flag that sets it.
        flag: &'static str,
    },
    /// The text is not an address.
    #[error("{address} is not an address to listen on; {flag} wants HOST:PORT, such as 127.0.0.1:0")]
    Address {
        /// The address asked for.
        address: String,
        /// The flag that sets it.
        flag: &'static str,
    },
    /// Anything else the system refused.
    #[error("cannot listen on {address}: {source}; choose another address with {flag}")]
    Refused {
        /// The address asked for.
        address: String,
        /// The flag that sets it.
        flag: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl BindError {
    /// It has no meaning at all, or is a name that leads nowhere.
    pub fn unresolved(address: &str, flag: &'static str, source: io::Error) -> BindError {
        let address = address.to_owned();
        match source.kind() {
            io::ErrorKind::InvalidInput => BindError::Address { address, flag },
            _ => BindError::Refused {
                address,
                flag,
                source,
            },
        }
    }
}

/// Binds `address` (`HOST:PORT`, port 0 for a free one). `flag` is named in errors.
///
/// # Errors
/// When the text is not an address, the port is taken, or the system refuses.
pub async fn bind(address: &str, flag: &'static str) -> Result<TcpListener, BindError> {
    let resolved: Vec<SocketAddr> = match lookup_host(address).await {
        Ok(found) => found.collect(),
        Err(source) => return Err(BindError::unresolved(address, flag, source)),
    };
    match listen(&resolved) {
        Ok(listener) => Ok(listener),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(BindError::Taken {
            address: address.to_owned(),
            flag,
        }),
        Err(source) => Err(BindError::Refused {
            address: address.to_owned(),
            flag,
            source,
        }),
    }
}

/// Listens on the first of the addresses that can be had.
fn listen(addresses: &[SocketAddr]) -> io::Result<TcpListener> {
    let mut refused = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        match socket.bind(*address).and_then(|()| socket.listen(BACKLOG)) {
            Ok(listener) => return Ok(listener),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}
