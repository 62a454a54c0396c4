//! The journal's core: one writer, synchronous, without clock or threads.

mod commit;
mod mend;
mod open;
mod roll;

use crate::disk::Disk;
use crate::error::{CommitError, OpenError};
use crate::files::Shared;
use crate::frame::Framed;
use crate::header::End;
use crate::prepare::Preparer;
use crate::reader::Reader;
use crate::record::{Position, Record};
use crate::recover::{Damage, Recovered};
use crate::settings::Settings;
use crate::space::Space;
use millstream_model::{Epoch, GroupId, JournalId, Lsn, Registration};
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

pub(crate) use commit::Batch;

/// The writing half of a journal; there is one.
pub struct Journal<D: Disk> {
    reader: Reader<D>,
    shared: Arc<Shared<D>>,
    /// `None` while damage waits for a decision.
    active: Option<Active<D::File>>,
    /// The end of the chain.
    end: End,
    next_generation: u64,
    random: StdRng,
    /// Releases that the next commit carries.
    pending: BTreeMap<GroupId, (Epoch, Lsn)>,
    /// Nothing is lost if the last commit is taken for a torn one.
    quiet: bool,
    /// A write of this process failed: what is on disk is known only after a restart.
    failed: bool,
    /// The file that the next one makes needless, while that one is not open.
    skipped: Option<u64>,
    /// Files that [`Journal::accept_loss`] would free.
    behind: Vec<(u64, Arc<D::File>)>,
    /// Files of a mending that was never finished.
    drafts: Vec<(u64, Arc<D::File>)>,
    /// The oldest file that any header calls needed.
    oldest: u64,
    /// It is being mended, and does not count yet.
    is_mending: bool,
    /// The files that it opens are drafts.
    is_draft: bool,
    /// Written but not synced; only with a planted bug.
    unsynced: bool,
    buffer: Vec<u8>,
}

/// The file being written.
struct Active<F> {
    file: Arc<F>,
    salt: u64,
    /// Bytes of the file.
    length: u64,
}

/// A commit that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its number.
    pub commit: u64,
    /// Where each record lies, in their order.
    pub positions: Vec<Position>,
}

/// The id of the journal on `disk`, without opening it; none when there is none yet.
///
/// # Errors
/// When the disk fails, or holds something else.
pub fn journal_id<D: Disk>(disk: &D) -> Result<Option<JournalId>, OpenError> {
    Ok(crate::superblock::read(disk)?.map(|found| found.id))
}

/// Whether a new file may be made when none is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Growth {
    /// As many as the settings say.
    WithinSettings,
    /// Always: a start must be possible in a full journal.
    Forced,
}

impl<D: Disk> Journal<D> {
    /// Opens the journal on `disk`, a new one when the disk is empty, and gives every valid record in order to
    /// `replay`, one block in memory at a time (keep a copy of a payload, not the payload itself, which shares
    /// its block's memory). Records that every file repeats (registration, releases, marks) come more than once.
    /// A damaged journal opens too: it gives what precedes the damage, can be read, and refuses to write.
    ///
    /// # Errors
    /// When the disk fails, is taken, has no room or holds something else, or the settings are impossible.
    pub fn open(
        disk: Arc<D>,
        settings: Settings,
        replay: impl FnMut(Position, Record),
    ) -> Result<(Journal<D>, Recovered), OpenError> {
        open::open(disk, settings, replay)
    }

    /// The journal's id: the identity of its replicas (log.md 12).
    pub fn id(&self) -> JournalId {
        self.shared.id
    }

    /// The reading half; cheap to clone, usable from any thread while commits go on.
    pub fn reader(&self) -> Reader<D> {
        self.reader.clone()
    }

    /// What writes free files in the background; call its `step` from another thread or between commits. One
    /// journal has one.
    pub fn preparer(&self) -> Preparer<D> {
        Preparer::new(self.shared.clone())
    }

