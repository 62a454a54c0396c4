//! The node's folder: one process at a time, the node's identity, the root key.

use crate::settings::Settings;
use millstream_access::RootKeys;
use millstream_cli::Failure;
use millstream_durable::{Access, replace};
use millstream_model::JournalId;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The version of `node.json` that this release writes.
const NODE_FORMAT: u32 = 1;

/// A locked data folder.
pub struct DataFolder {
    path: PathBuf,
    node: Node,
    /// Held for as long as the process uses the folder.
    _lock: File,
}

/// `node.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    format: u32,
    /// How this node knows its own lease: random, in this locked folder.
    node: JournalId,
    /// The cluster that it belongs to, once it does.
    cluster: Option<Uuid>,
}

impl DataFolder {
    /// Makes the folder if need be and locks it.
    ///
    /// # Errors
    /// When it cannot be used, or another process uses it.
    pub fn open(path: &Path) -> Result<DataFolder, Failure> {
        let unusable = |what: &str, error: &dyn std::fmt::Display| {
            Failure::new(format!(
                "cannot {what} in the data folder {}: {error}; choose another with --data-dir",
                path.display()
            ))
        };
        fs::create_dir_all(path).map_err(|error| unusable("make a folder", &error))?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path.join("lock"))
            .map_err(|error| unusable("make the lock file", &error))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            Errno::WOULDBLOCK => Failure::new(format!(
                "another millstream process uses the data folder {}; stop it or choose another with --data-dir",
                path.display()
            )),
            other => unusable("lock a file", &other),
        })?;
        let file = path.join("node.json");
        let node = match fs::read(&file) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map_err(|error| unusable("read node.json", &error))?
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let node = Node {
                    format: NODE_FORMAT,
                    node: JournalId::random(),
                    cluster: None,
                };
                write_whole(&file, &node).map_err(|error| unusable("write node.json", &error))?;
                node
            }
            Err(error) => return Err(unusable("read node.json", &error)),
        };
        if node.format != NODE_FORMAT {
            return Err(unusable(
                "read node.json",
                &format!("format {} needs a newer release", node.format),
            ));
        }
        Ok(DataFolder {
            path: path.to_owned(),
            node,
            _lock: lock,
        })
    }

    /// Locks a folder that a service has used before; a mistyped name must not make one.
    ///
    /// # Errors
    /// When there is none, or it cannot be used.
    pub fn open_existing(path: &Path) -> Result<DataFolder, Failure> {
        if !path.join("node.json").is_file() {
            return Err(Failure::new(format!(
                "{} holds no service yet; name another folder with --data-dir, or make a service and its first key with millstream start",
                path.display()
            )));
        }
        DataFolder::open(path)
    }

    /// How this node knows its own lease.
    pub fn node(&self) -> JournalId {
        self.node.node
    }

    /// The cluster that this node belongs to.
    pub fn cluster(&self) -> Option<Uuid> {
        self.node.cluster
    }

    /// Remembers the cluster for ever.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn join(&mut self, cluster: Uuid) -> Result<(), Failure> {
        if self.node.cluster == Some(cluster) {
            return Ok(());
        }
        self.node.cluster = Some(cluster);
        write_whole(&self.path.join("node.json"), &self.node).map_err(|error| {
            Failure::new(format!(
                "cannot write node.json in {}: {error}",
                self.path.display()
            ))
        })
    }

    /// The root key: from the file that the settings name, else from the folder, where it is made on first start.
    ///
    /// # Errors
    /// When it cannot be read, or must not be made because the store is not a folder.
    pub fn root_keys(&self, settings: &Settings) -> Result<RootKeys, Failure> {
        let own = self.path.join("root.key");
        let path = settings.root_key_file.as_ref().unwrap_or(&own);
        match fs::read_to_string(path) {
            Ok(text) => RootKeys::parse(&text)
                .map_err(|error| Failure::new(format!("{} is not a root key: {error}", path.display()))),
            Err(error) if error.kind() == ErrorKind::NotFound && settings.root_key_file.is_none() => {
                if !settings.store.starts_with("file:") {
                    return Err(Failure::new(format!(
                        "a store that other nodes can share needs one root key for all: pass --root-key-file (for a first one: (printf 1:; head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \\n') > FILE), or put it at {}",
                        own.display()
                    )));
                }
                let keys = RootKeys::from_random(random_bytes()?);
                replace(&own, keys.to_text().as_bytes(), Access::Owner)
                    .map_err(|error| Failure::new(format!("cannot write {}: {error}", own.display())))?;
                Ok(keys)
            }
            Err(error) => Err(Failure::new(format!(
                "cannot read the root key {}: {error}",
                path.display()
            ))),
        }
    }
}

fn random_bytes() -> Result<[u8; 32], Failure> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .map_err(|error| Failure::new(format!("the system gives no randomness: {error}")))?;
    Ok(bytes)
}

fn write_whole(path: &Path, node: &Node) -> std::io::Result<()> {
    replace(
        path,
        serde_json::to_string_pretty(node)?.as_bytes(),
        Access::Everybody,
    )
}
