//! The bodies of the two threads.

use super::intake::Taken;
use super::{Done, Inner};
use crate::disk::Disk;
use crate::error::CommitError;
use crate::journal::Journal;
use crate::prepare::{Prepared, Preparer};
use std::time::Duration;

/// What the writer's thread found when it looked.
enum Work {
    /// Something waits.
    Commit(Taken<Done>),
    /// Nothing has waited for a while.
    Idle,
    /// Nothing waits, and nothing will.
    Close,
}

/// Commits until the journal is closed.
pub(super) fn write<D: Disk>(mut journal: Journal<D>, inner: &Inner) -> Result<(), CommitError> {
    let mut may_idle = true;
    loop {
        match inner.next(may_idle, journal.commit_bytes_max()) {
            Work::Commit(taken) => {
                let answers = taken.commit(&mut journal);
                inner.waiting.lock().observe(answers.level, answers.damage);
                for (done, result) in answers.told {
                    done(result);
                }
                may_idle = true;
            }
            Work::Idle => {
                may_idle = false;
                if let Err(CommitError::Damaged(damage)) = journal.idle() {
                    let level = journal.space().level;
                    inner.waiting.lock().observe(level, Some(damage));
                }
            }
            Work::Close => return journal.close(),
        }
    }
}

/// Keeps free files ready until the journal is closed.
pub(super) fn prepare<D: Disk>(mut preparer: Preparer<D>, again_after: Duration, asked_after: Duration) {
    loop {
        let goes_on = match preparer.step() {
            Ok(Prepared::More) => preparer.goes_on(),
            Ok(Prepared::Enough) => preparer.wait(),
            Err(error) => {
                tracing::warn!(%error, "preparing a journal file failed, trying again later");
                preparer.pause(again_after, asked_after)
            }
        };
        if !goes_on {
            return;
        }
    }
}

impl Inner {
    fn next(&self, may_idle: bool, commit_bytes_max: usize) -> Work {
        let mut waiting = self.waiting.lock();
        loop {
            if !waiting.is_empty() {
                return Work::Commit(waiting.take(commit_bytes_max));
            }
            if waiting.is_closing() {
                return Work::Close;
            }
            if !may_idle {
                self.wake.wait(&mut waiting);
            } else if self
                .wake
                .wait_for(&mut waiting, self.settings.idle_after)
                .timed_out()
                && waiting.is_empty()
                && !waiting.is_closing()
            {
                return Work::Idle;
            }
        }
    }
}
