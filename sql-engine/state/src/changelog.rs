//! What a commit is in the changelog: a run of pieces of which the last says so.
//!
//! ```text
//!   piece = version u8 | flags u8 (1: last of its run) | owner epoch u64 | number of the run u64 | index u32 | bytes
//!   the bytes of a run's pieces, joined:   change*     change = length of key u32 | key | 1 + length of value u32 | value
//!                                                               (0: the key is removed)            numbers big-endian
//! ```
//!
//! A run is cut without regard to changes, so a value larger than a piece fits. The piece with index 0 begins a run and
//! voids what an unfinished one before it has brought. An append whose answer was lost is repeated, so a piece may come
//! twice, the second time late: one that does not go on the run at hand is passed over. Whole runs are counted without a
//! gap, whoever wrote them: where one is missing, so is state that was committed.

use crate::StateWrite;
use crate::store::Corrupt;
use bytes::Bytes;
use millstream_model::OwnerEpoch;

const VERSION: u8 = 1;
const LAST: u8 = 1;
const HEAD_BYTES: usize = 22;

/// Which run: the epoch of the owner that wrote it, then its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunId {
    /// The owner's.
    pub epoch: OwnerEpoch,
    /// Counted over all lives of the shard.
    pub number: u64,
}

/// A changed key and its value from then on; `None` removes it.
pub type Changed = (Bytes, Option<Bytes>);

/// Bugs that a test can put in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlantedReplay {
    /// A run counts piece by piece, not when its last is there.
    pub half_run: bool,
    /// A piece goes on the run at hand, whoever wrote it.
    pub foreign_end: bool,
    /// A late repeat of a run's first piece voids the run that came after it.
    pub repeat_voids: bool,
}

/// Cuts a run into pieces of at most so many bytes. At least one.
pub fn cut(id: RunId, changes: &[StateWrite], piece_bytes_max: usize) -> Vec<Bytes> {
    let body = encode(changes);
    let room = piece_bytes_max.saturating_sub(HEAD_BYTES).max(1);
    let count = body.len().div_ceil(room).max(1);
    let piece = |index: usize| {
        let part = &body[index * room..body.len().min((index + 1) * room)];
        let mut bytes = Vec::with_capacity(HEAD_BYTES + part.len());
        bytes.push(VERSION);
        bytes.push(if index + 1 == count { LAST } else { 0 });
        bytes.extend_from_slice(&id.epoch.0.to_be_bytes());
        bytes.extend_from_slice(&id.number.to_be_bytes());
        bytes.extend_from_slice(&length(index).to_be_bytes());
        bytes.extend_from_slice(part);
        Bytes::from(bytes)
    };
    (0..count).map(piece).collect()
}

fn length(of: usize) -> u32 {
    u32::try_from(of).unwrap_or(u32::MAX)
}

fn encode(changes: &[StateWrite]) -> Vec<u8> {
    let size = |change: &StateWrite| 8 + change.key.len() + change.value.as_ref().map_or(0, Vec::len);
    let mut body = Vec::with_capacity(changes.iter().map(size).sum());
    for change in changes {
        body.extend_from_slice(&length(change.key.len()).to_be_bytes());
        body.extend_from_slice(&change.key);
        match &change.value {
            None => body.extend_from_slice(&0_u32.to_be_bytes()),
            Some(value) => {
                body.extend_from_slice(&length(value.len() + 1).to_be_bytes());
                body.extend_from_slice(value);
            }
        }
    }
    body
}

/// The next change of a body; `None` where it ends before one does.
fn next_change(body: &mut Bytes) -> Option<Changed> {
    let mut rest = body.clone();
    let key = counted(&mut rest, 0)?;
    let value = match u32::from_be_bytes(*rest.first_chunk()?) {
        0 => {
            let _ = rest.split_to(4);
            None
        }
        _ => Some(counted(&mut rest, 1)?),
    };
    *body = rest;
    Some((key, value))
}

/// Bytes behind their length, which is told `more` too large.
fn counted(rest: &mut Bytes, more: u32) -> Option<Bytes> {
    let length = u32::from_be_bytes(*rest.first_chunk()?).checked_sub(more)? as usize;
    (rest.len() >= 4 + length).then(|| {
        let _ = rest.split_to(4);
        rest.split_to(length)
    })
}

/// One piece, read.
struct Piece {
    id: RunId,
    index: u32,
    last: bool,
    body: Bytes,
}

fn read(mut bytes: Bytes) -> Result<Piece, Corrupt> {
    let corrupt = Corrupt {
        what: "piece of the changelog",
    };
    if bytes.len() < HEAD_BYTES || bytes[0] != VERSION {
        return Err(corrupt);
    }
    let head = bytes.split_to(HEAD_BYTES);
    let (Some(epoch), Some(number), Some(index)) = (
        head[2..].first_chunk().copied(),
        head[10..].first_chunk().copied(),
        head[18..].first_chunk().copied(),
    ) else {
        return Err(corrupt);
    };
    Ok(Piece {
        id: RunId {
            epoch: OwnerEpoch(u64::from_be_bytes(epoch)),
            number: u64::from_be_bytes(number),
        },
        index: u32::from_be_bytes(index),
        last: head[1] & LAST != 0,
        body: bytes,
    })
}

