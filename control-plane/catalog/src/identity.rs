//! `cluster.json`: which cluster lives in this folder of the store, and whether this node belongs to it (log.md 40).

use millstream_store::{Fault, explain};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use uuid::Uuid;

/// The form of the file and of the folder around it that this release reads and writes. In form 1 consumer groups lay in eight
/// partitions, by their tenant alone; nothing of it is read any more.
const FORMAT: u32 = 2;

/// The largest file that is read: ours has a few hundred bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A cluster's identity, as `cluster.json` holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The form of this file and of the folder around it.
    pub format: u32,
    /// Random, for ever.
    pub id: Uuid,
    /// Chosen at the first start.
    pub name: String,
    /// A check value for each version of the root key.
    pub root_key_checks: BTreeMap<u32, String>,
}

/// What a node knows before it belongs to a cluster.
#[derive(Clone, Debug)]
pub struct Joining {
    /// The cluster's id on this node's disk; none on an empty disk.
    pub known: Option<Uuid>,
    /// What the operator called the cluster (`--cluster`).
    pub name: Option<String>,
    /// The check values of this node's root key.
    pub root_key_checks: BTreeMap<u32, String>,
    /// The id that the cluster gets if this is its first start.
    pub fresh: Uuid,
}

/// Why a node does not belong here.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The store failed.
    #[error("{}", explain(.operation, .path, .store, .source))]
    Store {
        /// What was to be done.
        operation: &'static str,
        /// The object.
        path: String,
        /// The store, as it shows itself.
        store: String,
        /// Why.
        source: Box<object_store::Error>,
    },
    /// The file does not read.
    #[error("{path} in the store does not read: it is not a Millstream cluster's")]
    Malformed {
        /// The object.
        path: String,
    },
    /// An earlier release made it.
    #[error(
        "the cluster has format {found}, of an earlier release, whose data this release (format {FORMAT}) does not read: \
         choose an empty folder of the store, or go on with that release"
    )]
    EarlierFormat {
        /// The format found.
        found: u32,
    },
    /// A newer release made it.
    #[error("the cluster has format {found}, this release knows format {FORMAT}: start a newer release")]
    NewerFormat {
        /// The format found.
        found: u32,
    },
    /// The node's disk belongs to another cluster.
    #[error("this node's data folder belongs to cluster {known}, the store holds cluster {found} ('{name}')")]
    OtherCluster {
        /// What the disk says.
        known: Uuid,
        /// What the store says.
        found: Uuid,
        /// Its name.
        name: String,
    },
    /// The node's disk belongs to a cluster, and the store holds none.
    #[error(
        "this node's data folder belongs to cluster {known}, but the store holds no cluster: is --store right?"
    )]
    Missing {
        /// What the disk says.
        known: Uuid,
    },
    /// An empty disk must say which cluster it joins.
    #[error("the store holds cluster '{name}': to join it with an empty data folder, say --cluster {name}")]
    NameNeeded {
        /// Its name.
        name: String,
    },
    /// The name is another one.
    #[error("the store holds cluster '{found}', not '{wanted}'")]
    OtherName {
        /// What the operator said.
        wanted: String,
        /// What the store says.
        found: String,
    },
    /// The root key is not this cluster's.
    #[error("the root key is not this cluster's (version {version}): every secret would be wrong")]
    RootKey {
        /// The version.
        version: u32,
    },
    /// The folder lies inside another cluster's.
    #[error(
        "the store's folder lies inside the one of another cluster ('{outer}'): choose a folder beside it"
    )]
    Nested {
        /// The other cluster's file.
        outer: String,
    },
}

impl IdentityError {
    /// Whether the store is down, so that it may answer otherwise in a moment.
    pub fn store_is_down(&self) -> bool {
        match self {
            IdentityError::Store { source, .. } => Fault::of(source).may_pass(),
            _ => false,
        }
    }
}

impl Identity {
    /// The cluster that lives in this folder of the store, if one does; nothing is made.
    ///
    /// # Errors
    /// When the store fails, or the file is none of this release's.
    pub async fn read(store: &dyn ObjectStore, prefix: &Path) -> Result<Option<Identity>, IdentityError> {
        read(store, &file(prefix)).await
    }
}

/// Finds the cluster of a folder of the store, or makes it on its first start.
pub async fn establish(
    store: &dyn ObjectStore,
    prefix: &Path,
    joining: &Joining,
) -> Result<Identity, IdentityError> {
    refuse_nested(store, prefix).await?;
    let path = file(prefix);
    let found = match read(store, &path).await? {
        Some(found) => found,
        None => match joining.known {
            Some(known) => return Err(IdentityError::Missing { known }),
            None => match create(store, &path, joining).await? {
                Some(made) => return Ok(made),
                // Somebody was faster.
                None => read(store, &path).await?.ok_or_else(|| malformed(&path))?,
            },
        },
    };
    check(&found, joining)?;
    add_root_keys(store, &path, found, joining).await
}

/// Whether the store takes writes: who the cluster is is written once more, if it is not there, which it is. A store that
/// can be read only (a full disk, a permission that is missing) lets nobody decide.
///
/// # Errors
/// When it does not.
pub async fn takes_writes(
    store: &dyn ObjectStore,
    prefix: &Path,
    identity: &Identity,
) -> Result<(), IdentityError> {
    put_new(store, &file(prefix), identity).await.map(drop)
}

