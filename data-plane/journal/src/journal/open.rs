//! Opening a journal: lock, superblock, recovery, the next file.

use super::{Active, Growth, Journal};
use crate::disk::{Disk, DiskFile};
use crate::error::{CommitError, OpenError};
use crate::files::{Files, Free, Live, Name, Shared, file_name};
use crate::header::FIRST_BLOCK_AT;
use crate::index::Index;
use crate::reader::Reader;
use crate::record::{Position, Record};
use crate::recover::Replayed;
use crate::recover::{self, Chain, ChainFile, Ending, Recovered};
use crate::settings::{FILE_BYTES_MIN, Planted, Settings};
use crate::superblock;
use millstream_model::JournalId;
use parking_lot::{Condvar, Mutex, RwLock};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;

/// See [`Journal::open`].
#[expect(
    clippy::disallowed_methods,
    reason = "a journal without a seed draws its own; the simulator gives one"
)]
pub(super) fn open<D: Disk>(
    disk: Arc<D>,
    settings: Settings,
    take: impl FnMut(Position, Record),
) -> Result<(Journal<D>, Recovered), OpenError> {
    check(&settings)?;
    disk.lock().map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked,
        _ => OpenError::Io {
            action: "lock its folder",
            source,
        },
    })?;
    let mut random = settings
        .seed
        .map_or_else(StdRng::from_os_rng, StdRng::seed_from_u64);
    let id = identity(&*disk, &mut random)?;
    let chain = recover::find(&*disk, id, settings.planted)?;
    let mut index = Index::default();
    let replayed = recover::replay(&chain, id, settings.planted, &mut index, take)?;
    let recovered = Recovered {
        id,
        registration: index.registration(),
        ending: ending(&chain, &replayed),
        unfinished: !chain.drafts.is_empty(),
        records: replayed.records,
        bytes_read: replayed.bytes_read,
    };
    let shared = Arc::new(Shared {
        id,
        settings,
        disk,
        index: RwLock::new(index),
        files: Mutex::new(Files {
            next: chain.next_number,
            ..Files::default()
        }),
        wanted: Condvar::new(),
        damage: RwLock::new(None),
    });
    let mut journal = Journal {
        reader: Reader {
            shared: shared.clone(),
        },
        shared,
        active: None,
        end: replayed.end,
        next_generation: chain.next_generation,
        random,
        pending: BTreeMap::new(),
        quiet: true,
        failed: false,
        skipped: None,
        behind: Vec::new(),
        drafts: Vec::new(),
        oldest: chain.oldest,
        is_mending: false,
        is_draft: false,
        unsynced: false,
        buffer: Vec::new(),
    };
    journal.start(chain, replayed)?;
    Ok((journal, recovered))
}

fn check(settings: &Settings) -> Result<(), OpenError> {
    if settings.file_bytes < FILE_BYTES_MIN || !settings.file_bytes.is_multiple_of(4096) {
        return Err(OpenError::Settings(
            "a journal file has at least 64 KiB and a multiple of 4096 bytes",
        ));
    }
    if settings.size_bytes < 4 * u64::from(settings.file_bytes) {
        return Err(OpenError::Settings(
            "a journal has at least four files: raise its size or lower theirs",
        ));
    }
    if settings.commit_bytes_max > settings.file_bytes as usize / 2 {
        return Err(OpenError::Settings("a commit takes at most half a journal file"));
    }
    Ok(())
}

/// The id in the superblock, made when the disk is empty. One that has rotted is written anew.
fn identity<D: Disk>(disk: &D, random: &mut StdRng) -> Result<JournalId, OpenError> {
    let write = |id| {
        superblock::write(disk, id).map_err(|source| OpenError::Io {
            action: "write its superblock",
            source,
        })
    };
    match superblock::read(disk)? {
        Some(superblock::Found { id, is_whole: true }) => return Ok(id),
        Some(superblock::Found { id, is_whole: false }) => {
            write(id)?;
            return Ok(id);
        }
        None => {}
    }
    let names = disk.list().map_err(|source| OpenError::Io {
        action: "list its folder",
        source,
    })?;
    if names.iter().any(|name| matches!(Name::of(name), Name::File(_))) {
        let text = "the folder holds journal files but no superblock: it is a part of a journal; put the missing file \
                    back, or move the folder away and start with --recover-groups, which goes on from the groups' last \
                    snapshots in the store";
        return Err(OpenError::Foreign(text.to_owned()));
    }
    let id = version_4(random.random());
    write(id)?;
    Ok(id)
}

/// A random (version 4) UUID from these bytes.
fn version_4(mut bytes: [u8; 16]) -> JournalId {
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    JournalId::from_bytes(bytes)
}

fn ending<F>(chain: &Chain<F>, replayed: &Replayed) -> Ending {
    match &replayed.damage {
        Some(damage) => Ending::Damaged(damage.clone()),
        None if chain.files.is_empty() => Ending::New,
        None if replayed.closed => Ending::Clean,
        None => Ending::Torn,
    }
}

