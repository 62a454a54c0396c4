//! Bytes of Apache Kafka 4.3.1, kept: messages that its own classes read and wrote back, batches that it made.

use super::arbitrary::{Arbitrary, Visit, visit_all};
use crate::batch::{BatchError, BatchView, Compression, ControlRecord, Marker, Record};
use crate::message::Message;
use bytes::Bytes;
use millstream_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use std::collections::BTreeMap;

const MESSAGES: &str = include_str!("../../fixtures/messages.txt");
const BATCHES: &str = include_str!("../../fixtures/batches.txt");

/// The lines of a fixture, cut into words.
fn lines(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(' ').collect())
}

fn from_hex(text: &str) -> Bytes {
    assert!(text.len().is_multiple_of(2));
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

struct Kept(BTreeMap<&'static str, (i16, Bytes)>);

impl Visit for Kept {
    fn message<M: Message + Arbitrary>(&mut self) {
        let (version, bytes) = self
            .0
            .remove(M::NAME)
            .unwrap_or_else(|| panic!("no fixture of {}", M::NAME));
        assert_eq!(version, *M::VERSIONS.end(), "{}", M::NAME);
        let message = M::from_bytes(bytes.clone(), version).unwrap();
        assert_eq!(message.to_bytes(version).unwrap(), bytes, "{}", M::NAME);
    }
}

#[test]
fn messages_are_as_kafka_writes_them() {
    let kept = lines(MESSAGES).map(|words| (words[0], (words[1].parse().unwrap(), from_hex(words[2]))));
    let mut kept = Kept(kept.collect());
    visit_all(&mut kept);
    assert!(
        kept.0.is_empty(),
        "of messages that are gone: {:?}",
        kept.0.keys()
    );
}

fn batch(name: &str) -> Bytes {
    let line = lines(BATCHES).find(|words| words[0] == name).unwrap();
    from_hex(line[1])
}

#[test]
fn batches_of_kafka_are_read() {
    for codec in Compression::ALL {
        let batch = BatchView::read(batch(codec.name())).unwrap();
        batch.check_produced().unwrap();
        let header = batch.header();
        assert_eq!(header.attributes.compression(), Some(codec));
        assert_eq!(
            (header.base_offset, header.leader_epoch),
            (Offset(42), LeaderEpoch(5))
        );
        assert_eq!(
            (header.producer_id, header.producer_epoch),
            (ProducerId(1000), ProducerEpoch(2))
        );
        assert_eq!((header.base_sequence, header.last_sequence()), (17, 19));
        let records: Vec<Record> = batch
            .records()
            .unwrap()
            .shared()
            .collect::<Result<_, _>>()
            .unwrap();
        let timestamps: Vec<i64> = records
            .iter()
            .map(|record| record.timestamp.0 - 1_700_000_000_000)
            .collect();
        assert_eq!(timestamps, [0, 7, -10]);
        assert_eq!(
            (records[0].key.as_deref(), records[0].value.as_deref()),
            (Some(&b"key"[..]), Some(&b"value"[..]))
        );
        let headers: Vec<_> = records[0]
            .headers()
            .map(|header| (header.key, header.value))
            .collect();
        assert_eq!(headers, [(&b"h"[..], Some(&b"1"[..])), (&b"h"[..], None)]);
        assert_eq!((records[1].key.as_ref(), records[1].value.as_ref()), (None, None));
        assert_eq!(records[2].key.as_deref(), Some(&b""[..]));
        assert_eq!(records[2].value.as_ref().map(Bytes::len), Some(64));
    }
}

#[test]
fn markers_of_kafka_are_read() {
    let batch = BatchView::read(batch("commit")).unwrap();
    batch.check().unwrap();
    let set = batch.records().unwrap();
    let record = set.iter().next().unwrap().unwrap();
    let found = ControlRecord::read(&record).unwrap();
    assert_eq!(
        found,
        ControlRecord {
            marker: Marker::Commit,
            coordinator_epoch: 11
        }
    );
}

#[test]
fn message_sets_of_old_are_refused_by_name() {
    assert_eq!(
        BatchView::read(batch("magic0")),
        Err(BatchError::OldMagic { magic: 0 })
    );
    assert_eq!(
        BatchView::read(batch("magic1")),
        Err(BatchError::OldMagic { magic: 1 })
    );
}
