//! The client: one transport, from which everything else is made.

use crate::admin::Admin;
use crate::error::Error;
use crate::transport::{self, Credentials, Transport, Trust};
use http::{Request, Response};
use millstream_rpc::control::sql_catalog_client::SqlCatalogClient;
use millstream_rpc::data::data_client::DataClient;
use millstream_rpc::sql::sql_client::SqlClient;
use tonic::body::Body;
use tower::{BoxError, Service};

/// One message, bytes; the service's own limit is the same.
pub(crate) const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A connection to Millstream as one key. Cheap to clone; all clones share the connection.
#[derive(Clone)]
pub struct Client {
    pub(crate) transport: Transport,
}

impl Client {
    /// A client of the service at `address` (`http://HOST:PORT`, `https://HOST:PORT`, or `HOST:PORT`, which is
    /// without TLS). Connects when first used. With `https` the system's certificate authorities are trusted.
    ///
    /// # Errors
    /// When `address` is not one.
    pub fn connect(address: &str, credentials: Credentials) -> Result<Client, Error> {
        Client::open(address, Trust::System, credentials)
    }

    /// A client of a service whose certificate was signed by one of these authorities (PEM), and by no other.
    ///
    /// # Errors
    /// When `address` is not one that begins with `https://`, or there is no certificate in `authorities`.
    pub fn connect_trusting(
        address: &str,
        authorities: &[u8],
        credentials: Credentials,
    ) -> Result<Client, Error> {
        Client::open(address, Trust::Only(authorities.to_vec()), credentials)
    }

    fn open(address: &str, trust: Trust, credentials: Credentials) -> Result<Client, Error> {
        let transport = transport::over_the_wire(address, trust)?;
        Ok(Client {
            transport: transport::with_credentials(transport, credentials),
        })
    }

    /// A client of a service in the same process, such as the broker's own routes: no socket in between.
    pub fn over<S>(service: S, credentials: Credentials) -> Client
    where
        S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
    {
        Client {
            transport: transport::with_credentials(transport::in_process(service), credentials),
        }
    }

    /// Organisations, keys, topics and quotas.
    pub fn admin(&self) -> Admin {
        Admin::new(self.transport.clone())
    }

    /// The data door's generated client, for what this crate does not wrap (consumer groups' offsets, for one).
    pub fn data(&self) -> DataClient<Transport> {
        DataClient::new(self.transport.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn sql_catalog(&self) -> SqlCatalogClient<Transport> {
        SqlCatalogClient::new(self.transport.clone())
    }

    pub(crate) fn sql_client(&self) -> SqlClient<Transport> {
        SqlClient::new(self.transport.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}
