//! How far commits reach into the topics that a shard writes, and whose records behind that do not count.
//!
//! Results are in their topic before the commit that counts them. A shard that is killed in between leaves records that
//! its next life writes again; a query of the same shard that reads the topic must see one of both. So a commit holds
//! the end of each sink partition that its results reach, and the ids of the writers that were at work. A writer that is
//! given up (its process died, its answer was lost, its query was parked) counts up to the committed end only; what it
//! left behind that, or brings there late, this shard's readers pass over. Records of all others are read.

use crate::streams::StreamFetched;
use millstream_model::limits::SQL_SINK_LEFTOVERS_MAX;
use millstream_model::{Offset, PartitionIndex, ProducerId, TopicName};
use millstream_operators::Corrupt;
use millstream_state::StateWrite;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A partition that results are written to.
pub(crate) type Place = (TopicName, PartitionIndex);

/// Where the rows of partitions begin.
pub(crate) const ENDS: &[u8] = b"e\0";

/// The key of the writers' row.
pub(crate) const WRITERS: &[u8] = b"w\0";

/// A row for each partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Reached {
    /// One past the last result that counts.
    end: i64,
    /// Writers whose records count before an offset only.
    left: Vec<(i64, i64)>,
}

/// The writers' row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Writers {
    /// Those who may have written what no commit counts.
    at_work: BTreeSet<i64>,
    /// Those who were given up, the last first: where a partition says nothing of them, nothing of theirs counts.
    given_up: Vec<i64>,
}

/// What is known of all sinks. Pure.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reach {
    places: BTreeMap<Place, Reached>,
    writers: Writers,
    /// Rows that the next commit takes along.
    changed: BTreeSet<Place>,
    writers_changed: bool,
    /// Writers that a durable commit names.
    registered: BTreeSet<i64>,
}

