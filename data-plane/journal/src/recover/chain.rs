//! Which files make the chain, and which are free.

use super::heads::{later_block, newest_generation};
use super::walk::{BlockError, Expected, Found, read_block};
use super::{Chain, ChainFile, Damage};
use crate::disk::{Disk, DiskFile};
use crate::error::OpenError;
use crate::files::{Name, file_name};
use crate::header::{self, End, FIRST_BLOCK_AT, Header};
use crate::settings::Planted;
use millstream_model::JournalId;
use std::sync::Arc;

/// A file whose header cannot be read.
struct Rotten<F> {
    number: u64,
    file: Arc<F>,
    /// The highest generation in its blocks.
    newest: u64,
    /// All of its blocks could be read.
    is_readable: bool,
}

/// Reads all headers and finds the chain.
///
/// # Errors
/// When the disk fails, or a file is another journal's.
pub(crate) fn find<D: Disk>(disk: &D, id: JournalId, planted: Planted) -> Result<Chain<D::File>, OpenError> {
    let io = |source| OpenError::Io {
        action: "read its files",
        source,
    };
    let mut headed = Vec::new();
    let mut rotten = Vec::new();
    let mut chain = Chain {
        files: Vec::new(),
        behind: Vec::new(),
        unneeded: Vec::new(),
        drafts: Vec::new(),
        oldest: 0,
        damage: None,
        ends: Vec::new(),
        next_number: 0,
        next_generation: 1,
    };
    for name in disk.list().map_err(io)? {
        let Name::File(number) = Name::of(&name) else {
            continue;
        };
        let file = Arc::new(disk.open(&name).map_err(io)?);
        chain.next_number = chain.next_number.max(number + 1);
        match Header::read(&*file, id).map_err(io)? {
            header::Found::Header(header) => headed.push(ChainFile { number, file, header }),
            header::Found::Unused => chain.unneeded.push((number, file)),
            header::Found::Rotten => {
                let (newest, is_readable) = newest_generation(&*file, id).map_err(io)?;
                rotten.push(Rotten {
                    number,
                    file,
                    newest,
                    is_readable,
                });
            }
            header::Found::Foreign => {
                return Err(OpenError::Foreign(format!(
                    "the file {} belongs to another journal or needs a newer release",
                    file_name(number)
                )));
            }
        }
    }
    headed.sort_by_key(|file| file.header.generation);
    chain.next_generation += headed.last().map_or(0, |file| file.header.generation);
    let oldest = headed.iter().map(|file| file.header.oldest).max().unwrap_or(0);
    let (needed, old): (Vec<_>, Vec<_>) = headed
        .into_iter()
        .partition(|file| file.header.generation >= oldest);
    chain
        .unneeded
        .extend(old.into_iter().map(|file| (file.number, file.file)));
    chain.oldest = oldest;
    let rotten_newest = rotten.iter().map(|rotten| rotten.newest).max().unwrap_or(0);
    chain.link(needed, rotten_newest, id, planted)?;
    chain.judge_rotten(rotten);
    Ok(chain)
}

impl<F: DiskFile> Chain<F> {
    /// Takes from `needed`, which is sorted by generation, the files of the chain. Drafts count only with a file behind
    /// them that was opened and is none, though its header may have rotted since.
    fn link(
        &mut self,
        mut needed: Vec<ChainFile<F>>,
        rotten_newest: u64,
        id: JournalId,
        planted: Planted,
    ) -> Result<(), OpenError> {
        let oldest = self.oldest;
        let named: Vec<u64> = needed
            .iter()
            .map(|file| file.header.previous.generation)
            .collect();
        while let Some(file) = needed.pop() {
            let generation = file.header.generation;
            let is_last = self.files.is_empty() && self.behind.is_empty() && rotten_newest < generation;
            if file.header.draft && is_last && planted != Planted::DraftCountsAtOnce {
                self.drafts.push((file.number, file.file));
                continue;
            }
            let is_next = match self.files.last() {
                None => true,
                Some(successor) => successor.header.previous.generation == generation,
            };
            if !is_next {
                let gap = self.files.last().is_some_and(|successor| {
                    let previous = successor.header.previous.generation;
                    previous >= oldest && previous > generation
                });
                if gap {
                    self.missing();
                } else {
                    // Skipped by its successor, which repeats what it held.
                    self.unneeded.push((file.number, file.file));
                    continue;
                }
            }
            if self.files.is_empty() {
                match opened(&file, id, planted)? {
                    Opened::Yes => {}
                    Opened::Never if !named.contains(&generation) => {
                        self.ends.push(file.header.previous);
                        self.unneeded.push((file.number, file.file));
                        continue;
                    }
                    lost => {
                        self.damage = Some(Damage::new(lost.reason(), generation, FIRST_BLOCK_AT));
                        self.behind.push(file);
                        continue;
                    }
                }
            }
            self.files.push(file);
        }
        let begins_late = self.files.last().is_some_and(|first| {
            first.header.previous.generation >= oldest && first.header.generation > oldest
        });
        if begins_late {
            self.missing();
        }
        self.files.reverse();
        Ok(())
    }

    /// The predecessor of what has been found is missing: none of that can be believed.
    fn missing(&mut self) {
        let missing = self
            .files
            .last()
            .map_or(0, |file| file.header.previous.generation);
        self.damage = Some(Damage::new(
            "a file of the journal is missing or unreadable",
            missing,
            0,
        ));
        self.behind.append(&mut self.files);
    }

    /// The damage, if a file names an end in the last file of the chain that is behind the one that was found: what lay
    /// between was durable.
    pub fn cut_short(&self, found: End) -> Option<Damage> {
        self.ends
            .iter()
            .any(|end| end.generation == found.generation && end.commit > found.commit)
            .then(|| {
                let reason = "the journal ends before the end that a header names";
                Damage::new(reason, found.generation, found.offset)
            })
    }

    /// Files whose headers cannot be read: do they hold anything behind the chain's head?
    fn judge_rotten(&mut self, rotten: Vec<Rotten<F>>) {
        let head = self.files.last().map_or(0, |file| file.header.generation);
        for file in rotten {
            self.next_generation = self.next_generation.max(file.newest + 1);
            if file.newest > head || !file.is_readable {
                let reason = "the header of a file is unreadable";
                self.damage
                    .get_or_insert_with(|| Damage::new(reason, file.newest, 0));
            }
            self.unneeded.push((file.number, file.file));
        }
    }
}

/// Whether a file's first block, with which it counts as opened, was ever there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opened {
    Yes,
    Never,
    /// It was, and is gone.
    Gone,
    Unreadable,
}

impl Opened {
    fn reason(self) -> &'static str {
        match self {
            Opened::Unreadable => "the disk cannot read the beginning of a file",
            _ => "the first block of a file is bad",
        }
    }
}

fn opened<F: DiskFile>(file: &ChainFile<F>, id: JournalId, planted: Planted) -> Result<Opened, OpenError> {
    let header = &file.header;
    let place = read_block(&*file.file, id, FIRST_BLOCK_AT, &Expected::first(header), planted)?;
    match &place {
        Found::Whole(_) => return Ok(Opened::Yes),
        Found::Unreadable => return Ok(Opened::Unreadable),
        Found::Torn | Found::Bad => {}
    }
    let later = later_block(&*file.file, id, header, FIRST_BLOCK_AT, header.commit);
    Ok(match later.map_err(BlockError::from)?.proves_loss(&place) {
        Some(_) => Opened::Gone,
        None => Opened::Never,
    })
}
