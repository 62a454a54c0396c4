//! The node's folder: one process at a time, the node's identity, the root key.

use crate::settings::Settings;
use millstream_access::RootKeys;
use millstream_broker::StoreBefore;
use millstream_cli::Failure;
use millstream_durable::{Access, read_named, replace};
use millstream_model::JournalId;
use rustix::fs::{FlockOperation, Mode, flock};
use rustix::io::Errno;
use rustix::process::umask;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// The form of `node.json` and of the folder around it that this release reads and writes. In form 1 snapshots of groups had
/// no sections, and consumer groups lay in eight partitions by their tenant alone.
const NODE_FORMAT: u32 = 2;

/// A root key file: a line for each version.
const ROOT_KEY_BYTES_MAX: u64 = 64 * 1024;

/// What a node keeps in its folder.
const IN_THE_FOLDER: [&str; 7] = [
    "catalog",
    "journal",
    "lock",
    "node.json",
    "root.key",
    "snapshots",
    "store",
];

/// What a cluster keeps in a store that is a folder.
const IN_THE_STORE: [&str; 5] = ["catalog", "cluster.json", "groups", "lease.json", "sql"];

/// A locked data folder.
pub struct DataFolder {
    path: PathBuf,
    node: Node,
    /// The root key that should be here and is not, while the store holds a cluster.
    lacks_root_key: Option<PathBuf>,
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

/// `node.json` does not read: all that it says can be found again.
fn damaged(file: &Path, error: &serde_json::Error) -> Failure {
    Failure::new(format!(
        "{} does not read: {error}; move it away and start again with the same --data-dir: the journal beside it is whole \
         without it (--cluster says whose it is, where the store is not in the same folder)",
        file.display()
    ))
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
        if path.join("node.json").exists() || is_empty(path) {
            tighten(path, &IN_THE_FOLDER);
        }
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
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| damaged(&file, &error))?,
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
        if node.format < NODE_FORMAT {
            return Err(unusable(
                "read what is",
                &format!(
                    "it has format {}, of an earlier release, whose data this release (format {NODE_FORMAT}) does not read",
                    node.format
                ),
            ));
        }
        if node.format > NODE_FORMAT {
            return Err(unusable(
                "read node.json",
                &format!("format {} needs a newer release", node.format),
            ));
        }
        Ok(DataFolder {
            path: path.to_owned(),
            node,
            lacks_root_key: None,
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

    /// What is known of this node's store.
    pub fn store_before(&self) -> StoreBefore {
        match self.node.cluster {
            Some(_) => StoreBefore::HeldCluster,
            None => StoreBefore::Unknown,
        }
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

    /// The root key that should be in this folder and is not, when the store holds a cluster already.
    pub fn lacks_root_key(&self) -> Option<&Path> {
        self.lacks_root_key.as_deref()
    }

    /// The root key: from the file that the settings name, else from the folder, where it is made on first start.
    ///
    /// # Errors
    /// When it cannot be read, or must not be made: the store is not a folder, or there is a cluster that has one.
    pub fn root_keys(&mut self, settings: &Settings) -> Result<RootKeys, Failure> {
        let own = self.path.join("root.key");
        let path = settings.root_key_file.as_ref().unwrap_or(&own);
        match read_named(path, ROOT_KEY_BYTES_MAX) {
            Ok(bytes) => RootKeys::parse(&String::from_utf8_lossy(&bytes))
                .map_err(|error| Failure::new(format!("{} is not a root key: {error}", path.display()))),
            Err(error) if error.kind() == ErrorKind::NotFound && settings.root_key_file.is_none() => {
                self.first_root_key(settings, own)
            }
            Err(error) => Err(Failure::new(format!(
                "cannot read the root key {}: {error}",
                path.display()
            ))),
        }
    }

    /// The root key of a node that has none: made where there is no cluster yet that another would be foreign to.
    fn first_root_key(&mut self, settings: &Settings, own: PathBuf) -> Result<RootKeys, Failure> {
        if let Some(cluster) = self.node.cluster {
            return Err(Failure::new(format!(
                "the root key {} is missing, and this node is part of cluster {cluster}: put it back from its backup, or \
                 name it with --root-key-file; no other key opens what that one has made",
                own.display()
            )));
        }
        let Some(store) = settings.store.strip_prefix("file://") else {
            return Err(Failure::new(format!(
                "a store that other nodes can share needs one root key for all: pass --root-key-file (for a first one: (printf 1:; head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \\n') > FILE), or put it at {}",
                own.display()
            )));
        };
        let keys = RootKeys::from_random(random_bytes()?);
        if Path::new(store).join("cluster.json").exists() {
            // Nobody can join with this one: what is wrong beside is told first, and this then.
            self.lacks_root_key = Some(own);
            return Ok(keys);
        }
        replace(&own, keys.to_text().as_bytes(), Access::Owner)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", own.display())))?;
        Ok(keys)
    }
}

/// What the process makes from here on is its user's alone: tenants' data, keys, the catalog.
pub fn keep_to_owner() {
    umask(Mode::RWXG | Mode::RWXO);
}

/// Keeps a store that is a folder of ours to its owner; another's is left as it is.
pub fn tighten_store(url: &str) {
    if let Some(folder) = url.strip_prefix("file://").map(Path::new)
        && folder.join("cluster.json").exists()
    {
        tighten(folder, &IN_THE_STORE);
    }
}

/// Takes what is ours in a folder from everybody but its owner, and the folder itself unless something else lies in it
/// too: who names `/tmp` or a home as the data folder must not lock everybody out of it. What is deeper cannot be
/// reached then.
fn tighten(folder: &Path, ours: &[&str]) {
    let inner = fs::read_dir(folder).into_iter().flatten().flatten();
    let (mine, others): (Vec<_>, Vec<_>) = inner
        .map(|entry| entry.path())
        .partition(|path| is_one_of(path, ours));
    let whole = others.is_empty().then(|| folder.to_owned());
    let mut tightened = 0;
    for path in whole.into_iter().chain(mine) {
        match tighten_one(&path) {
            Ok(changed) => tightened += usize::from(changed),
            Err(error) => tracing::warn!(
                path = %path.display(), %error,
                "other users of this machine may read this, and it cannot be changed"
            ),
        }
    }
    if tightened > 0 {
        tracing::info!(
            folder = %folder.display(), files = tightened,
            "what other users of this machine could read is its owner's alone from here on"
        );
    }
}

/// Whether a path has one of the names, also while a file of that name is being replaced.
fn is_one_of(path: &Path, names: &[&str]) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    names.contains(&name.strip_suffix(".new").unwrap_or(name))
}

/// Whether it had to be changed.
fn tighten_one(path: &Path) -> std::io::Result<bool> {
    let found = fs::symlink_metadata(path)?;
    let mode = found.permissions().mode();
    if found.is_symlink() || mode & 0o077 == 0 {
        return Ok(false);
    }
    fs::set_permissions(path, Permissions::from_mode(mode & 0o700))?;
    Ok(true)
}

fn is_empty(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
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

#[cfg(test)]
mod tests {
    use super::{IN_THE_FOLDER, tighten};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_others_could_read_is_taken_from_them() {
        let folder = tempfile::tempdir().unwrap();
        let (inner, file) = (folder.path().join("journal"), folder.path().join("node.json"));
        let (outside, link) = (
            tempfile::NamedTempFile::new().unwrap(),
            folder.path().join("store"),
        );
        fs::create_dir(&inner).unwrap();
        fs::write(&file, "{}").unwrap();
        std::os::unix::fs::symlink(outside.path(), &link).unwrap();
        let set =
            |path: &std::path::Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        set(folder.path(), 0o755);
        set(&inner, 0o775);
        set(&file, 0o644);
        set(outside.path(), 0o644);
        tighten(folder.path(), &IN_THE_FOLDER);
        assert_eq!(
            (mode(folder.path()), mode(&inner), mode(&file)),
            (0o700, 0o700, 0o600)
        );
        assert_eq!(mode(outside.path()), 0o644, "what a link leads to is not ours");
    }

    /// `--data-dir /tmp` takes nothing from those who use it too.
    #[test]
    fn what_is_not_ours_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let set =
            |path: &std::path::Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        let names = ["journal", "root.key", "catalog.new", "theirs", "theirs.new"];
        let [journal, key, fresh, theirs, also] = names.map(|name| folder.path().join(name));
        for path in [&journal, &theirs] {
            fs::create_dir(path).unwrap();
            set(path, 0o755);
        }
        for path in [&key, &fresh, &also] {
            fs::write(path, "x").unwrap();
            set(path, 0o644);
        }
        set(folder.path(), 0o1777);
        tighten(folder.path(), &IN_THE_FOLDER);
        assert_eq!(
            [&journal, &key, &fresh].map(|path| mode(path)),
            [0o700, 0o600, 0o600]
        );
        assert_eq!([&theirs, &also].map(|path| mode(path)), [0o755, 0o644]);
        assert_eq!(mode(folder.path()), 0o1777, "others live here too");
    }
}
