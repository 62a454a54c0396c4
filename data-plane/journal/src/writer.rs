//! The thread that writes: takes everything that waits, commits it at once, completes the waiters in order.
//!
//! Nothing is delayed to make commits larger: while one is being synced the next one gathers. A second thread
//! writes free files with zeros.

mod intake;
mod queue;
mod run;

use crate::disk::Disk;
use crate::error::CommitError;
use crate::files::Shared;
use crate::frame::Framed;
use crate::journal::{Committed, Journal};
use crate::record::Record;
use crate::recover::Damage;
use crate::space::Level;
pub use intake::{Answers, Intake, Taken};
use millstream_model::{GroupId, Lsn, Registration, TenantId};
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;

/// What can be set about the writer's thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterSettings {
    /// How long nothing must have waited before the empty commit of an idle journal is written.
    pub idle_after: Duration,
    /// Bytes that may wait; more is refused with [`SubmitError::Busy`].
    pub waiting_bytes_max: usize,
    /// How long the preparing thread waits after the disk was full or failed.
    pub prepare_again_after: Duration,
    /// How long it waits when somebody was refused meanwhile.
    pub prepare_asked_after: Duration,
}

impl Default for WriterSettings {
    fn default() -> WriterSettings {
        WriterSettings {
            idle_after: Duration::from_secs(1),
            waiting_bytes_max: millstream_model::limits::JOURNAL_WAITING_BYTES_MAX,
            prepare_again_after: Duration::from_secs(5),
            prepare_asked_after: Duration::from_millis(100),
        }
    }
}

/// What one caller wants written, all in one commit. Records of one group are committed in the order in which they
/// were submitted; between groups, tenants take turns when more waits than a commit takes (log.md 7).
#[derive(Clone, Debug)]
pub struct Append {
    /// Who pays for it. The system tenant's are also taken when the journal is nearly full (log.md 10).
    pub tenant: TenantId,
    /// What is to be written.
    pub records: Vec<Framed>,
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
    inner: Arc<Inner>,
}

/// The running threads. Dropping it closes the journal, as [`Running::close`] does.
pub struct Running {
    inner: Arc<Inner>,
    stop_preparing: Box<dyn Fn() + Send + Sync>,
    writing: Option<JoinHandle<Result<(), CommitError>>>,
    preparing: Option<JoinHandle<()>>,
}

type Done = Box<dyn FnOnce(Result<Committed, SubmitError>) + Send>;

/// What the callers and the writer's thread share.
struct Inner {
    waiting: Mutex<Intake<Done>>,
    wake: Condvar,
    settings: WriterSettings,
    space: Box<dyn Spacious>,
}

/// What a refusal asks of the journal, whatever disk it is on.
trait Spacious: Send + Sync {
    /// How full it is now.
    fn level(&self) -> Level;
    /// Somebody waits for room.
    fn want_room(&self);
}

/// It does not hold the journal's disk.
struct Room<D: Disk>(Weak<Shared<D>>);

impl<D: Disk> Spacious for Room<D> {
    fn level(&self) -> Level {
        self.0
            .upgrade()
            .map_or(Level::Refuse, |shared| shared.space().level)
    }

    fn want_room(&self) {
        if let Some(shared) = self.0.upgrade() {
            shared.want_room();
        }
    }
}

