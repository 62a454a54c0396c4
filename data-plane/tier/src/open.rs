//! From `--store` to a store: `file:///folder` or `s3://bucket/prefix`.

use crate::folder::Folder;
use crate::lifecycle::{Bucket, LifecycleError};
use crate::presence::CLUSTER_FILE;
use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The longest that connecting to the store may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// The longest that one request may take: 8 MiB parts at 2 MB/s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Repetitions by the client itself, of refused connections and 5xx; callers repeat on top.
const RETRIES_MAX: usize = 2;

/// After so long the client repeats no more.
const RETRY_TIMEOUT: Duration = Duration::from_secs(8);

/// It has a few hundred bytes.
const CLUSTER_FILE_BYTES_MAX: u64 = 64 * 1024;

/// A store and where in it a cluster's objects lie.
#[derive(Clone, Debug)]
pub struct OpenStore {
    /// The store.
    pub store: Arc<dyn ObjectStore>,
    /// All names begin with it; empty for a folder of its own.
    pub prefix: Path,
    /// The bucket, where there is one.
    bucket: Option<Bucket>,
}

impl OpenStore {
    /// Refuses a bucket whose lifecycle rules would delete or archive this cluster's objects (log.md 40). What is no
    /// bucket has none; one that does not tell them is used, with a warning.
    ///
    /// # Errors
    /// [`LifecycleError::Harmful`] names the rule; the others say that the store is down, or the bucket missing.
    pub async fn refuse_harmful_rules(&self) -> Result<(), LifecycleError> {
        match &self.bucket {
            Some(bucket) => bucket.refuse_harmful_rules(&self.prefix).await,
            None => Ok(()),
        }
    }
}

/// A store that cannot be opened, in words for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not a form that we know.
    #[error("a store is file:///folder or s3://bucket/prefix, not {url}")]
    Form {
        /// What was given.
        url: String,
    },
    /// The folder cannot be made or read.
    #[error("cannot use the folder {folder} as store: {source}")]
    Folder {
        /// The folder.
        folder: String,
        /// The system's words.
        source: std::io::Error,
    },
    /// Two clusters, one inside the other, would take each other's objects for garbage.
    #[error(
        "the folder {folder} lies inside the store of another cluster ('{outer}'): choose a folder beside it"
    )]
    Nested {
        /// The folder.
        folder: String,
        /// The other cluster's file.
        outer: String,
    },
    /// The prefix has characters that a name may not have.
    #[error("the prefix of {url} is not a legal object name: {source}")]
    Prefix {
        /// What was given.
        url: String,
        /// Why not.
        source: object_store::path::Error,
    },
    /// The client refuses its settings.
    #[error("cannot open the store {url}: {source}")]
    Client {
        /// What was given.
        url: String,
        /// The client's words.
        source: object_store::Error,
    },
}

/// What is known of a store before it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nothing: a missing folder is made.
    Unknown,
    /// A cluster is there: a folder that is missing, or empty, is away, as one whose file system is not mounted, and none is
    /// made in its place.
    HeldCluster,
}

/// Opens the store that `url` names; a bucket must exist. Credentials, region and endpoint
/// of S3 come from the environment (`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT_URL` …); an endpoint given as
/// `http://…` is used as it is.
///
/// # Errors
/// When the URL is of another form, or the folder or client cannot be used.
pub fn open_store(url: &str, before: Before) -> Result<OpenStore, OpenError> {
    if let Some(folder) = url.strip_prefix("file://") {
        return open_folder(url, folder, before);
    }
    match url.strip_prefix("s3://") {
        Some(rest) => open_bucket(url, rest),
        None => Err(OpenError::Form { url: url.to_owned() }),
    }
}

fn open_folder(url: &str, folder: &str, before: Before) -> Result<OpenStore, OpenError> {
    if !folder.starts_with('/') {
        return Err(OpenError::Form { url: url.to_owned() });
    }
    if before == Before::Unknown {
        let unusable = |source| OpenError::Folder {
            folder: folder.to_owned(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(unusable)?;
        refuse_nested(folder, &std::fs::canonicalize(folder).map_err(unusable)?)?;
    }
    let known = before == Before::HeldCluster;
    let store = Folder::open(folder, known).map_err(|source| OpenError::Client {
        url: url.to_owned(),
        source,
    })?;
    Ok(OpenStore {
        store: Arc::new(store),
        prefix: Path::default(),
        bucket: None,
    })
}

fn refuse_nested(folder: &str, whole: &std::path::Path) -> Result<(), OpenError> {
    let mut above = whole.ancestors().skip(1).map(|outer| outer.join(CLUSTER_FILE));
    match above.find(is_ours) {
        Some(outer) => Err(OpenError::Nested {
            folder: folder.to_owned(),
            outer: outer.display().to_string(),
        }),
        None => Ok(()),
    }
}

/// Whether a file says who a cluster is, and is no other's file of that name.
fn is_ours(file: &PathBuf) -> bool {
    let short =
        std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.len() <= CLUSTER_FILE_BYTES_MAX);
    short && std::fs::read_to_string(file).is_ok_and(|text| text.contains("\"root_key_checks\""))
}

fn open_bucket(url: &str, rest: &str) -> Result<OpenStore, OpenError> {
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err(OpenError::Form { url: url.to_owned() });
    }
    let prefix = Path::parse(prefix).map_err(|source| OpenError::Prefix {
        url: url.to_owned(),
        source,
    })?;
    let endpoint = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    // The tier bounds and repeats its calls itself, and so do the catalog and the lease: here only what keeps a single
    // request from hanging for ever (log.md 42). A part of an upload must get through within it on a slow line.
    let options = ClientOptions::new()
        .with_allow_http(endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")))
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_timeout(REQUEST_TIMEOUT);
    let retry = RetryConfig {
        max_retries: RETRIES_MAX,
        retry_timeout: RETRY_TIMEOUT,
        ..RetryConfig::default()
    };
    let settings = AmazonS3Builder::from_env()
        .with_bucket_name(bucket)
        .with_client_options(options)
        .with_retry(retry);
    let store = settings.clone().build().map_err(|source| OpenError::Client {
        url: url.to_owned(),
        source,
    })?;
    let store = Arc::new(store);
    Ok(OpenStore {
        bucket: Some(Bucket::of(bucket, &settings, &store)),
        store,
        prefix,
    })
}
