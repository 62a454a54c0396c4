//! The bodies of the two threads.

use super::{Done, Inner, Request, SubmitError, Waiting};
use crate::disk::Disk;
use crate::frame::Framed;
use crate::journal::{Batch, CommitError, Committed, Journal};
use crate::prepare::{Prepared, Preparer};
use millstream_model::{GroupId, Lsn};
use std::time::Duration;

/// What the writer's thread found when it looked.
enum Work {
    /// Something waits.
    Commit(Vec<Request>, Vec<(GroupId, Lsn, Done)>),
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
            Work::Commit(requests, releases) => {
                commit(&mut journal, inner, requests, releases);
                may_idle = true;
            }
            Work::Idle => {
                may_idle = false;
                if let Err(CommitError::Damaged(damage)) = journal.idle() {
                    inner.waiting.lock().damage = Some(damage);
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
            if !waiting.appends.is_empty() || !waiting.releases.is_empty() {
                let Waiting {
                    appends, releases, ..
                } = &mut *waiting;
                return Work::Commit(appends.take(commit_bytes_max), std::mem::take(releases));
            }
            if waiting.closing {
                return Work::Close;
            }
            if !may_idle {
                self.wake.wait(&mut waiting);
            } else if self
                .wake
                .wait_for(&mut waiting, self.settings.idle_after)
                .timed_out()
                && waiting.appends.is_empty()
                && waiting.releases.is_empty()
                && !waiting.closing
            {
                return Work::Idle;
            }
        }
    }
}

/// Commits everything at once; what cannot be taken is refused by itself.
fn commit<D: Disk>(
    journal: &mut Journal<D>,
    inner: &Inner,
    requests: Vec<Request>,
    releases: Vec<(GroupId, Lsn, Done)>,
) {
    for (group, up_to, _) in &releases {
        journal.stage_release(*group, *up_to);
    }
    let mut batch = Batch::default();
    let admitted: Vec<Result<(), CommitError>> = requests
        .iter()
        .map(|request| journal.admit(&mut batch, &request.framed))
        .collect();
    let parts: Vec<&[Framed]> = requests
        .iter()
        .zip(&admitted)
        .filter_map(|(request, admitted)| admitted.is_ok().then_some(request.framed.as_slice()))
        .collect();
    let nothing = Committed {
        commit: 0,
        positions: Vec::new(),
    };
    let written = if parts.is_empty() && !journal.frees_a_file() {
        Ok(nothing.clone())
    } else {
        journal.write(&parts, batch)
    };
    let level = journal.space().level;
    {
        let mut waiting = inner.waiting.lock();
        waiting.level = level;
        if let Err(CommitError::Damaged(damage)) = &written {
            waiting.damage = Some(damage.clone());
        }
    }
    let mut positions = written
        .as_ref()
        .map(|all| all.positions.as_slice())
        .unwrap_or_default();
    for (request, admitted) in requests.into_iter().zip(admitted) {
        let result = match (admitted, &written) {
            (Err(error), _) => Err(error),
            (Ok(()), Err(error)) => Err(error.clone()),
            (Ok(()), Ok(all)) => {
                let (mine, rest) = positions.split_at(request.framed.len());
                positions = rest;
                Ok(Committed {
                    commit: all.commit,
                    positions: mine.to_vec(),
                })
            }
        };
        (request.done)(result.map_err(SubmitError::Commit));
    }
    for (_, _, done) in releases {
        // A release that no commit could carry yet stays staged; only damage is news to its caller.
        done(match &written {
            Err(error @ CommitError::Damaged(_)) => Err(SubmitError::Commit(error.clone())),
            _ => Ok(nothing.clone()),
        });
    }
}
