//! The journal's files: the chain in use, and the free ones.

use crate::disk::Disk;
use crate::header::FIRST_BLOCK_AT;
use crate::index::Index;
use crate::recover::Damage;
use crate::settings::Settings;
use crate::space::{Level, Space};
use millstream_model::JournalId;
use parking_lot::{Condvar, Mutex, RwLock};
use std::collections::VecDeque;
use std::sync::Arc;

/// Prefix of the names of usable files; a number follows.
const FILE: &str = "file-";
/// Prefix of the names of files that are being written with zeros.
const PREPARING: &str = "preparing-";

/// Free files that are kept for the next start, which opens one always: a disk that is full must not keep what is on it
/// from being served. They come on top of the journal's size. A start that finds no other divides it, so that one that dies
/// and is started again finds the other half, and so on: until a whole file is free again tenants' entries are refused, and
/// the service's own stay within what is left.
const SPARE: usize = 1;

/// What the writer, the readers and the preparer share. No lock is held while the disk is asked for anything.
pub(crate) struct Shared<D: Disk> {
    pub id: JournalId,
    pub settings: Settings,
    pub disk: Arc<D>,
    pub index: RwLock<Index>,
    pub files: Mutex<Files<D::File>>,
    /// A free file was taken, or the journal ends.
    pub wanted: Condvar,
    pub damage: RwLock<Option<Arc<Damage>>>,
}

/// The files.
pub(crate) struct Files<F> {
    /// In the order of the chain; the last one is being written.
    pub live: VecDeque<Live<F>>,
    pub free: VecDeque<Free<F>>,
    /// Files being written with zeros.
    pub preparing: usize,
    /// The number of the next file.
    pub next: u64,
    /// Bytes written in the last live file.
    pub written: u64,
    pub disk_full: bool,
    /// Somebody was refused: the preparer tries again soon, however long it would have left the disk alone.
    pub asked: bool,
    /// The journal ends.
    pub closing: bool,
}

/// A file of the chain.
pub(crate) struct Live<F> {
    pub generation: u64,
    pub number: u64,
    pub file: Arc<F>,
    /// Shorter than the settings say: it is not used again, for a write that makes a file longer can find the disk full.
    /// The next start removes it.
    pub is_short: bool,
}

/// A file that can be used.
pub(crate) struct Free<F> {
    pub number: u64,
    pub file: Arc<F>,
    /// What it held last, and holds until it is written again; 0 when that is not known, or nothing.
    pub generation: u64,
    /// Shorter than the settings say: what is left of a spare on a full disk. Good for a start, not for commits.
    pub is_short: bool,
}

impl<F> Default for Files<F> {
    fn default() -> Files<F> {
        Files {
            live: VecDeque::new(),
            free: VecDeque::new(),
            preparing: 0,
            next: 0,
            written: FIRST_BLOCK_AT,
            disk_full: false,
            asked: false,
            closing: false,
        }
    }
}

impl<F> Files<F> {
    /// Files that the settings' size bounds.
    pub fn total(&self) -> usize {
        self.live.len() + self.usable() + self.preparing
    }

    /// Free files that commits may take.
    pub fn usable(&self) -> usize {
        self.whole().saturating_sub(SPARE)
    }

    /// Whether the next start has what it needs to go on as ever.
    pub fn has_spare(&self) -> bool {
        self.whole() >= SPARE
    }

    fn whole(&self) -> usize {
        self.free.iter().filter(|free| !free.is_short).count()
    }

    /// Puts a file where a start takes it last: behind it commits take theirs.
    pub fn keep(&mut self, free: Free<F>) {
        self.free.push_front(free);
    }

    /// A free file for a commit: what was used last, so that the spare stays.
    pub fn take_usable(&mut self) -> Option<Free<F>> {
        if self.usable() == 0 {
            return None;
        }
        self.free.pop_back()
    }

    /// The number for a new file.
    pub fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// The file of a generation, while it is live, or free and not written again.
    pub fn readable(&self, generation: u64) -> Option<Arc<F>> {
        let at = self.live.partition_point(|live| live.generation < generation);
        if let Some(live) = self.live.get(at).filter(|live| live.generation == generation) {
            return Some(live.file.clone());
        }
        let free = self.free.iter().find(|free| free.generation == generation);
        free.filter(|_| generation > 0).map(|free| free.file.clone())
    }

    /// The oldest generation of which something can be read.
    pub fn oldest(&self) -> u64 {
        let live = self.live.front().map(|live| live.generation);
        let free = self.free.iter().map(|free| free.generation).filter(|it| *it > 0);
        free.chain(live).min().unwrap_or(0)
    }

