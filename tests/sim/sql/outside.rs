//! What a shard depends on, by contract: a changelog that only its owner appends to, a database that only its writer
//! flushes, topics whose records say who wrote them.

use bytes::Bytes;
use millstream_model::{Offset, OwnerEpoch, PartitionIndex, ProducerId, TimestampMs, TopicName};
use millstream_runtime::{Rows, StreamFetched, StreamRecord, WrittenFrom};
use millstream_state::{Layer, Tag};
use std::collections::BTreeMap;

/// A changelog.
#[derive(Default)]
pub struct Log {
    epoch: u64,
    start: i64,
    pieces: Vec<Bytes>,
}

impl Log {
    pub fn fence(&mut self) -> (OwnerEpoch, Offset, Offset) {
        self.epoch += 1;
        (OwnerEpoch(self.epoch), Offset(self.start), self.end())
    }

    fn end(&self) -> Offset {
        Offset(self.start).plus(i64::try_from(self.pieces.len()).unwrap())
    }

    /// None: another owner has fenced it.
    pub fn append(&mut self, epoch: OwnerEpoch, piece: Bytes) -> Option<Offset> {
        if epoch.0 < self.epoch {
            return None;
        }
        let at = self.end();
        self.pieces.push(piece);
        Some(at)
    }

    /// None: it is trimmed.
    pub fn read(&self, from: Offset, count: usize) -> Option<(Vec<Bytes>, Offset)> {
        let skip = usize::try_from(from.0 - self.start).ok()?;
        let pieces: Vec<Bytes> = self.pieces.iter().skip(skip).take(count).cloned().collect();
        let next = from.plus(i64::try_from(pieces.len()).unwrap());
        Some((pieces, next))
    }

    pub fn trim(&mut self, before: Offset) {
        let gone = usize::try_from(before.0 - self.start).unwrap_or(0);
        self.pieces.drain(..gone.min(self.pieces.len()));
        self.start = self
            .start
            .max(before.0.min(self.start + i64::try_from(gone).unwrap()));
    }

    pub fn len(&self) -> usize {
        self.pieces.len()
    }
}

/// A database: what is flushed is durable whole or not at all.
#[derive(Default)]
pub struct Database {
    rows: BTreeMap<Bytes, Bytes>,
    pub tag: Option<Tag>,
    writer: u64,
}

impl Database {
    /// Whoever had it open is fenced.
    pub fn open(&mut self) -> u64 {
        self.writer += 1;
        self.writer
    }

    /// Says whether the writer is still the one.
    pub fn flush(&mut self, writer: u64, changes: &Layer, tag: Tag) -> bool {
        if writer != self.writer {
            return false;
        }
        for (key, value) in changes {
            match value {
                Some(value) => self.rows.insert(key.clone(), value.clone()),
                None => self.rows.remove(key),
            };
        }
        self.tag = Some(tag);
        true
    }

    pub fn scan(&self, prefix: &[u8]) -> Rows {
        let from = self.rows.range(Bytes::copy_from_slice(prefix)..);
        let found = from.take_while(|(key, _)| key.starts_with(prefix));
        found.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

/// A record as it lies in a topic.
#[derive(Clone, Debug)]
pub struct Lying {
    pub key: String,
    pub value: Option<Bytes>,
    pub time: i64,
    pub writer: i64,
}

/// Topics of one partition each.
#[derive(Default)]
pub struct Topics {
    by_name: BTreeMap<TopicName, Vec<Lying>>,
    writers: i64,
}

impl Topics {
    pub fn open_writer(&mut self) -> ProducerId {
        self.writers += 1;
        ProducerId(self.writers)
    }

    pub fn records(&self, topic: &TopicName) -> &[Lying] {
        self.by_name.get(topic).map_or(&[], Vec::as_slice)
    }

    pub fn end(&self, topic: &TopicName) -> Offset {
        Offset(i64::try_from(self.records(topic).len()).unwrap())
    }

    pub fn append(&mut self, topic: &TopicName, record: Lying) {
        self.by_name.entry(topic.clone()).or_default().push(record);
    }

    /// Records that a shard writes; the offset behind them.
    pub fn produce(&mut self, topic: &TopicName, writer: ProducerId, records: &[StreamRecord]) -> Offset {
        for record in records {
            let key = record
                .key
                .as_ref()
                .map(|key| String::from_utf8_lossy(key).into_owned());
            let lying = Lying {
                key: key.unwrap_or_default(),
                value: record.value.clone(),
                time: record.timestamp.0,
                writer: writer.0,
            };
            self.append(topic, lying);
        }
        self.end(topic)
    }

    pub fn fetch(&self, topic: &TopicName, from: Offset, count: usize) -> StreamFetched {
        let skip = usize::try_from(from.0).unwrap();
        let lying = self.records(topic).iter().enumerate().skip(skip).take(count);
        let at = |index: usize| Offset(i64::try_from(index).unwrap());
        let record = |(index, it): (usize, &Lying)| StreamRecord {
            offset: at(index),
            timestamp: TimestampMs(it.time),
            key: Some(Bytes::from(it.key.clone())),
            value: it.value.clone(),
        };
        let writer = |(index, it): (usize, &Lying)| WrittenFrom {
            from: at(index),
            writer: ProducerId(it.writer),
        };
        let records: Vec<StreamRecord> = lying.clone().map(record).collect();
        StreamFetched {
            end: self.end(topic),
            start: Offset(0),
            next: from.plus(i64::try_from(records.len()).unwrap()),
            writers: lying.map(writer).collect(),
            records,
        }
    }
}

/// The only partition.
pub const ONLY: PartitionIndex = PartitionIndex(0);
