//! The thread that writes: takes everything that waits, commits it at once, completes the waiters in order.

use crate::disk::Disk;
use crate::journal::{CommitError, Committed, Journal};
use crate::record::Record;
use crate::recover::Damage;
use millstream_model::{GroupId, Lsn, Registration, TenantId};
use std::sync::Arc;
use std::time::Duration;

/// What can be set about the writer's thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterSettings {
    /// How long nothing must have waited before the empty commit of an idle journal is written.
    pub idle_after: Duration,
    /// Bytes that may wait; more is refused with [`SubmitError::Busy`].
    pub waiting_bytes_max: usize,
    /// How long the preparing thread waits after the disk was full or failed.
    pub prepare_again_after: Duration,
}

impl Default for WriterSettings {
    fn default() -> WriterSettings {
        WriterSettings {
            idle_after: Duration::from_secs(1),
            waiting_bytes_max: 64 * 1024 * 1024,
            prepare_again_after: Duration::from_secs(5),
        }
    }
}

/// What one caller wants written, all in one commit. Records of one group are committed in the order in which they
/// were submitted; between groups, tenants take turns when more waits than a commit takes (LOG.md 7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// Who pays for it.
    pub tenant: TenantId,
    /// What is to be written.
    pub records: Vec<Record>,
}

/// Records that were not made durable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// Too much waits already; try later.
    #[error("too many bytes wait for the journal")]
    Busy,
    /// The writer was closed.
    #[error("the journal is closed")]
    Closed,
    /// The commit did not happen.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Hands records to the writer's thread; cheap to clone.
#[derive(Clone)]
pub struct Writer {
    inner: Arc<()>,
}

/// The running threads.
pub struct Running {
    inner: Arc<()>,
}

impl Writer {
    /// Starts the threads of a journal: one that commits, one that prepares files.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start<D: Disk>(
        journal: Journal<D>,
        settings: WriterSettings,
    ) -> std::io::Result<(Writer, Running)> {
        unreachable!("{:?}", (journal.space(), settings))
    }

    /// Hands over records; `done` is called on the writer's thread when they are durable or have failed, for all
    /// submissions in the order in which they were committed. It must be quick. Never blocks.
    pub fn submit(&self, append: Append, done: impl FnOnce(Result<Committed, SubmitError>) + Send + 'static) {
        unreachable!(
            "{:?}",
            (
                append,
                std::mem::size_of_val(&done),
                Arc::strong_count(&self.inner)
            )
        )
    }

    /// [`Writer::submit`], to be awaited.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn append(&self, append: Append) -> Result<Committed, SubmitError> {
        unreachable!("{append:?}")
    }

    /// Releases a group's entries, see [`Journal::release`].
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn release(&self, group: GroupId, up_to: Lsn) -> Result<(), SubmitError> {
        unreachable!("{group}{up_to}")
    }

    /// Keeps the number of this process start, see [`Journal::register`].
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn register(&self, registration: Registration) -> Result<(), SubmitError> {
        unreachable!("{registration}")
    }

    /// The damage, if the journal is damaged.
    pub fn damage(&self) -> Option<Arc<Damage>> {
        unreachable!()
    }
}

impl Running {
    /// Commits what waits, closes the journal cleanly and ends the threads. Blocks until they have ended.
    ///
    /// # Errors
    /// When the last commits failed.
    pub fn close(self) -> Result<(), CommitError> {
        unreachable!("{}", Arc::strong_count(&self.inner))
    }
}
