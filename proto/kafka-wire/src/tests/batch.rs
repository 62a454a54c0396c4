//! Batches: built and read back, stamped, checked, refused.

use super::arbitrary::Gen;
use crate::batch::{
    BatchBuilder, BatchError, BatchHeader, BatchView, Compression, ControlRecord, HEADER_BYTES, Marker,
    NewRecord, Producer, Record, TimestampType, batches, stamp_in_place,
};
use bytes::{Bytes, BytesMut};
use millstream_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs, limits};

/// A record to put into a batch, and to compare with what comes out.
type Plain = (i64, Option<Bytes>, Option<Bytes>, Vec<(String, Option<Bytes>)>);

fn random_record(g: &mut Gen) -> Plain {
    let timestamp = 1_700_000_000_000 + (g.next() % 100_000) as i64 - 50_000;
    let headers = (0..g.below(3)).map(|_| {
        (
            ["a", "", "a", "trace"][g.below(4)].to_owned(),
            g.option(true, Gen::bytes),
        )
    });
    let headers = headers.collect();
    (
        timestamp,
        g.option(true, Gen::bytes),
        g.option(true, Gen::bytes),
        headers,
    )
}

fn push(builder: &mut BatchBuilder, record: &Plain) {
    let (timestamp, key, value, headers) = record;
    let headers: Vec<(&str, Option<&[u8]>)> = headers
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_deref()))
        .collect();
    let before = builder.size();
    let new = NewRecord {
        timestamp: TimestampMs(*timestamp),
        key: key.as_deref(),
        value: value.as_deref(),
        headers: &headers,
    };
    builder.push(new).unwrap();
    assert!(builder.size() - before <= BatchBuilder::size_of(&new));
}

fn plain(record: &Record) -> Plain {
    let headers = record.headers().map(|header| {
        (
            header.name().into_owned(),
            header.value.map(Bytes::copy_from_slice),
        )
    });
    (
        record.timestamp.0,
        record.key.clone(),
        record.value.clone(),
        headers.collect(),
    )
}

/// A valid batch of any codec, as a producer would send it.
pub fn random_batch(g: &mut Gen) -> Bytes {
    let codec = Compression::ALL[g.below(5)];
    let mut builder = BatchBuilder::new().compression(codec);
    if g.one_in(2) {
        let id = ProducerId((g.next() >> 1) as i64);
        let producer = Producer {
            id,
            epoch: ProducerEpoch(3),
            base_sequence: g.below(1000) as i32,
        };
        builder = if g.one_in(2) {
            builder.producer(producer)
        } else {
            builder.transactional(producer)
        };
    }
    for _ in 0..1 + g.below(6) {
        let record = random_record(g);
        push(&mut builder, &record);
    }
    builder.build().unwrap()
}

fn small() -> BatchView {
    let mut builder = BatchBuilder::new();
    for value in ["one", "two", "three"] {
        builder
            .push(NewRecord {
                timestamp: TimestampMs(1000),
                value: Some(value.as_bytes()),
                ..NewRecord::default()
            })
            .unwrap();
    }
    BatchView::read(builder.build().unwrap()).unwrap()
}

#[test]
fn every_codec_gives_back_what_was_put_in() {
    for codec in Compression::ALL {
        for seed in 0..20 {
            let mut g = Gen::new(seed);
            let records: Vec<Plain> = (0..1 + g.below(50)).map(|_| random_record(&mut g)).collect();
            let mut builder = BatchBuilder::new()
                .compression(codec)
                .stamp(Offset(100), LeaderEpoch(2));
            records.iter().for_each(|record| push(&mut builder, record));
            let batch = BatchView::read(builder.build().unwrap()).unwrap();
            batch.check_produced().unwrap();
            batch.check_records().unwrap();
            let header = batch.header();
            assert_eq!(header.record_count as usize, records.len());
            assert_eq!(header.attributes.compression(), Some(codec));
            assert_eq!(header.base_timestamp.0, records[0].0);
            assert_eq!(
                Some(header.max_timestamp.0),
                records.iter().map(|record| record.0).max()
            );
            assert_eq!(header.next_offset(), Offset(100 + records.len() as i64));
            assert_eq!(BatchHeader::read(&header.encode()), Ok(*header));
            let set = batch.records().unwrap();
            let found: Vec<Record> = set.shared().collect::<Result<_, _>>().unwrap();
            assert!(
                found
                    .iter()
                    .enumerate()
                    .all(|(index, record)| record.offset.0 == 100 + index as i64)
            );
            assert_eq!(
                found.iter().map(plain).collect::<Vec<_>>(),
                records,
                "{codec} seed {seed}"
            );
        }
    }
}

