//! The cluster as its nodes and operators see it.

use crate::caller::{is_admin, is_operator, require_node};
use crate::keys::sees_tenant;
use crate::service::Service;
use crate::status::denied;
use crate::version::veiled;
use futures::Stream;
use millstream_controller::{NotActive, Update};
use millstream_metadata::{Change, Image};
use millstream_rpc::control as rpc;
use millstream_rpc::control::cluster_server::Cluster;
use std::pin::Pin;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, async_trait};

/// Audit events in one answer.
const AUDIT_LIMIT_MAX: u32 = 1_000;

/// Audit events in an answer to who did not say.
const AUDIT_LIMIT_DEFAULT: u32 = 100;

/// Bytes of rows in one message of a snapshot, about.
const SNAPSHOT_BYTES: usize = 1024 * 1024;

/// Messages that a slow watcher may be behind before it waits.
const WATCH_QUEUE: usize = 8;

type Messages = mpsc::Sender<Result<rpc::WatchCatalogResponse, Status>>;

#[async_trait]
impl Cluster for Service {
    async fn describe_cluster(
        &self,
        request: Request<rpc::DescribeClusterRequest>,
    ) -> Result<Response<rpc::DescribeClusterResponse>, Status> {
        let (who, image) = self.caller(&request)?;
        // How much all tenants together change is the operator's to know.
        let version = if is_operator(&who) {
            image.version()
        } else {
            veiled(&self.roots, who.tenant, image.version())
        };
        let nodes = image.nodes().map(|row| rpc::Node {
            id: row.id.0,
            kafka: row.kafka.to_string(),
            http: row.http.to_string(),
            registration: row.registration.0,
        });
        Ok(Response::new(rpc::DescribeClusterResponse {
            cluster_id: self.cluster.id.clone(),
            name: self.cluster.name.clone(),
            version,
            term: image.term(),
            feature_level: image.feature_level(),
            nodes: nodes.collect(),
        }))
    }

    type WatchCatalogStream = Pin<Box<dyn Stream<Item = Result<rpc::WatchCatalogResponse, Status>> + Send>>;

    async fn watch_catalog(
        &self,
        request: Request<rpc::WatchCatalogRequest>,
    ) -> Result<Response<Self::WatchCatalogStream>, Status> {
        require_node(&self.roots, request.metadata())?;
        if self.controller.term().is_none() {
            return Err(Status::unavailable("this node is not the controller"));
        }
        let permit = std::sync::Arc::clone(&self.watchers).try_acquire_owned();
        let permit = permit.map_err(|_| Status::resource_exhausted("too many watchers of the catalog"))?;
        let (sender, receiver) = mpsc::channel(WATCH_QUEUE);
        tokio::spawn(self.clone().follow(sender, permit));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn list_audit_events(
        &self,
        request: Request<rpc::ListAuditEventsRequest>,
    ) -> Result<Response<rpc::ListAuditEventsResponse>, Status> {
        let (who, image) = self.caller(&request)?;
        if !is_admin(&who) {
            return Err(denied("this needs an administrator's key of the virtual cluster"));
        }
        let limit = match request.get_ref().limit {
            0 => AUDIT_LIMIT_DEFAULT,
            limit => limit.min(AUDIT_LIMIT_MAX),
        };
        let wanted = |tenant| match tenant {
            Some(tenant) => sees_tenant(&image, &who, tenant),
            None => is_operator(&who),
        };
        let events = self
            .controller
            .audit(limit as usize, |event| wanted(event.tenant))
            .await;
        let events = events.map_err(|error| match error {
            NotActive::Standby | NotActive::GivenUp(_) | NotActive::Stopped => {
                Status::unavailable(error.to_string())
            }
            NotActive::Catalog(error) => {
                tracing::warn!(%error, "audit events could not be read");
                Status::unavailable("the catalog's store failed")
            }
        })?;
        let events = events.iter().map(|event| rpc::AuditEvent {
            time_ms: event.time.0,
            actor: event.actor.clone(),
            action: event.action.clone(),
            resource: event.resource.clone(),
        });
        Ok(Response::new(rpc::ListAuditEventsResponse {
            events: events.collect(),
        }))
    }
}

impl Service {
    /// Sends a snapshot, then every change; a new snapshot when the watcher or this process lost the thread.
    async fn follow(self, messages: Messages, _permit: OwnedSemaphorePermit) {
        let mut updates = self.controller.updates();
        let Some(mut version) = send_snapshot(&messages, &self.controller.image()).await else {
            return;
        };
        loop {
            let update = tokio::select! {
                update = updates.recv() => update,
                () = messages.closed() => return,
                () = self.draining.cancelled() => return,
                () = self.controller.stopped() => return,
            };
            let sent = match update {
                Ok(update) if update.version <= version && update.changes.is_some() => Some(version),
                Ok(Update {
                    term,
                    version,
                    changes: Some(changes),
                }) => {
                    let changes = changes.iter().filter(|change| !is_audit(change));
                    let changes = changes.map(|change| change.to_bytes()).collect();
                    let message = rpc::WatchCatalogResponse {
                        term,
                        version,
                        snapshot: false,
                        changes,
                    };
                    messages.send(Ok(message)).await.ok().map(|()| version)
                }
                Ok(Update { changes: None, .. }) | Err(RecvError::Lagged(_)) => {
                    send_snapshot(&messages, &self.controller.image()).await
                }
                Err(RecvError::Closed) => return,
            };
            match sent {
                Some(sent) => version = sent,
                None => return,
            }
        }
    }
}

/// Sends every row; the last message carries the version, those before it 0. None if the watcher is gone.
async fn send_snapshot(messages: &Messages, image: &Image) -> Option<u64> {
    let (term, mut first, mut bytes, mut changes) = (image.term(), true, 0, Vec::new());
    for row in image.rows() {
        let change = Change::Put(row).to_bytes();
        if bytes > 0 && bytes + change.len() > SNAPSHOT_BYTES {
            let changes = std::mem::take(&mut changes);
            let message = rpc::WatchCatalogResponse {
                term,
                version: 0,
                snapshot: first,
                changes,
            };
            messages.send(Ok(message)).await.ok()?;
            (first, bytes) = (false, 0);
        }
        bytes += change.len();
        changes.push(change);
    }
    let version = image.version();
    let message = rpc::WatchCatalogResponse {
        term,
        version,
        snapshot: first,
        changes,
    };
    messages.send(Ok(message)).await.ok()?;
    Some(version)
}

fn is_audit(change: &Change) -> bool {
    matches!(change.key(), millstream_metadata::RowKey::Audit(_))
}
