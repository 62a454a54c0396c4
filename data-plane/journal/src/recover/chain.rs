//! Which files make the chain, and which are free.

use super::Damage;
use super::walk::{Expected, later_block, newest_generation, read_block};
use crate::disk::{Disk, DiskFile};
use crate::files::{Name, file_name};
use crate::header::{FIRST_BLOCK_AT, Found, Header};
use crate::journal::OpenError;
use crate::settings::Planted;
use millstream_model::JournalId;
use std::sync::Arc;

/// The files of a journal, sorted out.
pub(crate) struct Chain<F> {
    /// What is to be replayed, oldest first.
    pub files: Vec<ChainFile<F>>,
    /// Files behind the chain's end that hold something; only when damaged.
    pub behind: Vec<ChainFile<F>>,
    /// Files that hold nothing that is needed.
    pub unneeded: Vec<(u64, Arc<F>)>,
    /// What is wrong with the files as such.
    pub damage: Option<Damage>,
    /// The number for the next new file.
    pub next_number: u64,
    /// Higher than any generation there is.
    pub next_generation: u64,
}

/// A file that has a header.
pub(crate) struct ChainFile<F> {
    pub number: u64,
    pub file: Arc<F>,
    pub header: Header,
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
        damage: None,
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
            Found::Header(header) => headed.push(ChainFile { number, file, header }),
            Found::Unused => chain.unneeded.push((number, file)),
            Found::Rotten => rotten.push((number, file)),
            Found::Foreign => {
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
    chain.link(needed, oldest, id, planted).map_err(io)?;
    chain.judge_rotten(rotten, id).map_err(io)?;
    Ok(chain)
}

impl<F: DiskFile> Chain<F> {
    /// Takes from `needed`, which is sorted by generation, the files of the chain.
    fn link(
        &mut self,
        mut needed: Vec<ChainFile<F>>,
        oldest: u64,
        id: JournalId,
        planted: Planted,
    ) -> std::io::Result<()> {
        let named: Vec<u64> = needed
            .iter()
            .map(|file| file.header.previous.generation)
            .collect();
        while let Some(file) = needed.pop() {
            let generation = file.header.generation;
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
            if self.files.is_empty() && !opened(&file, id, planted)? {
                let later = later_block(&*file.file, id, &file.header, FIRST_BLOCK_AT, file.header.commit)?;
                if later.is_none() && !named.contains(&generation) {
                    self.unneeded.push((file.number, file.file));
                    continue;
                }
                let damage = Damage::new("the first block of a file is bad", generation, FIRST_BLOCK_AT);
                self.damage = Some(damage);
                self.behind.push(file);
                continue;
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

    /// Files whose headers cannot be read: do they hold anything behind the chain's head?
    fn judge_rotten(&mut self, rotten: Vec<(u64, Arc<F>)>, id: JournalId) -> std::io::Result<()> {
        let head = self.files.last().map_or(0, |file| file.header.generation);
        for (number, file) in rotten {
            let newest = newest_generation(&*file, id)?;
            self.next_generation = self.next_generation.max(newest + 1);
            if newest > head {
                let reason = "the header of a file is unreadable";
                self.damage.get_or_insert_with(|| Damage::new(reason, newest, 0));
            }
            self.unneeded.push((number, file));
        }
        Ok(())
    }
}

/// Whether a file's first block, with which it counts as opened, is there.
fn opened<F: DiskFile>(file: &ChainFile<F>, id: JournalId, planted: Planted) -> std::io::Result<bool> {
    let expected = Expected::first(&file.header);
    Ok(read_block(&*file.file, id, FIRST_BLOCK_AT, &expected, planted)?.is_some())
}