impl Reach {
    /// From the rows of the last commit. Whoever was at work then is given up: a new life begins.
    pub(crate) fn restore<'a>(rows: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<Self, Corrupt> {
        let corrupt = || Corrupt {
            what: "end of a sink",
        };
        let mut reach = Self::default();
        for (key, value) in rows {
            if key == WRITERS {
                reach.writers = serde_json::from_slice(value).map_err(|_| corrupt())?;
            } else {
                let place = place_of(key).ok_or_else(corrupt)?;
                let row = serde_json::from_slice(value).map_err(|_| corrupt())?;
                reach.places.insert(place, row);
            }
        }
        for writer in std::mem::take(&mut reach.writers.at_work) {
            reach.give_up(ProducerId(writer));
        }
        Ok(reach)
    }

    /// Whether a writer may write: whoever restores must know of it.
    pub(crate) fn is_registered(&self, writer: ProducerId) -> bool {
        self.registered.contains(&writer.0)
    }

    /// The next commit names this writer.
    pub(crate) fn register(&mut self, writer: ProducerId) {
        self.writers_changed |= self.writers.at_work.insert(writer.0);
    }

    /// A writer is given up: what it has written counts up to the ends of now.
    fn give_up(&mut self, writer: ProducerId) {
        for (place, row) in &mut self.places {
            leave(row, writer, row.end);
            self.changed.insert(place.clone());
        }
        self.writers.given_up.insert(0, writer.0);
        self.writers.given_up.truncate(SQL_SINK_LEFTOVERS_MAX);
        self.writers_changed = true;
    }

    /// What a writer has written into one partition counts up to here only.
    pub(crate) fn leave(&mut self, place: Place, writer: ProducerId, from: Option<Offset>) {
        let row = self.places.entry(place.clone()).or_default();
        leave(row, writer, from.map_or(row.end, |from| from.0));
        self.changed.insert(place);
    }

    /// The next commit reaches this far.
    pub(crate) fn reach(&mut self, place: Place, end: Offset) {
        let row = self.places.entry(place.clone()).or_default();
        // A topic that was made again ends earlier.
        row.end = end.0;
        self.changed.insert(place);
    }

    /// The rows that the next commit takes along.
    pub(crate) fn changes(&self) -> Vec<StateWrite> {
        let row = |place: &Place| {
            Some(StateWrite {
                key: key_of(place),
                value: serde_json::to_vec(self.places.get(place)?).ok(),
            })
        };
        let writers = || StateWrite {
            key: WRITERS.to_vec(),
            value: serde_json::to_vec(&self.writers).ok(),
        };
        let mut changes: Vec<StateWrite> = self.changed.iter().filter_map(row).collect();
        changes.extend(self.writers_changed.then(writers));
        changes
    }

    /// A commit has counted what [`Reach::changes`] gave.
    pub(crate) fn committed(&mut self) {
        self.changed.clear();
        self.writers_changed = false;
        self.registered = self.writers.at_work.clone();
    }

    /// All results are counted: of the writers at work, only the current one has more to write.
    pub(crate) fn settled(&mut self, current: Option<ProducerId>) {
        let before = self.writers.at_work.len();
        self.writers
            .at_work
            .retain(|writer| current.is_some_and(|current| current.0 == *writer));
        self.writers_changed |= self.writers.at_work.len() != before;
    }

    /// Removes what does not count from what was read.
    pub(crate) fn pass_over(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
        fetched: &mut StreamFetched,
    ) {
        if fetched.writers.is_empty() || self.is_quiet() {
            return;
        }
        let place = (topic.clone(), partition);
        let row = self.places.get(&place);
        let limit = |writer: ProducerId| {
            let left = row.and_then(|row| row.left.iter().find(|(of, _)| *of == writer.0));
            match left {
                Some((_, from)) => *from,
                // Where the oldest were forgotten, their records count.
                None if row.is_some_and(|row| row.left.len() >= SQL_SINK_LEFTOVERS_MAX) => i64::MAX,
                None if self.writers.given_up.contains(&writer.0) => 0,
                None => i64::MAX,
            }
        };
        let mut limits = fetched
            .writers
            .iter()
            .map(|it| (it.from, limit(it.writer)))
            .peekable();
        let mut current = i64::MAX;
        fetched.records.retain(|record| {
            while let Some((_, limit)) = limits.next_if(|(from, _)| *from <= record.offset) {
                current = limit;
            }
            record.offset.0 < current
        });
    }

    /// Nobody was ever given up.
    fn is_quiet(&self) -> bool {
        self.writers.given_up.is_empty() && self.places.values().all(|row| row.left.is_empty())
    }
}

fn leave(row: &mut Reached, writer: ProducerId, from: i64) {
    let known = row.left.iter_mut().find(|(of, _)| *of == writer.0);
    match known {
        Some((_, known)) => *known = from.min(*known),
        None => {
            row.left.insert(0, (writer.0, from));
            row.left.truncate(SQL_SINK_LEFTOVERS_MAX);
        }
    }
}

fn key_of((topic, partition): &Place) -> Vec<u8> {
    [ENDS, topic.as_str().as_bytes(), b"\0", &partition.0.to_be_bytes()].concat()
}

fn place_of(key: &[u8]) -> Option<Place> {
    let (name, partition) = key.strip_prefix(ENDS)?.split_last_chunk::<4>()?;
    let topic = std::str::from_utf8(name.strip_suffix(b"\0")?)
        .ok()?
        .parse()
        .ok()?;
    Some((topic, PartitionIndex(u32::from_be_bytes(*partition))))
}

#[cfg(test)]
mod tests {
    use super::{Place, Reach, key_of, place_of};
    use crate::streams::{StreamFetched, StreamRecord, WrittenFrom};
    use millstream_model::{Offset, PartitionIndex, ProducerId, TimestampMs};

    fn place(topic: &str, partition: u32) -> Place {
        (topic.parse().unwrap(), PartitionIndex(partition))
    }