#[test]
fn uncompressed_records_share_the_batch() {
    let batch = small();
    let set = batch.records().unwrap();
    let first = set.shared().next().unwrap().unwrap();
    let range = batch.bytes().as_ptr_range();
    assert!(range.contains(&first.value.unwrap().as_ptr()));
}

#[test]
fn duplicate_header_keys_are_kept_in_order() {
    let headers: [(&str, Option<&[u8]>); 4] =
        [("k", Some(b"1")), ("k", None), ("", Some(b"")), ("k", Some(b"2"))];
    let mut builder = BatchBuilder::new();
    builder
        .push(NewRecord {
            headers: &headers,
            ..NewRecord::default()
        })
        .unwrap();
    let batch = BatchView::read(builder.build().unwrap()).unwrap();
    let set = batch.records().unwrap();
    let record = set.iter().next().unwrap().unwrap();
    assert_eq!(record.headers.len(), 4);
    let found: Vec<_> = record
        .headers
        .map(|header| (header.name().into_owned(), header.value))
        .collect();
    let found: Vec<_> = found.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    assert_eq!(found, headers);
}

#[test]
fn stamping_leaves_the_crc_right() {
    let batch = small();
    let (offset, epoch) = (Offset(123_456_789_012), LeaderEpoch(42));
    let parts = batch.stamped(offset, epoch);
    let joined = [&parts.head[..], &parts.rest[..]].concat();
    let mut in_place = batch.bytes().to_vec();
    stamp_in_place(&mut in_place, offset, epoch);
    assert_eq!(joined, in_place);
    let stamped = batch.stamp(offset, epoch);
    assert_eq!(stamped.bytes()[..], joined[..]);
    stamped.check_produced().unwrap();
    assert_eq!(stamped.header().last_offset(), Offset(123_456_789_014));
    let offsets: Vec<i64> = stamped
        .records()
        .unwrap()
        .iter()
        .map(|record| record.unwrap().offset.0)
        .collect();
    assert_eq!(offsets, [123_456_789_012, 123_456_789_013, 123_456_789_014]);
}

#[test]
fn stamping_copies_only_shared_memory() {
    let alone = BatchView::read(Bytes::from(small().bytes().to_vec())).unwrap();
    let place = alone.bytes().as_ptr();
    let stamped = alone.stamp(Offset(1), LeaderEpoch(1));
    assert_eq!(stamped.bytes().as_ptr(), place);
    let other = stamped.bytes().clone();
    let again = stamped.stamp(Offset(2), LeaderEpoch(2));
    assert_ne!(again.bytes().as_ptr(), place);
    assert_eq!(BatchView::read(other).unwrap().header().base_offset, Offset(1));
}

#[test]
fn log_append_time_replaces_every_timestamp() {
    let batch = small().with_log_append_time(TimestampMs(5_000_000));
    batch.check().unwrap();
    assert!(matches!(
        batch.check_produced(),
        Err(BatchError::Inconsistent { .. })
    ));
    assert_eq!(
        batch.header().attributes.timestamp_type(),
        TimestampType::LogAppendTime
    );
    assert_eq!(BatchHeader::read(batch.bytes()), Ok(*batch.header()));
    assert!(
        batch
            .records()
            .unwrap()
            .iter()
            .all(|record| record.unwrap().timestamp.0 == 5_000_000)
    );
}

