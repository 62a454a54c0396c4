//! The writer of the catalog: at most one in a cluster has it, and knows when it has lost it.

use crate::batch::Batch;
use crate::store::{self, StoreSettings};
use millstream_metadata::{AuditRow, Change, Image};
use object_store::ObjectStore;
use slatedb::{CloseReason, Db, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Why the catalog could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The store failed, or somebody else took the writer meanwhile.
    #[error("cannot open the catalog: {reason}")]
    Store {
        /// The store's words.
        reason: String,
    },
    /// The store did not answer in time.
    #[error("cannot open the catalog: the store did not answer within {} s", .0.as_secs())]
    Timeout(Duration),
    /// A row that this release cannot read.
    #[error(transparent)]
    Row(#[from] millstream_metadata::StoredError),
}

impl From<store::ReadError> for CatalogError {
    fn from(error: store::ReadError) -> CatalogError {
        match error {
            store::ReadError::Store(error) => CatalogError::Store {
                reason: error.to_string(),
            },
            store::ReadError::Row(error) => CatalogError::Row(error),
        }
    }
}

/// The writer is lost. Whether the last transaction is durable is not known: whoever opens the catalog next finds out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Lost {
    /// Another process took over.
    #[error("another controller took over")]
    Fenced,
    /// The store failed.
    #[error("the catalog's store failed: {reason}")]
    Store {
        /// The store's words.
        reason: String,
    },
}

/// The catalog, opened for writing.
#[derive(Debug)]
pub struct Catalog {
    reader: CatalogReader,
    image: Image,
    timeout: Duration,
    commits: u64,
}

/// The longest that closing in good order may take: with a store that hangs a process must end all the same.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Every so many commits the log is moved into tables: each commit is an object in the log, and a start reads them.
const COMMITS_PER_TABLE: u64 = 512;

/// Reads what is not in the image. Cheap to clone.
#[derive(Clone)]
pub struct CatalogReader {
    db: Db,
}

impl std::fmt::Debug for CatalogReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CatalogReader")
    }
}

impl Catalog {
    /// Takes over: fences the writer before, reads every row, and raises the term before anything else (LOG.md 36).
    pub async fn open(
        store: Arc<dyn ObjectStore>,
        settings: &StoreSettings,
    ) -> Result<Catalog, CatalogError> {
        let opening = async {
            let db = store::open(store, settings).await;
            let db = db.map_err(|error| CatalogError::Store {
                reason: error.to_string(),
            })?;
            let image = store::read_image(&db).await?;
            let mut catalog = Catalog {
                reader: CatalogReader { db },
                image,
                timeout: settings.timeout,
                commits: 0,
            };
            let mut batch = Batch::new(&catalog.image);
            batch.raise_term();
            let raised = catalog.commit(batch).await;
            raised.map_err(|lost| CatalogError::Store {
                reason: lost.to_string(),
            })?;
            Ok(catalog)
        };
        timeout(settings.timeout, opening)
            .await
            .map_err(|_| CatalogError::Timeout(settings.timeout))?
    }

    /// What is durable.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// Reads beside the writer.
    pub fn reader(&self) -> CatalogReader {
        self.reader.clone()
    }

    /// Makes a transaction durable and applies it; gives what changed. After an error this writer is of no more use:
    /// drop it. An empty transaction costs nothing.
    pub async fn commit(&mut self, batch: Batch) -> Result<Arc<[Change]>, Lost> {
        if batch.is_empty() {
            return Ok(Arc::from([]));
        }
        let (image, changes) = batch.finish();
        let written = timeout(self.timeout, store::write(&self.reader.db, &changes)).await;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(lost(&error)),
            Err(_) => {
                let reason = format!("no answer within {} s", self.timeout.as_secs());
                return Err(Lost::Store { reason });
            }
        }
        self.image = image;
        self.commits += 1;
        if self.commits.is_multiple_of(COMMITS_PER_TABLE) {
            tokio::spawn(store::settle(self.reader.db.clone()));
        }
        Ok(changes.into())
    }

    /// Whether another process is known to have taken over.
    pub fn lost(&self) -> Option<Lost> {
        match self.reader.db.status().close_reason {
            None => None,
            Some(CloseReason::Fenced) => Some(Lost::Fenced),
            Some(reason) => Some(Lost::Store {
                reason: format!("{reason:?}"),
            }),
        }
    }

    /// Gives the writer back in good order, so that the next start is quick. What was committed is durable anyway.
    pub async fn close(self) {
        match timeout(self.timeout.min(CLOSE_TIMEOUT), self.reader.db.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::info!(%error, "the catalog did not close cleanly; nothing is lost"),
            Err(_) => tracing::info!("the catalog did not close in time; nothing is lost"),
        }
    }
}

impl CatalogReader {
    /// The latest audit events for which `wanted` holds, oldest first, at most `limit`.
    pub async fn audit(
        &self,
        limit: usize,
        wanted: impl Fn(&AuditRow) -> bool,
    ) -> Result<Vec<Arc<AuditRow>>, CatalogError> {
        Ok(store::read_audit(&self.db, limit, wanted).await?)
    }
}

fn lost(error: &slatedb::Error) -> Lost {
    match error.kind() {
        ErrorKind::Closed(CloseReason::Fenced) => Lost::Fenced,
        _ => Lost::Store {
            reason: error.to_string(),
        },
    }
}