    /// Writes the records as one block and makes it durable; only then are they in the index. No records:
    /// an empty commit.
    ///
    /// # Errors
    /// See [`CommitError`]. After `Damaged` the fate of the records is unknown until the next start.
    pub fn commit(&mut self, records: &[Framed]) -> Result<Committed, CommitError> {
        let mut batch = Batch::default();
        self.admit(&mut batch, records)?;
        self.write(&[records], batch)
    }

    /// Writes an empty commit unless the last one may be lost: so that the last entries, and the number of this start, can
    /// be told from a torn tail should they rot (log.md 4). Returns whether it wrote one; a full journal has room kept
    /// for it.
    ///
    /// # Errors
    /// As [`Journal::commit`].
    pub fn idle(&mut self) -> Result<bool, CommitError> {
        self.sound()?;
        if self.quiet && self.pending.is_empty() {
            return Ok(false);
        }
        match self.write(&[], Batch::default()) {
            Err(CommitError::Full) => Ok(false),
            written => written.map(|_| true),
        }
    }

    /// Ends the journal cleanly: an empty commit that says so.
    ///
    /// # Errors
    /// As [`Journal::commit`]; a full journal has room kept for it.
    pub fn close(mut self) -> Result<(), CommitError> {
        match self.write(&[], Batch::closing()) {
            Err(CommitError::Full) => Ok(()),
            written => written.map(|_| ()),
        }
    }

    /// Keeps the number of this process start (log.md 13).
    ///
    /// # Errors
    /// As [`Journal::commit`].
    pub fn register(&mut self, registration: Registration) -> Result<(), CommitError> {
        self.commit(&[Framed::new(Record::Registered { registration })])
            .map(|_| ())
    }

    /// Releases the group's entries up to `up_to` (at most up to its end). The next commit says so durably; when
    /// that lets a file be used again, it is written at once, if need be into the space kept for it.
    ///
    /// # Errors
    /// As [`Journal::commit`].
    pub fn release(&mut self, group: GroupId, up_to: Lsn) -> Result<(), CommitError> {
        self.sound()?;
        self.stage_release(group, up_to);
        if self.frees_a_file() {
            self.write(&[], Batch::default()).map(|_| ())
        } else {
            Ok(())
        }
    }

    /// How full it is.
    pub fn space(&self) -> Space {
        self.shared.space()
    }

    /// The damage, if it is damaged.
    pub fn damage(&self) -> Option<Arc<Damage>> {
        self.reader.damage()
    }

    /// The most that one commit takes, bytes.
    pub fn commit_bytes_max(&self) -> usize {
        self.shared.settings.commit_bytes_max
    }

    /// Releases that the next commit carries.
    pub(crate) fn stage_release(&mut self, group: GroupId, up_to: Lsn) {
        let index = self.shared.index.read();
        let (Some((_, start)), Some((_, end))) = (index.start(group), index.end(group)) else {
            return;
        };
        let lsn = up_to.min(end);
        if lsn <= start {
            return;
        }
        if let Some(epoch) = index.epoch(group, lsn) {
            let staged = self.pending.entry(group).or_insert((epoch, lsn));
            *staged = (*staged).max((epoch, lsn));
        }
    }

    /// Whether the staged releases let the oldest file be used again.
    pub(crate) fn frees_a_file(&self) -> bool {
        if self.pending.is_empty() {
            return false;
        }
        let oldest = {
            let files = self.shared.files.lock();
            files
                .live
                .front()
                .filter(|_| files.live.len() > 1)
                .map(|oldest| oldest.generation)
        };
        oldest.is_some_and(|oldest| self.shared.index.read().would_free(oldest, &self.pending))
    }

    /// Whether it takes commits.
    fn sound(&self) -> Result<(), CommitError> {
        match self.reader.damage() {
            Some(damage) => Err(CommitError::Damaged(damage)),
            None => Ok(()),
        }
    }

    /// A write failed: never again (log.md 6).
    fn fail(&mut self, doing: &str, error: &io::Error) -> CommitError {
        self.failed = true;
        let reason = format!("{doing} failed: {error}");
        let damage = Damage::new(reason, self.end.generation, self.end.offset);
        CommitError::Damaged(self.shared.damaged(damage))
    }
}