#[test]
fn another_max_timestamp_is_set_and_summed_and_the_same_is_left_alone() {
    let batch = small();
    let (before, place) = (*batch.header(), batch.bytes().as_ptr());
    let same = batch.with_max_timestamp(before.max_timestamp);
    assert_eq!((same.bytes().as_ptr(), *same.header()), (place, before));
    let other = same.with_max_timestamp(TimestampMs(-1));
    other.check().unwrap();
    assert_eq!(other.bytes().as_ptr(), place, "in place: nobody else holds it");
    assert_eq!(BatchHeader::read(other.bytes()), Ok(*other.header()));
    let expected = BatchHeader {
        crc: other.header().crc,
        max_timestamp: TimestampMs(-1),
        ..before
    };
    assert_eq!(*other.header(), expected);
    let records = other.records().unwrap();
    assert!(records.iter().all(|record| record.unwrap().timestamp.0 == 1000));
}

#[test]
fn batches_are_split_and_a_cut_one_ends_them() {
    let (one, two) = (small().into_bytes(), small().into_bytes());
    let mut joined = BytesMut::from(&one[..]);
    joined.extend_from_slice(&two);
    joined.extend_from_slice(&one[..one.len() - 1]);
    let found: Vec<_> = batches(joined.freeze()).collect();
    assert_eq!(found.len(), 3);
    assert_eq!(found[0].as_ref().unwrap().bytes(), &one);
    assert_eq!(found[1].as_ref().unwrap().bytes(), &two);
    assert_eq!(
        found[2],
        Err(BatchError::Short {
            needed: one.len(),
            have: one.len() - 1
        })
    );
}

