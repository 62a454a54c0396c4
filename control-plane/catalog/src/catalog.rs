//! The writer of the catalog: at most one in a cluster has it, and knows when it has lost it.

#![expect(
    clippy::disallowed_methods,
    reason = "the shell around the ledger: it waits for the store"
)]

use crate::batch::Batch;
use crate::store::{self, StoreSettings};
use millstream_metadata::{AuditRow, Change, Image};
use object_store::ObjectStore;
use slatedb::{CloseReason, Db, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
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
                reason: reason(&error),
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
    /// The log on its way into tables.
    settling: Option<JoinHandle<()>>,
}

/// The longest that closing in good order may take: with a store that hangs a process must end all the same.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// So many commits may lie in the log, those of earlier processes included, before it is moved into tables: each is an
/// object, and a start reads them.
const LOG_COMMITS_MAX: u64 = 512;

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
    /// Takes over: fences the writer before, reads every row, and raises the term before anything else (log.md 36).
    pub async fn open(
        store: Arc<dyn ObjectStore>,
        settings: &StoreSettings,
    ) -> Result<Catalog, CatalogError> {
        let opening = timeout(settings.timeout, store::open(store, settings)).await;
        let db = opening
            .map_err(|_| CatalogError::Timeout(settings.timeout))?
            .map_err(|error| CatalogError::Store {
                reason: reason(&error),
            })?;
        let mut catalog = Catalog {
            reader: CatalogReader { db },
            image: Image::new(),
            timeout: settings.timeout,
            settling: None,
        };
        let taken = timeout(settings.timeout, catalog.take_over()).await;
        match taken.unwrap_or(Err(CatalogError::Timeout(settings.timeout))) {
            Ok(()) => Ok(catalog),
            Err(error) => {
                catalog.close().await;
                Err(error)
            }
        }
    }

    /// Reads every row and raises the term.
    async fn take_over(&mut self) -> Result<(), CatalogError> {
        self.image = store::read_image(&self.reader.db).await?;
        let mut batch = Batch::new(&self.image);
        batch.raise_term();
        let raised = self.commit(batch).await;
        raised.map(drop).map_err(|lost| CatalogError::Store {
            reason: lost.to_string(),
        })
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
        self.settle();
        Ok(changes.into())
    }

    /// Moves a log that has grown long into tables, in the background.
    fn settle(&mut self) {
        let settles = self.settling.as_ref().is_some_and(|task| !task.is_finished());
        if !settles && store::commits_in_log(&self.reader.db) >= LOG_COMMITS_MAX {
            self.settling = Some(tokio::spawn(store::settle(self.reader.db.clone())));
        }
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

    /// Ends the writer and what works in its background, also of one that is lost: without this that works on for as
    /// long as the process lives. What was committed is durable already, and a table for every start would sooner or
    /// later wait for those before it to be merged: so nothing is written.
    pub async fn close(self) {
        if let Some(task) = self.settling {
            task.abort();
        }
        // It goes on when nobody waits any longer: half closed, the rest would work on.
        let closing = tokio::spawn(store::close(self.reader.db));
        match timeout(self.timeout.min(CLOSE_TIMEOUT), closing).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => {
                tracing::info!(%error, "the catalog did not close cleanly; nothing is lost")
            }
            Ok(Err(_)) | Err(_) => tracing::info!("the catalog did not close in time; nothing is lost"),
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
            reason: reason(error),
        },
    }
}

/// The store's words, and what can be done about objects that are not what was written.
fn reason(error: &slatedb::Error) -> String {
    match error.kind() {
        ErrorKind::Data => format!(
            "{error}: an object below catalog/ in the store is damaged or missing; put a good copy of it there (from a backup, \
             or an older version of it in the bucket), and this goes on by itself"
        ),
        _ => error.to_string(),
    }
}
