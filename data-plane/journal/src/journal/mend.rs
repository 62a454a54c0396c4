//! Going on behind damage, when the operator has decided to (log.md 5).
//!
//! ```text
//!   before:   file 4 ◄ file 5 (block ✗ block block) ◄ file 6
//!   mending:  file 4 ◄ file 5 (block) ◄ 7 draft ◄ 8 draft        5 and 6 stay as they were
//!   finished: file 4 ◄ file 5 (block) ◄ 7 draft ◄ 8 draft ◄ 9    6 is free
//! ```
//! What is to be kept of what lies behind the damage is written again, into files whose headers call them drafts. They count
//! once a file that is no draft goes on behind them; its first block is the one write that decides. Until then a start finds
//! the damage as it was and mends anew.

use super::{Growth, Journal};
use crate::disk::Disk;
use crate::error::{CommitError, OpenError};
use crate::files::file_name;
use crate::header::{self, Header};
use crate::recover::{self, Damage, Salvage};
use std::sync::Arc;

impl<D: Disk> Journal<D> {
    /// The operator's decision to go on with what precedes the damage alone: starts a new file behind it (log.md 5).
    /// Does nothing to a sound journal.
    ///
    /// # Errors
    /// As [`Journal::commit`]; a journal that was damaged by a failed write of this process needs a restart first.
    pub fn accept_loss(&mut self) -> Result<(), CommitError> {
        if self.failed || self.active.is_some() {
            return self.sound();
        }
        let drafts = std::mem::take(&mut self.drafts);
        self.behind.extend(drafts);
        let damage = self.shared.damage.write().take();
        self.go_on(damage)
    }

    /// What is whole behind the damage; nothing of a sound journal.
    ///
    /// # Errors
    /// When the disk fails otherwise than by not giving what it holds.
    pub fn salvage(&self) -> Result<Salvage<D::File>, OpenError> {
        let live: Vec<_> = {
            let files = self.shared.files.lock();
            files.live.iter().map(|live| live.file.clone()).collect()
        };
        let behind = self.behind.iter().map(|(_, file)| file.clone());
        Salvage::find(
            live.into_iter().chain(behind),
            self.shared.id,
            self.end,
            self.oldest,
        )
        .map_err(OpenError::from)
    }

    /// Begins to go on behind what precedes the damage: commits from here on are drafts until
    /// [`Journal::finish_mending`]. A process that ends before leaves the journal damaged as it was.
    ///
    /// # Errors
    /// As [`Journal::commit`]; a journal that was damaged by a failed write of this process needs a restart first.
    pub fn begin_mending(&mut self) -> Result<(), CommitError> {
        if self.failed || self.active.is_some() {
            return self.sound();
        }
        let disk = self.shared.disk.clone();
        for (number, _) in std::mem::take(&mut self.drafts) {
            if let Err(error) = disk.remove(&file_name(number)) {
                return Err(self.fail("removing a draft", &error));
            }
        }
        let damage = self.shared.damage.write().take();
        (self.is_mending, self.is_draft) = (true, true);
        let opened = self.open_next(Growth::Forced);
        if opened.is_err() {
            (self.is_mending, self.is_draft) = (false, false);
            self.still(damage);
        }
        opened
    }

    /// What was committed since [`Journal::begin_mending`] counts: the journal is sound, what lay behind the damage is free.
    ///
    /// # Errors
    /// As [`Journal::commit`].
    pub fn finish_mending(&mut self) -> Result<(), CommitError> {
        if !self.is_draft {
            return self.sound();
        }
        self.is_draft = false;
        self.go_on(None)
    }

    /// Opens a file behind the chain's end and frees what is not in the chain.
    fn go_on(&mut self, damage: Option<Arc<Damage>>) -> Result<(), CommitError> {
        self.is_mending = true;
        let opened = self.open_next(Growth::Forced);
        self.is_mending = false;
        if let Err(error) = opened {
            self.still(damage);
            return Err(error);
        }
        self.remove_rotten()
            .and_then(|()| self.sort_unneeded())
            .and_then(|()| self.remove_surplus())
            .and_then(|()| self.keep_spare())
            .map_err(|error| self.fail("freeing files", &error))
    }

    /// It is as damaged as it was, unless it is more so by now.
    fn still(&self, damage: Option<Arc<Damage>>) {
        let mut slot = self.shared.damage.write();
        if slot.is_none() {
            *slot = damage;
        }
    }

    /// A file of which something cannot be read would be found again by the next start, which could not judge it.
    fn remove_rotten(&mut self) -> std::io::Result<()> {
        let (disk, id) = (self.shared.disk.clone(), self.shared.id);
        let mut sound = Vec::new();
        for (number, file) in std::mem::take(&mut self.behind) {
            let is_rotten = matches!(Header::read(&*file, id)?, header::Found::Rotten);
            match is_rotten || !recover::is_readable(&*file, id)? {
                true => disk.remove(&file_name(number))?,
                false => sound.push((number, file)),
            }
        }
        self.behind = sound;
        Ok(())
    }

    /// While it was mended there were more files than the settings allow.
    fn remove_surplus(&self) -> std::io::Result<()> {
        loop {
            let free = {
                let mut files = self.shared.files.lock();
                if files.total() <= self.shared.files_max() || files.usable() == 0 {
                    return Ok(());
                }
                files.take_usable()
            };
            if let Some(free) = free {
                self.shared.disk.remove(&file_name(free.number))?;
            }
        }
    }
}
