//! What a controller needs to know; plain data.

use crate::copy::CopySettings;
use millstream_catalog::{Joining, StoreSettings};
use millstream_metadata::{Image, TopicDefaults};
use millstream_model::JournalId;
use object_store::ObjectStore;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How a controller runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The cluster, from `cluster.json`.
    pub cluster: Uuid,
    /// The journal of this process, whose folder it holds locked: how it knows its own lease.
    pub journal: JournalId,
    /// Where other nodes reach this process (gRPC), for the lease.
    pub address: String,
    /// How the catalog is kept.
    pub catalog: StoreSettings,
    /// How often the lease is written and sessions are looked at.
    pub lease_interval: Duration,
    /// A lease whose counter has stood still for so long is stale.
    pub lease_stale: Duration,
    /// A node that was not heard for so long has lost its session.
    pub session_timeout: Duration,
    /// Where this node keeps a copy of the catalog; none without.
    pub copy: Option<CopySettings>,
    /// The catalog as the copy has it, when the store was down at the start.
    pub known: Image,
    /// What topics get that neither their makers nor their virtual clusters say: written when this process begins to
    /// decide.
    pub topic_defaults: TopicDefaults,
    /// What `cluster.json` is still to be compared with, when it could not be read at the start: before anything else.
    pub joining: Option<Joining>,
    /// The store as requests for the lease reach it; none for the catalog's.
    pub lease_store: Option<Arc<dyn ObjectStore>>,
}

impl Settings {
    /// With the usual times (log.md 38).
    pub fn new(cluster: Uuid, journal: JournalId, address: String, catalog: StoreSettings) -> Settings {
        Settings {
            cluster,
            journal,
            address,
            catalog,
            lease_interval: Duration::from_secs(3),
            lease_stale: Duration::from_secs(9),
            session_timeout: Duration::from_secs(9),
            copy: None,
            known: Image::new(),
            topic_defaults: TopicDefaults::default(),
            joining: None,
            lease_store: None,
        }
    }
}
