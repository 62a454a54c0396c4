//! What waits for the journal, and one commit of it: all that the writer's thread decides, without the thread.

use super::queue::{self, Queue};
use super::{Append, SubmitError};
use crate::disk::Disk;
use crate::error::CommitError;
use crate::frame::Framed;
use crate::journal::{Batch, Committed, Journal};
use crate::record::Record;
use crate::recover::Damage;
use crate::space::Level;
use millstream_model::{GroupId, Lsn, TenantId};
use std::sync::Arc;

/// What waits for the next commit. `T` names whoever is told what became of it.
pub struct Intake<T> {
    appends: Queue<Request<T>>,
    releases: Vec<(GroupId, Lsn, T)>,
    level: Level,
    damage: Option<Arc<Damage>>,
    closing: bool,
    /// Bytes that may wait; more is refused with [`SubmitError::Busy`].
    waiting_bytes_max: usize,
}

/// An append that waits.
struct Request<T> {
    framed: Vec<Framed>,
    who: T,
}

impl<T> queue::Item for Request<T> {
    fn groups(&self) -> impl Iterator<Item = GroupId> {
        self.framed.iter().filter_map(|framed| framed.record().group())
    }
}

impl<T> Intake<T> {
    /// Nothing waits for this journal yet.
    pub fn new<D: Disk>(journal: &Journal<D>, waiting_bytes_max: usize) -> Intake<T> {
        Intake {
            appends: Queue::default(),
            releases: Vec::new(),
            level: journal.space().level,
            damage: journal.damage(),
            closing: false,
            waiting_bytes_max,
        }
    }

    /// Takes records, or refuses them at once. `level_now` says how full the journal is by now: what was full at the last
    /// commit need not be so any more.
    ///
    /// # Errors
    /// See [`SubmitError`]; nobody else is told.
    pub fn push(
        &mut self,
        append: Append,
        who: T,
        level_now: impl FnOnce() -> Level,
    ) -> Result<(), SubmitError> {
        let framed = append.records;
        let bytes = framed.iter().map(Framed::length).sum::<usize>();
        let is_entry = |framed: &Framed| matches!(framed.record(), Record::Entry(_));
        let is_internal = append.tenant == TenantId::SYSTEM || !framed.iter().any(is_entry);
        if self.level == Level::Refuse && !is_internal {
            self.level = level_now();
        }
        self.admit(is_internal)?;
        if self.appends.bytes() + bytes > self.waiting_bytes_max {
            return Err(SubmitError::Busy);
        }
        self.appends.push(append.tenant, bytes, Request { framed, who });
        Ok(())
    }

    /// Takes a release, or refuses it at once.
    ///
    /// # Errors
    /// See [`SubmitError`]; nobody else is told.
    pub fn push_release(&mut self, group: GroupId, up_to: Lsn, who: T) -> Result<(), SubmitError> {
        self.admit(true)?;
        self.releases.push((group, up_to, who));
        Ok(())
    }

    fn admit(&self, is_internal: bool) -> Result<(), SubmitError> {
        if self.closing {
            Err(SubmitError::Closed)
        } else if let Some(damage) = &self.damage {
            Err(CommitError::Damaged(damage.clone()).into())
        } else if self.level == Level::Refuse && !is_internal {
            Err(CommitError::Full.into())
        } else {
            Ok(())
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.appends.is_empty() && self.releases.is_empty()
    }

    /// What the next commit holds: at most so many bytes of appends, and all releases.
    pub fn take(&mut self, bytes_max: usize) -> Taken<T> {
        Taken {
            requests: self.appends.take(bytes_max),
            releases: std::mem::take(&mut self.releases),
        }
    }

    /// How the journal stands after a commit.
    pub fn observe(&mut self, level: Level, damage: Option<Arc<Damage>>) {
        self.level = level;
        if damage.is_some() {
            self.damage = damage;
        }
    }

    /// Nothing more is taken.
    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    pub(super) fn damage(&self) -> Option<Arc<Damage>> {
        self.damage.clone()
    }
}

/// What one commit holds.
pub struct Taken<T> {
    requests: Vec<Request<T>>,
    releases: Vec<(GroupId, Lsn, T)>,
}

/// What became of it.
pub struct Answers<T> {
    /// Who is told, and what, in the order of the commit.
    pub told: Vec<(T, Result<Committed, SubmitError>)>,
    /// How full the journal is now.
    pub level: Level,
    /// The journal's damage, if this commit found it.
    pub damage: Option<Arc<Damage>>,
}

impl<T> Taken<T> {
    /// Commits everything at once; what cannot be taken is refused by itself.
    pub fn commit<D: Disk>(self, journal: &mut Journal<D>) -> Answers<T> {
        let Taken { requests, releases } = self;
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
        let damage = match &written {
            Err(CommitError::Damaged(damage)) => Some(damage.clone()),
            _ => None,
        };
        let mut told = Vec::with_capacity(requests.len() + releases.len());
        let all = written.as_ref().map(|all| all.positions.as_slice());
        let mut positions = all.unwrap_or_default();
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
            told.push((request.who, result.map_err(SubmitError::Commit)));
        }
        for (_, _, who) in releases {
            // A release that no commit could carry yet stays staged; only damage is news to its caller.
            let result = match &written {
                Err(error @ CommitError::Damaged(_)) => Err(SubmitError::Commit(error.clone())),
                _ => Ok(nothing.clone()),
            };
            told.push((who, result));
        }
        Answers {
            told,
            level: journal.space().level,
            damage,
        }
    }
}