impl<D: Disk> Journal<D> {
    /// Puts the files in their places and opens the next one, unless the journal is damaged: then nothing on disk
    /// is touched.
    fn start(&mut self, chain: Chain<D::File>, replayed: Replayed) -> Result<(), OpenError> {
        let mut valid = chain.files;
        let lost = valid.split_off(replayed.files);
        let tail = valid.last().map(|last| (last.file.clone(), last.header));
        let skipped = if replayed.damage.is_none() && replayed.bookkeeping_only {
            valid.pop()
        } else {
            None
        };
        for file in valid {
            let live = self.live(file).map_err(|source| OpenError::Io {
                action: "read its files",
                source,
            })?;
            self.shared.files.lock().live.push_back(live);
        }
        self.behind.extend(chain.unneeded);
        // Behind sound files a draft is an accident: what it holds was not finished.
        match replayed.damage {
            Some(_) => self.drafts = chain.drafts,
            None => self.behind.extend(chain.drafts),
        }
        self.behind.extend(
            lost.into_iter()
                .chain(chain.behind)
                .map(|file| (file.number, file.file)),
        );
        if let Some(damage) = replayed.damage {
            self.shared.damaged(damage);
            return Ok(());
        }
        let io = |source| OpenError::Io {
            action: "make its end durable",
            source,
        };
        if self.shared.settings.planted == Planted::AppendAfterRestart
            && let Some((file, header)) = &tail
        {
            if let Some(skipped) = skipped {
                let live = self.live(skipped).map_err(io)?;
                self.shared.files.lock().live.push_back(live);
            }
            self.active = Some(Active {
                file: file.clone(),
                salt: header.salt,
                length: u64::from(self.shared.settings.file_bytes),
            });
            self.shared.files.lock().written = self.end.offset;
            return self.sort_unneeded().map_err(io);
        }
        if let Some((file, header)) = &tail {
            settle(&**file, replayed.last_block, header, self.shared.id).map_err(io)?;
        }
        self.shared.disk.sync_dir().map_err(io)?;
        self.sort_unneeded().map_err(io)?;
        if let Some(skipped) = &skipped {
            // Its successor goes on where its predecessor ended.
            self.end = skipped.header.previous;
            self.skipped = Some(skipped.header.generation);
        }
        // What was released is free for this start already: the disk may have room for no other file.
        {
            let index = self.shared.index.read();
            self.shared.files.lock().recycle(&index);
        }
        if skipped.is_none() {
            self.divide_last().map_err(|source| OpenError::Io {
                action: "divide the last free file",
                source,
            })?;
        }
        self.open_next(Growth::Forced).map_err(|error| match error {
            CommitError::Full => OpenError::Full {
                file_bytes: self.shared.settings.file_bytes,
            },
            error => OpenError::Io {
                action: "open its next file",
                source: io::Error::other(error),
            },
        })?;
        self.behind
            .extend(skipped.map(|skipped| (skipped.number, skipped.file)));
        self.sort_unneeded().map_err(io)?;
        self.keep_spare().map_err(|source| OpenError::Io {
            action: "keep a file for the next start",
            source,
        })
    }

    fn live(&self, file: ChainFile<D::File>) -> io::Result<Live<D::File>> {
        Ok(Live {
            generation: file.header.generation,
            number: file.number,
            is_short: file.file.length()? < u64::from(self.shared.settings.file_bytes),
            file: file.file,
        })
    }

    /// Frees the files that hold nothing, and removes those of another length and those half prepared; but for the longest
    /// short one, when a start would find no file without it.
    pub(super) fn sort_unneeded(&mut self) -> io::Result<()> {
        let disk = self.shared.disk.clone();
        for name in disk.list()? {
            if let Name::Preparing = Name::of(&name) {
                disk.remove(&name)?;
            }
        }
        let file_bytes = u64::from(self.shared.settings.file_bytes);
        let mut short = Vec::new();
        for (number, file) in std::mem::take(&mut self.behind) {
            let length = file.length()?;
            let free = Free {
                number,
                file,
                generation: 0,
                is_short: length < file_bytes,
            };
            match length.cmp(&file_bytes) {
                Ordering::Equal => self.shared.files.lock().free.push_back(free),
                Ordering::Less if length >= u64::from(FILE_BYTES_MIN) => short.push((length, free)),
                _ => disk.remove(&file_name(number))?,
            }
        }
        short.sort_by_key(|(length, _)| *length);
        if self.shared.files.lock().free.is_empty()
            && let Some((_, longest)) = short.pop()
        {
            self.shared.files.lock().keep(longest);
        }
        let needless = self.shared.files.lock().take_needless();
        for free in short.into_iter().map(|(_, free)| free).chain(needless) {
            disk.remove(&file_name(free.number))?;
        }
        Ok(())
    }
}

/// Writes the last block once more, the same bytes, and syncs it: the page cache may show what the disk never got.
fn settle<F: DiskFile>(
    file: &F,
    (offset, length): (u64, u64),
    header: &crate::header::Header,
    id: JournalId,
) -> io::Result<()> {
    if offset == FIRST_BLOCK_AT {
        header.write(file, id, 0)?;
        file.sync_data()?;
        header.write(file, id, crate::header::SECOND_AT)?;
    }
    let mut block = vec![0u8; length as usize];
    let read = file.read_at(offset, &mut block)?;
    file.write_at(offset, &[IoSlice::new(&block[..read])])?;
    file.sync_data()
}