fn check(found: &Identity, joining: &Joining) -> Result<(), IdentityError> {
    match (joining.known, &joining.name) {
        (Some(known), _) if known != found.id => {
            return Err(IdentityError::OtherCluster {
                known,
                found: found.id,
                name: found.name.clone(),
            });
        }
        (_, Some(wanted)) if *wanted != found.name => {
            return Err(IdentityError::OtherName {
                wanted: wanted.clone(),
                found: found.name.clone(),
            });
        }
        (None, None) => {
            return Err(IdentityError::NameNeeded {
                name: found.name.clone(),
            });
        }
        (Some(_), _) | (None, Some(_)) => {}
    }
    let mut known = false;
    for (version, value) in &joining.root_key_checks {
        match found.root_key_checks.get(version) {
            Some(there) if there == value => known = true,
            Some(_) => return Err(IdentityError::RootKey { version: *version }),
            None => {}
        }
    }
    let version = found
        .root_key_checks
        .keys()
        .next_back()
        .copied()
        .unwrap_or_default();
    if known {
        Ok(())
    } else {
        Err(IdentityError::RootKey { version })
    }
}

/// Versions of the root key that this node is the first to bring.
async fn add_root_keys(
    store: &dyn ObjectStore,
    path: &Path,
    mut found: Identity,
    joining: &Joining,
) -> Result<Identity, IdentityError> {
    let before = found.root_key_checks.len();
    for (version, value) in &joining.root_key_checks {
        found
            .root_key_checks
            .entry(*version)
            .or_insert_with(|| value.clone());
    }
    if found.root_key_checks.len() > before {
        let put = store.put(path, payload(&found)).await;
        put.map_err(|source| failed(store, "write", path, source))?;
    }
    Ok(found)
}

async fn create(
    store: &dyn ObjectStore,
    path: &Path,
    joining: &Joining,
) -> Result<Option<Identity>, IdentityError> {
    let made = Identity {
        format: FORMAT,
        id: joining.fresh,
        name: joining.name.clone().unwrap_or_else(|| "millstream".to_owned()),
        root_key_checks: joining.root_key_checks.clone(),
    };
    Ok(put_new(store, path, &made).await?.then_some(made))
}

/// Writes what is not there; whether it was not.
async fn put_new(store: &dyn ObjectStore, path: &Path, identity: &Identity) -> Result<bool, IdentityError> {
    let options = PutOptions {
        mode: PutMode::Create,
        ..PutOptions::default()
    };
    match store.put_opts(path, payload(identity), options).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
            Ok(false)
        }
        Err(source) => Err(failed(store, "write", path, source)),
    }
}

async fn read(store: &dyn ObjectStore, path: &Path) -> Result<Option<Identity>, IdentityError> {
    let got = match store.get(path).await {
        Ok(got) => got,
        Err(error) if is_missing(&error) => return Ok(None),
        Err(source) => return Err(failed(store, "read", path, source)),
    };
    if got.meta.size > FILE_BYTES_MAX {
        return Err(malformed(path));
    }
    let bytes = got.bytes().await;
    let bytes = bytes.map_err(|source| failed(store, "read", path, source))?;
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let Format { format } = serde_json::from_slice(&bytes).map_err(|_| malformed(path))?;
    match format.cmp(&FORMAT) {
        Ordering::Less => return Err(IdentityError::EarlierFormat { found: format }),
        Ordering::Greater => return Err(IdentityError::NewerFormat { found: format }),
        Ordering::Equal => {}
    }
    serde_json::from_slice(&bytes)
        .map(Some)
        .map_err(|_| malformed(path))
}

/// Two clusters, one inside the other, would take each other's objects for garbage.
async fn refuse_nested(store: &dyn ObjectStore, prefix: &Path) -> Result<(), IdentityError> {
    let parts: Vec<_> = prefix.parts().collect();
    for length in 0..parts.len() {
        let outer = file(&Path::from_iter(parts[..length].iter().cloned()));
        match store.head(&outer).await {
            Ok(_) => {
                return Err(IdentityError::Nested {
                    outer: outer.to_string(),
                });
            }
            Err(error) if is_missing(&error) => {}
            Err(source) => return Err(failed(store, "look for", &outer, source)),
        }
    }
    Ok(())
}

fn file(prefix: &Path) -> Path {
    prefix.clone().join("cluster.json")
}

fn payload(identity: &Identity) -> PutPayload {
    let bytes = serde_json::to_vec_pretty(identity).expect("bug: an identity holds only what JSON can say");
    PutPayload::from(bytes)
}

/// Whether it is the object that is missing; a bucket that is missing is a fault.
fn is_missing(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. }) && Fault::of(error) == Fault::Answered
}

fn failed(
    store: &dyn ObjectStore,
    operation: &'static str,
    path: &Path,
    source: object_store::Error,
) -> IdentityError {
    IdentityError::Store {
        operation,
        path: path.to_string(),
        store: store.to_string(),
        source: Box::new(source),
    }
}

fn malformed(path: &Path) -> IdentityError {
    IdentityError::Malformed {
        path: path.to_string(),
    }
}