impl Writer {
    /// Starts the threads of a journal: one that commits, one that prepares files.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    #[expect(
        clippy::disallowed_methods,
        reason = "the shell that gives the journal its two threads"
    )]
    pub fn start<D: Disk>(journal: Journal<D>, settings: WriterSettings) -> io::Result<(Writer, Running)> {
        let inner = Arc::new(Inner {
            waiting: Mutex::new(Intake::new(&journal, settings.waiting_bytes_max)),
            wake: Condvar::new(),
            settings,
            space: Box::new(Room(Arc::downgrade(&journal.reader().shared))),
        });
        let preparer = journal.preparer();
        let stop_preparing = preparer.stopper();
        let (again_after, asked_after) = (
            inner.settings.prepare_again_after,
            inner.settings.prepare_asked_after,
        );
        let preparing = std::thread::Builder::new()
            .name("journal-prepare".to_owned())
            .spawn(move || run::prepare(preparer, again_after, asked_after))?;
        let theirs = inner.clone();
        let writing = std::thread::Builder::new()
            .name("journal-write".to_owned())
            .spawn(move || run::write(journal, &theirs));
        let mut running = Running {
            inner: inner.clone(),
            stop_preparing: Box::new(stop_preparing),
            writing: None,
            preparing: Some(preparing),
        };
        running.writing = Some(writing?);
        Ok((Writer { inner }, running))
    }

    /// Hands over records; never blocks. `done` is called when they are durable or have failed, on the writer's thread,
    /// for all submissions in the order in which they were committed. It must be quick.
    ///
    /// # Errors
    /// When they are refused at once; `done` is not called then.
    pub fn submit(
        &self,
        append: Append,
        done: impl FnOnce(Result<Committed, SubmitError>) + Send + 'static,
    ) -> Result<(), SubmitError> {
        let space = &self.inner.space;
        let level_now = || space.level();
        let taken = self.inner.waiting.lock().push(append, Box::new(done), level_now);
        match &taken {
            Ok(()) => drop(self.inner.wake.notify_one()),
            Err(SubmitError::Commit(CommitError::Full)) => space.want_room(),
            Err(_) => {}
        }
        taken
    }

    /// [`Writer::submit`], to be awaited. The order is that of the calls, not of the awaits: the records are handed
    /// over before this returns its future.
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub fn append(
        &self,
        append: Append,
    ) -> impl Future<Output = Result<Committed, SubmitError>> + Send + use<> {
        let (sender, receiver) = oneshot::channel();
        let taken = self.submit(append, move |result| drop(sender.send(result)));
        async move {
            taken?;
            receiver.await.unwrap_or(Err(SubmitError::Closed))
        }
    }

    /// Releases a group's entries, see [`Journal::release`].
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn release(&self, group: GroupId, up_to: Lsn) -> Result<(), SubmitError> {
        let (sender, receiver) = oneshot::channel();
        let done: Done = Box::new(move |result| drop(sender.send(result)));
        self.inner.waiting.lock().push_release(group, up_to, done)?;
        self.inner.wake.notify_one();
        receiver.await.unwrap_or(Err(SubmitError::Closed)).map(|_| ())
    }

    /// Keeps the number of this process start, see [`Journal::register`].
    ///
    /// # Errors
    /// See [`SubmitError`].
    pub async fn register(&self, registration: Registration) -> Result<(), SubmitError> {
        let records = vec![Record::Registered { registration }.into()];
        self.append(Append {
            tenant: TenantId::SYSTEM,
            records,
        })
        .await
        .map(|_| ())
    }

    /// The damage, if the journal is damaged.
    pub fn damage(&self) -> Option<Arc<Damage>> {
        self.inner.waiting.lock().damage()
    }
}

impl Running {
    /// Commits what waits, closes the journal cleanly and ends the threads. Blocks until they have ended.
    ///
    /// # Errors
    /// When the last commits failed.
    pub fn close(mut self) -> Result<(), CommitError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), CommitError> {
        self.inner.waiting.lock().close();
        self.inner.wake.notify_one();
        let written = self
            .writing
            .take()
            .map_or(Ok(()), |thread| thread.join().unwrap_or(Ok(())));
        (self.stop_preparing)();
        if let Some(Err(_)) = self.preparing.take().map(JoinHandle::join) {
            tracing::error!("the thread that prepares journal files has panicked");
        }
        written
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.writing.is_some()
            && let Err(error) = self.end()
        {
            tracing::warn!(%error, "the journal was not closed cleanly");
        }
    }
}
