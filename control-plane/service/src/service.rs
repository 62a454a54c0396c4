//! The service as a whole, and how its parts reach the catalog.

use crate::caller::principal;
use crate::status::refused;
use millstream_access::{Principal, RootKeys};
use millstream_controller::Handle;
use millstream_metadata::{Committed, Image, Request};
use millstream_model::limits::{CATALOG_WATCHERS_MAX, GRPC_MESSAGE_BYTES_MAX};
use millstream_rpc::control::cluster_server::ClusterServer;
use millstream_rpc::control::keys_server::KeysServer;
use millstream_rpc::control::organizations_server::OrganizationsServer;
use millstream_rpc::control::quotas_server::QuotasServer;
use millstream_rpc::control::sql_catalog_server::SqlCatalogServer;
use millstream_rpc::control::topics_server::TopicsServer;
use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::service::Routes;

/// What clients are told of the cluster.
#[derive(Clone, Debug)]
pub struct ClusterName {
    /// Its id, from `cluster.json`.
    pub id: String,
    /// Its name, from there too.
    pub name: String,
}

/// The control plane's API. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    pub(crate) controller: Handle,
    pub(crate) roots: Arc<RootKeys>,
    pub(crate) cluster: Arc<ClusterName>,
    pub(crate) watchers: Arc<Semaphore>,
    /// A quota is changed by reading it and writing it back.
    pub(crate) quotas: Arc<Mutex<()>>,
    pub(crate) draining: CancellationToken,
}

impl Service {
    /// Over this process's controller. When `draining` is cancelled, streams end.
    pub fn new(
        controller: Handle,
        roots: Arc<RootKeys>,
        cluster: ClusterName,
        draining: CancellationToken,
    ) -> Service {
        Service {
            controller,
            roots,
            cluster: Arc::new(cluster),
            watchers: Arc::new(Semaphore::new(CATALOG_WATCHERS_MAX)),
            quotas: Arc::new(Mutex::new(())),
            draining,
        }
    }

    /// Adds the control plane's services to those of a port.
    pub fn add_to(&self, routes: Routes) -> Routes {
        macro_rules! add {
            ($routes:expr, $server:ident) => {
                $routes.add_service(
                    $server::new(self.clone())
                        .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX)
                        .max_encoding_message_size(GRPC_MESSAGE_BYTES_MAX),
                )
            };
        }
        let routes = add!(routes, OrganizationsServer);
        let routes = add!(routes, KeysServer);
        let routes = add!(routes, TopicsServer);
        let routes = add!(routes, QuotasServer);
        let routes = add!(routes, SqlCatalogServer);
        add!(routes, ClusterServer)
    }

    /// The caller of a request, as the newest image knows it.
    pub(crate) fn caller<T>(&self, request: &tonic::Request<T>) -> Result<(Principal, Arc<Image>), Status> {
        let image = self.controller.image();
        let who = principal(&image, &self.roots, request)?;
        Ok((who, image))
    }

    /// Has a command decided, in the name of the caller.
    pub(crate) async fn submit<R: Request>(
        &self,
        who: &Principal,
        request: R,
    ) -> Result<Committed<R::Reply>, Status> {
        self.controller
            .submit(who.actor(), request)
            .await
            .map_err(|refusal| refused(&refusal))
    }
}