/// Why a changelog cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// It does not read.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// A run was committed that is not there any more.
    #[error("commit {found} follows commit {last}: what lay between them is lost")]
    Missing {
        /// The last that is whole.
        last: u64,
        /// The one behind what is missing.
        found: u64,
    },
}

/// A whole run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeRun {
    /// Which.
    pub id: RunId,
    /// What it changed.
    pub changes: Vec<Changed>,
}

/// Reads pieces in the order of the changelog and gives out whole runs only.
#[derive(Clone, Debug, Default)]
pub struct Replay {
    /// The last whole run.
    last: RunId,
    /// The highest epoch that wrote: a lower one does not come back.
    epoch: OwnerEpoch,
    /// The run at hand, the index that goes on it, and what it has brought.
    at_hand: Option<(RunId, u32, Vec<Bytes>)>,
    planted: PlantedReplay,
}

impl Replay {
    /// Behind that run.
    pub fn after(last: RunId, planted: PlantedReplay) -> Self {
        Self {
            last,
            epoch: last.epoch,
            at_hand: None,
            planted,
        }
    }

    /// The last whole run.
    pub fn last(&self) -> RunId {
        self.last
    }

    /// Takes in the next piece; gives back the run that is whole with it.
    ///
    /// # Errors
    /// When it is not a piece, a whole run does not read, or one before it is missing.
    pub fn piece(&mut self, bytes: Bytes) -> Result<Option<WholeRun>, ReplayError> {
        let piece = read(bytes)?;
        if piece.id.epoch < self.epoch || piece.id <= self.last {
            return Ok(None);
        }
        self.epoch = piece.id.epoch;
        let at_hand = self.at_hand.as_ref().map(|(id, next, _)| (*id, *next));
        let goes_on = match at_hand {
            Some(_) if self.planted.foreign_end => true,
            Some((id, next)) => piece.id == id && piece.index == next,
            None => false,
        };
        if goes_on {
            if let Some((id, next, parts)) = &mut self.at_hand {
                *id = piece.id;
                *next += 1;
                parts.push(piece.body);
            }
        } else if piece.index == 0 && self.begins(&piece) {
            self.at_hand = Some((piece.id, 1, vec![piece.body]));
        } else {
            return Ok(None);
        }
        if piece.last || self.planted.half_run {
            return self.whole(piece.last).map(Some);
        }
        Ok(None)
    }

    /// Whether a piece with index 0 begins a run; else it is a repeat of what is at hand, or of what came before.
    fn begins(&self, piece: &Piece) -> bool {
        let later = self.at_hand.as_ref().is_none_or(|(id, ..)| piece.id > *id);
        later || self.planted.repeat_voids
    }

    fn whole(&mut self, is_whole: bool) -> Result<WholeRun, ReplayError> {
        let Some((id, next, parts)) = self.at_hand.take() else {
            return Err(Corrupt { what: "run" }.into());
        };
        let (last, found) = (self.last.number, id.number);
        if is_whole && found != last + 1 && !self.planted.foreign_end {
            return Err(ReplayError::Missing { last, found });
        }
        let mut body = match parts.as_slice() {
            [one] => one.clone(),
            many => Bytes::from(many.concat()),
        };
        let mut changes = Vec::new();
        while let Some(change) = next_change(&mut body) {
            changes.push(change);
        }
        if !body.is_empty() && is_whole && !self.planted.foreign_end {
            return Err(Corrupt {
                what: "run of the changelog",
            }
            .into());
        }
        if is_whole {
            self.last = self.last.max(id);
        } else {
            self.at_hand = Some((id, next, parts));
        }
        Ok(WholeRun { id, changes })
    }
}

#[cfg(test)]
mod tests {
    use super::{HEAD_BYTES, PlantedReplay, Replay, ReplayError, RunId, WholeRun};
    use crate::StateWrite;
    use bytes::Bytes;
    use millstream_model::OwnerEpoch;
    use millstream_model::limits::SQL_CHANGELOG_PIECE_BYTES_MAX;

    fn id(epoch: u64, number: u64) -> RunId {
        RunId {
            epoch: OwnerEpoch(epoch),
            number,
        }
    }

    fn cut(id: RunId, changes: &[StateWrite]) -> Vec<Bytes> {
        super::cut(id, changes, SQL_CHANGELOG_PIECE_BYTES_MAX)
    }

    fn change(key: &str, value: Option<Vec<u8>>) -> StateWrite {
        StateWrite {
            key: key.into(),
            value,
        }
    }

    fn large(name: &str) -> Vec<StateWrite> {
        vec![change(name, Some(vec![7; 3 * SQL_CHANGELOG_PIECE_BYTES_MAX]))]
    }

    /// The numbers of the runs that come out.
    fn runs(pieces: impl IntoIterator<Item = Bytes>) -> Vec<(u64, u64)> {
        let mut replay = Replay::default();
        let whole = pieces
            .into_iter()
            .filter_map(|piece| replay.piece(piece).unwrap());
        whole.map(|run| (run.id.epoch.0, run.id.number)).collect()
    }