    /// A free file for a start: of the whole ones the one whose records are the oldest, for the others may be read.
    pub fn take_any(&mut self) -> Option<Free<F>> {
        let all = self.free.iter().enumerate().rev();
        let whole = all.filter(|(_, free)| !free.is_short);
        match whole.min_by_key(|(_, free)| free.generation) {
            Some((at, _)) => self.free.remove(at),
            None => self.free.pop_back(),
        }
    }

    /// Whether a file is free as soon as another one is opened behind the last one.
    pub fn opening_frees_one(&self, index: &Index) -> bool {
        self.live
            .iter()
            .take_while(|live| index.pins(live.generation).is_none())
            .any(|live| !live.is_short)
    }

    /// What is left of a divided spare, once there is a whole one.
    pub fn take_needless(&mut self) -> Vec<Free<F>> {
        if !self.has_spare() {
            return Vec::new();
        }
        let (short, whole): (VecDeque<_>, VecDeque<_>) = self.free.drain(..).partition(|free| free.is_short);
        self.free = whole;
        short.into()
    }

    /// Frees the oldest files in which no group has entries. Sound only because the file behind each of them
    /// begins with what must be known of it, durably.
    pub fn recycle(&mut self, index: &Index) {
        while self.live.len() > 1
            && self
                .live
                .front()
                .is_some_and(|oldest| index.pins(oldest.generation).is_none())
            && let Some(oldest) = self.live.pop_front()
        {
            if !oldest.is_short {
                self.free.push_back(Free {
                    number: oldest.number,
                    file: oldest.file,
                    generation: oldest.generation,
                    is_short: false,
                });
            }
        }
    }
}

impl<D: Disk> Shared<D> {
    /// Files that the settings allow.
    pub fn files_max(&self) -> usize {
        files_max(&self.settings)
    }

    /// Whether another file should be written with zeros. On a disk that was full always: nothing else would notice that
    /// there is room again, and until then the journal counts as small as its files are.
    pub fn wants_more(&self, files: &Files<D::File>) -> bool {
        let is_sound = self.damage.read().is_none();
        is_sound
            && (!files.has_spare()
                || (files.usable() < self.settings.prepared_files || files.disk_full)
                    && files.total() < self.files_max())
    }

    pub fn space(&self) -> Space {
        let index = self.index.read();
        let files = self.files.lock();
        let file_bytes = u64::from(self.settings.file_bytes);
        // A full disk gives no more files than there are, whatever the settings allow.
        let files_max = match files.disk_full {
            true => self.files_max().min(files.live.len() + files.usable()),
            false => self.files_max(),
        };
        let capacity = files_max as u64 * file_bytes;
        let used = files.live.len().saturating_sub(1) as u64 * file_bytes + files.written;
        let oldest = files.live.front().filter(|_| files.live.len() > 1);
        Space {
            capacity,
            used,
            oldest: oldest.and_then(|oldest| index.pins(oldest.generation)),
            level: match files.disk_full && !files.has_spare() {
                true => Level::Refuse,
                false => Level::of(used, capacity),
            },
            disk_full: files.disk_full,
        }
    }

    /// Somebody waits for room: a file is tried to be made, if one may be.
    pub fn want_room(&self) {
        let mut files = self.files.lock();
        if self.wants_more(&files) && !std::mem::replace(&mut files.asked, true) {
            self.wanted.notify_all();
        }
    }

    /// Records the first damage; later ones follow from it.
    pub fn damaged(&self, damage: Damage) -> Arc<Damage> {
        let mut slot = self.damage.write();
        if slot.is_none() {
            tracing::error!(reason = %damage, "the journal is damaged and takes nothing more");
        }
        slot.get_or_insert_with(|| Arc::new(damage)).clone()
    }
}

/// Files that the settings allow.
pub(crate) fn files_max(settings: &Settings) -> usize {
    let count = settings.size_bytes / u64::from(settings.file_bytes.max(1));
    usize::try_from(count).unwrap_or(usize::MAX).max(4)
}

/// The name of a usable file.
pub(crate) fn file_name(number: u64) -> String {
    format!("{FILE}{number:08}")
}

/// The name of a file that is being prepared.
pub(crate) fn preparing_name(number: u64) -> String {
    format!("{PREPARING}{number:08}")
}

/// What a name in the folder stands for.
pub(crate) enum Name {
    File(u64),
    Preparing,
    Other,
}

impl Name {
    pub fn of(name: &str) -> Name {
        if name.starts_with(PREPARING) {
            return Name::Preparing;
        }
        match name.strip_prefix(FILE).map(str::parse) {
            Some(Ok(number)) => Name::File(number),
            _ => Name::Other,
        }
    }
}