    /// The offsets that are read of a partition whose records were written so.
    fn read(reach: &Reach, place: &Place, from: i64, writers: &[i64]) -> Vec<i64> {
        let record = |at: usize| StreamRecord {
            offset: Offset(from + i64::try_from(at).unwrap()),
            timestamp: TimestampMs(0),
            key: None,
            value: None,
        };
        let records: Vec<StreamRecord> = (0..writers.len()).map(record).collect();
        let mut runs: Vec<WrittenFrom> = Vec::new();
        for (record, writer) in records.iter().zip(writers) {
            let writer = ProducerId(*writer);
            if runs.last().is_none_or(|run| run.writer != writer) {
                let from = record.offset;
                runs.push(WrittenFrom { from, writer });
            }
        }
        let end = Offset(from).plus(i64::try_from(records.len()).unwrap());
        let mut fetched = StreamFetched {
            end,
            start: Offset(0),
            next: end,
            records,
            writers: runs,
        };
        reach.pass_over(&place.0, place.1, &mut fetched);
        assert_eq!(fetched.next, end, "reading goes on behind it all");
        fetched.records.iter().map(|record| record.offset.0).collect()
    }

    fn reopened(reach: &Reach) -> Reach {
        let mut whole = reach.clone();
        whole.changed = whole.places.keys().cloned().collect();
        whole.writers_changed = true;
        let rows = whole.changes();
        let rows = rows
            .iter()
            .map(|row| (row.key.as_slice(), row.value.as_deref().unwrap()));
        Reach::restore(rows).unwrap()
    }

    #[test]
    fn a_place_is_its_key() {
        for place in [place("t", 0), place("a.b-c_d", 259)] {
            assert_eq!(place_of(&key_of(&place)), Some(place));
        }
        assert_eq!(place_of(b"e\0t\0\0\0"), None);
    }

    #[test]
    fn what_a_killed_writer_left_is_passed_over_and_others_records_are_read() {
        let (t, u) = (place("t", 0), place("u", 1));
        let mut reach = Reach::default();
        reach.register(ProducerId(7));
        assert!(!reach.is_registered(ProducerId(7)), "not before that is durable");
        reach.committed();
        assert!(reach.is_registered(ProducerId(7)));
        reach.reach(t.clone(), Offset(3));
        reach.committed();
        // Alive, everything counts: it will be committed.
        assert_eq!(read(&reach, &t, 0, &[7, 7, 7, 7, -1]), [0, 1, 2, 3, 4]);
        let mut reach = reopened(&reach);
        assert_eq!(read(&reach, &t, 0, &[7, 9, 7, 7, -1, 7, 9]), [0, 1, 2, 4, 6]);
        assert_eq!(read(&reach, &t, 4, &[7, 9, 7]), [5]);
        assert_eq!(
            read(&reach, &u, 0, &[7, -1]),
            [1],
            "nothing of its first commit counts"
        );
        // The next life writes it again, and its end is another.
        reach.register(ProducerId(8));
        reach.committed();
        reach.reach(t.clone(), Offset(6));
        reach.committed();
        assert_eq!(read(&reach, &t, 3, &[7, -1, 8, 7]), [4, 5]);
        let reach = reopened(&reach);
        assert_eq!(read(&reach, &t, 3, &[7, -1, 8, 7, 8]), [4, 5]);
    }

    #[test]
    fn a_writer_that_is_replaced_leaves_what_was_not_counted_in_one_place_only() {
        let (t, u) = (place("t", 0), place("u", 0));
        let mut reach = Reach::default();
        reach.register(ProducerId(7));
        reach.reach(t.clone(), Offset(2));
        reach.reach(u.clone(), Offset(2));
        reach.committed();
        // The query that writes t was parked; what it wrote into u is counted with the next commit.
        reach.leave(t.clone(), ProducerId(7), None);
        reach.register(ProducerId(8));
        reach.committed();
        reach.reach(u.clone(), Offset(4));
        reach.settled(Some(ProducerId(8)));
        reach.committed();
        let reach = reopened(&reach);
        assert_eq!(
            read(&reach, &t, 0, &[7, 7, 7, 8]),
            [0, 1],
            "8 had written nothing that counts"
        );
        assert_eq!(read(&reach, &u, 0, &[7, 7, 7, 7, 8]), [0, 1, 2, 3]);
    }
}