    #[test]
    fn a_run_reads_back_as_it_was_whatever_its_size() {
        let changes = [
            change("a", Some(vec![1])),
            change("empty", Some(Vec::new())),
            change("gone", None),
            change("large", Some(vec![9; 8 * 1024 * 1024])),
        ];
        let pieces = cut(id(3, 9), &changes);
        assert!(pieces.len() > 8);
        assert!(
            pieces
                .iter()
                .all(|piece| piece.len() <= SQL_CHANGELOG_PIECE_BYTES_MAX)
        );
        let mut replay = Replay::after(id(3, 8), PlantedReplay::default());
        let mut whole: Vec<WholeRun> = Vec::new();
        for piece in pieces {
            whole.extend(replay.piece(piece).unwrap());
        }
        assert_eq!(whole.len(), 1);
        let read = whole[0].changes.iter().map(|(key, value)| StateWrite {
            key: key.to_vec(),
            value: value.as_ref().map(|value| value.to_vec()),
        });
        assert_eq!(read.collect::<Vec<_>>(), changes);
        // A run of nothing is a run.
        assert_eq!(runs(cut(id(1, 1), &[])), [(1, 1)]);
    }

    #[test]
    fn the_form_of_a_piece_is_kept() {
        let piece = &cut(id(2, 258), &[change("k", Some(b"v".to_vec())), change("g", None)])[0];
        let golden = [
            &[1, 1][..],
            &[0, 0, 0, 0, 0, 0, 0, 2],
            &[0, 0, 0, 0, 0, 0, 1, 2],
            &[0, 0, 0, 0],
            &[0, 0, 0, 1, b'k', 0, 0, 0, 2, b'v'],
            &[0, 0, 0, 1, b'g', 0, 0, 0, 0],
        ];
        assert_eq!(piece[..], golden.concat()[..]);
    }

    #[test]
    fn only_whole_runs_of_one_owner_count() {
        let (old, new) = (cut(id(1, 1), &large("old")), cut(id(2, 1), &large("new")));
        assert_eq!(old.len(), 4);
        // The owner changes in the middle of a run, and the new one's run is as long.
        let mixed = old[..2].iter().chain(&new[2..]).cloned();
        assert_eq!(runs(mixed), []);
        let begun_anew = old[..2].iter().chain(&new).cloned();
        assert_eq!(runs(begun_anew), [(2, 1)]);
        // The old owner comes back.
        let late = new.iter().chain(&old).cloned();
        assert_eq!(runs(late), [(2, 1)]);
    }

    #[test]
    fn a_repeat_changes_nothing_however_late() {
        let (first, second) = (cut(id(1, 1), &large("a")), cut(id(1, 2), &large("b")));
        let twice = first.iter().flat_map(|piece| [piece.clone(), piece.clone()]);
        assert_eq!(runs(twice), [(1, 1)]);
        let mut late = first.clone();
        late.extend([second[0].clone(), first[0].clone(), first[3].clone()]);
        late.extend([second[1].clone(), second[0].clone()]);
        late.extend([second[2].clone(), second[3].clone(), second[3].clone()]);
        assert_eq!(runs(late), [(1, 1), (1, 2)]);
    }

    /// A journal that was mended may have lost a run whole, or a piece of it.
    #[test]
    fn a_run_that_is_missing_is_told_and_never_passed_over() {
        let run = |epoch, number| cut(id(epoch, number), &large("k"));
        let missing = |last, found| Err(ReplayError::Missing { last, found });
        let read = |pieces: Vec<Bytes>| {
            let mut replay = Replay::after(id(3, 7), PlantedReplay::default());
            let read: Result<Vec<_>, _> = pieces.into_iter().map(|piece| replay.piece(piece)).collect();
            read.map(|_| replay.last())
        };
        assert_eq!(read([run(3, 8), run(4, 9)].concat()), Ok(id(4, 9)));
        assert_eq!(read([run(3, 8), run(3, 10)].concat()), missing(8, 10));
        assert_eq!(read(run(4, 9)), missing(7, 9), "the first one, too");
        let mut torn = run(3, 8);
        let _ = torn.remove(2);
        assert_eq!(read([torn, run(3, 9)].concat()), missing(7, 9));
        // A new owner counts on from the last whole run: it commits the number of an unfinished one, not of a whole one.
        assert_eq!(read([run(3, 8)[..2].to_vec(), run(4, 8)].concat()), Ok(id(4, 8)));
        assert_eq!(read([run(3, 8), run(4, 8)].concat()), missing(8, 8));
    }

    #[test]
    fn what_is_no_piece_is_refused() {
        let piece = cut(id(1, 1), &[change("k", None)])[0].clone();
        let read = |bytes: Bytes| Replay::after(RunId::default(), PlantedReplay::default()).piece(bytes);
        assert!(read(piece.slice(..HEAD_BYTES - 1)).is_err());
        assert!(read(piece.slice(..piece.len() - 1)).is_err());
        let mut newer = piece.to_vec();
        newer[0] = 2;
        assert!(read(newer.into()).is_err());
        assert!(read(piece).is_ok());
    }
}
