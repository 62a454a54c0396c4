//! Which batches are taken, and what their headers say then.

use super::admit;
use crate::interface::{ProduceError, RefusedRecord};
use crate::replica::Planted;
use bytes::Bytes;
use millstream_kafka_wire::batch::{BatchBuilder, BatchView, Compression, NewRecord};
use millstream_metadata::topic_config::{TimestampType, TopicSettings};
use millstream_model::TimestampMs;

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

/// A batch of records with these timestamps.
fn batch(codec: Compression, times: &[i64]) -> BatchView {
    let mut builder = BatchBuilder::new().compression(codec);
    for time in times {
        let record = NewRecord {
            timestamp: TimestampMs(*time),
            value: Some(b"a value that is worth packing, a value that is worth packing"),
            ..NewRecord::default()
        };
        builder.push(record).unwrap();
    }
    BatchView::read(builder.build().unwrap()).unwrap()
}

/// What gets into the log of it.
fn taken(settings: &TopicSettings, bytes: Bytes) -> BatchView {
    let admitted = admit(settings, bytes, NOW, 10).unwrap();
    admitted.own(settings, NOW, Planted::default()).0
}

#[test]
fn the_largest_timestamp_is_the_records() {
    let settings = TopicSettings::default();
    let tables: [(&[i64], i64); 5] = [
        (&[1000, 3000, 2000], 3000),
        (&[-1, -1], -1),
        (&[-1, 5], 5),
        (&[-7], -1),
        (&[NOW.0], NOW.0),
    ];
    for codec in Compression::ALL {
        for (times, largest) in tables {
            for said in [-1, 0, 1500, 99_999, i64::MAX, i64::MIN] {
                let sent = batch(codec, times).with_max_timestamp(TimestampMs(said));
                sent.check().unwrap();
                let kept = taken(&settings, sent.bytes().clone());
                kept.check().unwrap();
                let header = kept.header();
                assert_eq!(
                    header.max_timestamp,
                    TimestampMs(largest),
                    "{codec} {times:?} {said}"
                );
                let before = *sent.header();
                assert_eq!(header.base_timestamp, before.base_timestamp);
                assert_eq!(header.attributes, before.attributes);
                // Nothing else is touched.
                assert_eq!(kept.bytes()[..17], sent.bytes()[..17]);
                assert_eq!(kept.bytes()[43..], sent.bytes()[43..]);
            }
        }
    }
}

#[test]
fn a_batch_that_says_the_truth_is_neither_written_nor_summed() {
    let settings = TopicSettings::default();
    let sent = batch(Compression::Lz4, &[1000, 3000, 2000]);
    let admitted = admit(&settings, sent.bytes().clone(), NOW, 10).unwrap();
    let kept = admitted.own(&settings, NOW, Planted::default()).0;
    assert_eq!(kept.bytes(), sent.bytes(), "the same bytes, the same sum");
    // Even where the sum is wrong it is left as it is: nobody has summed anew.
    let mut bytes = sent.bytes().to_vec();
    bytes[17] ^= 1;
    let place = bytes.as_ptr();
    let wrong = BatchView::read(Bytes::from(bytes)).unwrap();
    let same = wrong.with_max_timestamp(TimestampMs(3000));
    assert_eq!(same.bytes().as_ptr(), place);
    assert_eq!(same.header().crc, sent.header().crc ^ (1 << 24));
}

#[test]
fn records_out_of_time_are_named() {
    let settings = TopicSettings {
        timestamp_before_ms_max: 10_000,
        timestamp_after_ms_max: 1_000,
        ..TopicSettings::default()
    };
    let at = |by: i64| NOW.0 + by;
    let times = [
        at(0),
        at(1_000),
        at(1_001),
        -1,
        at(-10_000),
        at(-10_001),
        0,
        at(500),
    ];
    for codec in Compression::ALL {
        // Whatever the header says, the records count.
        for said in [-1, at(0), at(99_000)] {
            let sent = batch(codec, &times).with_max_timestamp(TimestampMs(said));
            let refused = admit(&settings, sent.bytes().clone(), NOW, 10);
            let Err(ProduceError::InvalidTimestamp { count, records }) = refused else {
                panic!("{refused:?}")
            };
            let indexes: Vec<i32> = records.iter().map(|record| record.index).collect();
            assert_eq!((count, indexes), (3, vec![2, 5, 6]));
            assert!(records[0].reason.contains("1001 ms ahead"), "{records:?}");
            assert!(records[1].reason.contains("10001 ms behind"), "{records:?}");
        }
        let good = batch(codec, &[at(1_000), -1, at(-10_000)]).with_max_timestamp(TimestampMs(at(99_000)));
        let kept = taken(&settings, good.into_bytes());
        assert_eq!(kept.header().max_timestamp, TimestampMs(at(1_000)));
    }
    let named = |nameable| match admit(
        &settings,
        batch(Compression::None, &[0; 50]).into_bytes(),
        NOW,
        nameable,
    ) {
        Err(error @ ProduceError::InvalidTimestamp { count, .. }) => (count, error.refused_records().len()),
        other => panic!("{other:?}"),
    };
    assert_eq!((named(7), named(0)), ((50, 7), (50, 0)));
}

#[test]
fn the_brokers_clock_asks_for_no_others() {
    let settings = TopicSettings {
        timestamp_type: TimestampType::LogAppendTime,
        timestamp_before_ms_max: 0,
        timestamp_after_ms_max: 0,
        ..TopicSettings::default()
    };
    let sent = batch(Compression::Gzip, &[5, NOW.0 * 2]).with_max_timestamp(TimestampMs(-1));
    let admitted = admit(&settings, sent.into_bytes(), NOW, 10).unwrap();
    let (kept, time) = admitted.own(&settings, NOW, Planted::default());
    kept.check().unwrap();
    assert_eq!((kept.header().max_timestamp, time), (NOW, Some(NOW)));
}

#[test]
fn a_record_that_cannot_be_read_is_named() {
    let settings = TopicSettings::default();
    let mut builder = BatchBuilder::new();
    for _ in 0..3 {
        builder.push(NewRecord::default()).unwrap();
    }
    let mut bytes = builder.build().unwrap().to_vec();
    // The second record gets the offset of the first. Before it: the batch's header and a record of seven bytes.
    let offset = 61 + 7 + 3;
    assert_eq!(
        bytes[offset - 3..=offset],
        [12, 0, 0, 2],
        "length, attributes, time, offset 1"
    );
    bytes[offset] = 0;
    let mended = {
        let crc = crc_fast::crc32_iscsi(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        Bytes::from(bytes)
    };
    let refused = admit(&settings, mended, NOW, 10).unwrap_err();
    let [RefusedRecord { index: 1, reason }] = refused.refused_records() else {
        panic!("{refused:?}")
    };
    assert!(reason.contains("offset"), "{reason}");
}