/// The small batch with some bytes overwritten and, if asked for, the CRC made right.
fn broken(place: usize, bytes: &[u8], mend: bool) -> Result<(), BatchError> {
    let mut all = small().bytes().to_vec();
    all[place..place + bytes.len()].copy_from_slice(bytes);
    if mend {
        let crc = crate::batch::crc_of(&all[21..]);
        all[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    let batch = BatchView::read(all.into())?;
    batch.check_produced()?;
    batch.check_records()
}

#[test]
fn what_is_wrong_is_named() {
    assert_eq!(broken(0, &[], false), Ok(()));
    assert_eq!(broken(16, &[1], false), Err(BatchError::OldMagic { magic: 1 }));
    assert_eq!(broken(16, &[0], false), Err(BatchError::OldMagic { magic: 0 }));
    assert_eq!(broken(16, &[3], false), Err(BatchError::Magic { magic: 3 }));
    assert!(matches!(broken(17, &[1], false), Err(BatchError::Crc { .. })));
    assert!(matches!(broken(70, &[1], false), Err(BatchError::Crc { .. })));
    assert_eq!(
        broken(8, &(-1i32).to_be_bytes(), false),
        Err(BatchError::Length { length: -1 })
    );
    assert_eq!(
        broken(8, &48i32.to_be_bytes(), false),
        Err(BatchError::Length { length: 48 })
    );
    assert!(matches!(
        broken(8, &i32::MAX.to_be_bytes(), false),
        Err(BatchError::TooLarge { .. })
    ));
    assert!(matches!(
        broken(8, &1000i32.to_be_bytes(), false),
        Err(BatchError::Short { .. })
    ));
    assert_eq!(
        broken(21, &[0, 0x80], true),
        Err(BatchError::Attributes { attributes: 0x80 })
    );
    assert_eq!(
        broken(21, &[0, 5], true),
        Err(BatchError::Attributes { attributes: 5 })
    );
    assert!(matches!(
        broken(21, &[0, 4], true),
        Err(BatchError::Compressed { .. })
    ));
    assert!(matches!(
        broken(21, &[0, 0x10], true),
        Err(BatchError::Inconsistent { .. })
    ));
    assert_eq!(
        broken(57, &4i32.to_be_bytes(), true),
        Err(BatchError::Count {
            count: 4,
            last_offset_delta: 2
        })
    );
    assert_eq!(
        broken(57, &0i32.to_be_bytes(), true),
        Err(BatchError::Count {
            count: 0,
            last_offset_delta: 2
        })
    );
    assert!(matches!(
        broken(57, &i32::MAX.to_be_bytes(), true),
        Err(BatchError::TooMany { .. })
    ));
    assert!(matches!(
        broken(43, &5i64.to_be_bytes(), true),
        Err(BatchError::Inconsistent { .. })
    ));
    assert!(matches!(
        broken(HEADER_BYTES, &[0x7f], true),
        Err(BatchError::Record { index: 0, .. })
    ));
    assert!(matches!(
        BatchView::read(Bytes::from_static(&[0; 30])),
        Err(BatchError::OldMagic { magic: 0 })
    ));
    assert!(matches!(
        BatchView::read(Bytes::from_static(&[0; 8])),
        Err(BatchError::Short { .. })
    ));
}

#[test]
fn a_count_that_lies_is_found_when_records_are_read() {
    let lie = |delta: i32, count: i32| {
        let mut all = small().bytes().to_vec();
        all[23..27].copy_from_slice(&delta.to_be_bytes());
        all[57..61].copy_from_slice(&count.to_be_bytes());
        let crc = crate::batch::crc_of(&all[21..]);
        all[17..21].copy_from_slice(&crc.to_be_bytes());
        let batch = BatchView::read(all.into()).unwrap();
        batch.check_produced().unwrap();
        batch.check_records()
    };
    assert!(lie(3, 4).is_err());
    assert!(lie(1, 2).is_err());
    assert!(lie(limits::BATCH_RECORDS_MAX - 1, limits::BATCH_RECORDS_MAX).is_err());
}

#[test]
fn limits_hold_when_building() {
    let large = vec![7; limits::BATCH_BYTES_MAX];
    let mut builder = BatchBuilder::new();
    let record = NewRecord {
        value: Some(&large),
        ..NewRecord::default()
    };
    assert!(matches!(builder.push(record), Err(BatchError::TooLarge { .. })));
    assert!(builder.is_empty());
    let mut packed = BatchBuilder::new().compression(Compression::Zstd);
    packed.push(record).unwrap();
    assert!(packed.build().unwrap().len() < 10_000);
}

#[test]
fn gaps_of_compaction_are_kept() {
    let mut builder = BatchBuilder::new().stamp(Offset(10), LeaderEpoch(0));
    builder.push_at(2, NewRecord::default()).unwrap();
    assert!(builder.push_at(2, NewRecord::default()).is_err());
    builder.push_at(5, NewRecord::default()).unwrap();
    builder.extend_to(9);
    let batch = BatchView::read(builder.build().unwrap()).unwrap();
    batch.check().unwrap();
    assert!(batch.check_produced().is_err());
    let offsets: Vec<i64> = batch
        .records()
        .unwrap()
        .iter()
        .map(|record| record.unwrap().offset.0)
        .collect();
    assert_eq!(offsets, [12, 15]);
    assert_eq!(batch.header().next_offset(), Offset(20));
}

#[test]
fn markers_say_how_a_transaction_ended() {
    for marker in [Marker::Abort, Marker::Commit] {
        let said = ControlRecord {
            marker,
            coordinator_epoch: 9,
        };
        let bytes = said.to_batch(ProducerId(5), ProducerEpoch(1), TimestampMs(77));
        let batch = BatchView::read(bytes).unwrap();
        batch.check().unwrap();
        assert!(batch.check_produced().is_err());
        let attributes = batch.header().attributes;
        assert!(attributes.is_control() && attributes.is_transactional());
        let set = batch.records().unwrap();
        let record = set.iter().next().unwrap().unwrap();
        assert_eq!(ControlRecord::read(&record), Some(said));
    }
}

#[test]
fn sequences_wrap_to_zero() {
    let producer = Producer {
        id: ProducerId(1),
        epoch: ProducerEpoch(0),
        base_sequence: i32::MAX - 1,
    };
    let mut builder = BatchBuilder::new().producer(producer);
    (0..4).for_each(|_| builder.push(NewRecord::default()).unwrap());
    let batch = BatchView::read(builder.build().unwrap()).unwrap();
    batch.check_produced().unwrap();
    assert_eq!(batch.header().last_sequence(), 1);
    assert_eq!(small().header().last_sequence(), -1);
}
