//! Batches as the `kafka-protocol` crate writes and reads them (uncompressed; it keeps one header per key).

use super::arbitrary::Gen;
use crate::batch::{BatchBuilder, BatchView, Compression, NewRecord, Producer};
use bytes::BytesMut;
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression as OracleCompression, Record, RecordBatchDecoder, RecordBatchEncoder, RecordEncodeOptions,
    TimestampType,
};
use millstream_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};

fn random_records(g: &mut Gen) -> Vec<Record> {
    let producer_id = (g.next() >> 1) as i64;
    let first = g.below(1000) as i32;
    (0..1 + g.below(8) as i32)
        .map(|index| Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 6,
            producer_id,
            producer_epoch: 2,
            timestamp_type: TimestampType::Creation,
            offset: i64::from(index),
            sequence: first + index,
            timestamp: 1_600_000_000_000 + i64::from(index),
            key: g.option(true, Gen::bytes),
            value: g.option(true, Gen::bytes),
            headers: IndexMap::from_iter([(StrBytes::from_static_str("h"), g.option(true, Gen::bytes))]),
        })
        .collect()
}

fn ours(records: &[Record]) -> BatchView {
    let first = &records[0];
    let producer = Producer {
        id: ProducerId(first.producer_id),
        epoch: ProducerEpoch(first.producer_epoch),
        base_sequence: first.sequence,
    };
    let mut builder = BatchBuilder::new()
        .compression(Compression::None)
        .producer(producer)
        .stamp(Offset(0), LeaderEpoch(first.partition_leader_epoch));
    for record in records {
        let headers: Vec<(&str, Option<&[u8]>)> = record
            .headers
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
            .collect();
        builder
            .push(NewRecord {
                timestamp: TimestampMs(record.timestamp),
                key: record.key.as_deref(),
                value: record.value.as_deref(),
                headers: &headers,
            })
            .unwrap();
    }
    BatchView::read(builder.build().unwrap()).unwrap()
}

#[test]
fn the_same_bytes_as_kafka_protocol() {
    for seed in 0..100 {
        let records = random_records(&mut Gen::new(seed));
        let options = RecordEncodeOptions {
            version: 2,
            compression: OracleCompression::None,
        };
        let mut theirs = BytesMut::new();
        RecordBatchEncoder::encode(&mut theirs, records.iter(), &options).unwrap();
        let batch = ours(&records);
        assert_eq!(batch.bytes()[..], theirs[..], "seed {seed}");
        batch.check_produced().unwrap();
        let mut bytes = batch.into_bytes();
        let read = RecordBatchDecoder::decode(&mut bytes).unwrap();
        assert_eq!(read.records, records, "seed {seed}");
    }
}
