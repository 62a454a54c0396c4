//! Batches: good ones, wrong ones, those of idempotent producers.

use super::ask::{Talk, versions};
use crate::forge::{at, old_messages, sealed, with};
use bytes::Bytes;
use millstream_kafka_wire::batch::{BatchBuilder, Compression, NewRecord, Producer};
use millstream_kafka_wire::messages::produce_request::{PartitionProduceData, TopicProduceData};
use millstream_kafka_wire::messages::{InitProducerIdRequest, ProduceRequest, ProduceResponse};
use millstream_kafka_wire::records::Records;
use millstream_model::{ProducerEpoch, ProducerId, TimestampMs};
use uuid::Uuid;

/// When the records of these scripts were made: the same for both brokers.
pub const MADE_MS: i64 = 1_700_000_000_000;
const MADE_MS_END: i64 = MADE_MS + 1000;

fn filled(mut builder: BatchBuilder, key: Option<&[u8]>, values: &[&str]) -> Vec<u8> {
    for (number, value) in (0..).zip(values) {
        let record = NewRecord {
            timestamp: TimestampMs(MADE_MS + number),
            key,
            value: Some(value.as_bytes()),
            headers: &[],
        };
        builder.push(record).unwrap();
    }
    builder.build().unwrap().to_vec()
}

/// A batch of these values.
pub fn batch(values: &[&str]) -> Vec<u8> {
    filled(BatchBuilder::new(), None, values)
}

/// The same, of an idempotent producer.
pub fn idempotent_batch((id, epoch): (i64, i16), base_sequence: i32, values: &[&str]) -> Vec<u8> {
    let producer = Producer {
        id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
        base_sequence,
    };
    filled(BatchBuilder::new().producer(producer), None, values)
}

fn compressed(compression: Compression) -> Vec<u8> {
    filled(
        BatchBuilder::new().compression(compression),
        None,
        &["aaaaaaaaaaaaaaaa"; 16],
    )
}

/// A request for one partition.
fn request(version: i16, topic: (&str, Uuid), index: i32, records: Option<Vec<u8>>) -> ProduceRequest {
    let by_id = version >= 13;
    ProduceRequest {
        acks: -1,
        timeout_ms: 10_000,
        topic_data: vec![TopicProduceData {
            name: if by_id { String::new() } else { topic.0.to_owned() },
            topic_id: if by_id { topic.1 } else { Uuid::nil() },
            partition_data: vec![PartitionProduceData {
                index,
                records: records.map(|records| Records::from(Bytes::from(records))),
            }],
        }],
        ..Default::default()
    }
}

/// Sends a batch that is taken.
pub fn send(talk: &mut Talk, topic: &str, index: i32, batch: Vec<u8>) {
    let answer = talk.quietly(9, &request(9, (topic, Uuid::nil()), index, Some(batch)));
    let answer = answer.expect("an answer");
    assert_eq!(
        answer.responses[0].partition_responses[0].error_code, 0,
        "{answer:?}"
    );
}

/// What a refused batch is told beside its error is each broker's own. A repeated batch is told the time of its records
/// by Kafka, though the topic keeps the producer's; a time of the log's own differs.
fn told(mut answer: ProduceResponse) -> ProduceResponse {
    let topics = answer.responses.iter_mut();
    for partition in topics.flat_map(|topic| &mut topic.partition_responses) {
        if partition.error_code != 0 {
            partition.log_start_offset = -1;
            partition.record_errors.clear();
        }
        partition.log_append_time_ms = match partition.log_append_time_ms {
            -1 | MADE_MS..=MADE_MS_END => -1,
            _ => 1,
        };
    }
    answer
}

fn each(talk: &mut Talk, step: &str, request: impl Fn(i16) -> ProduceRequest) {
    talk.each_seen(step, versions::<ProduceRequest>(), request, told);
}

pub fn script(talk: &mut Talk) {
    accepted(talk);
    addressed_wrongly(talk);
    malformed(talk);
    configured(talk);
}

fn accepted(talk: &mut Talk) {
    let id = talk.topic("taken", 16, &[]);
    let taken = ("taken", id);
    let good = || Some(batch(&["one", "two", "three"]));
    each(talk, "produce", |version| {
        request(version, taken, i32::from(version), good())
    });
    each(talk, "produce again", |version| {
        request(version, taken, i32::from(version), good())
    });
    each(talk, "produce for the leader's acknowledgement", |version| {
        ProduceRequest {
            acks: 1,
            ..request(version, taken, i32::from(version), good())
        }
    });
    each(talk, "produce for an acknowledgement of two", |version| {
        ProduceRequest {
            acks: 2,
            ..request(version, taken, i32::from(version), good())
        }
    });
    each(talk, "produce without time to wait", |version| ProduceRequest {
        timeout_ms: 0,
        ..request(version, taken, i32::from(version), good())
    });
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        each(talk, &format!("produce with {codec:?}"), |version| {
            request(version, taken, i32::from(version), Some(compressed(codec)))
        });
    }
    each(talk, "produce to two partitions", |version| {
        let mut both = request(version, taken, 0, good());
        let second = PartitionProduceData {
            index: 77,
            records: both.topic_data[0].partition_data[0].records.clone(),
        };
        both.topic_data[0].partition_data.push(second);
        both
    });
    each(talk, "produce nothing at all", |_| ProduceRequest {
        acks: -1,
        timeout_ms: 1000,
        ..Default::default()
    });
}

fn addressed_wrongly(talk: &mut Talk) {
    let id = talk.topic("addressed", 1, &[]);
    let good = || Some(batch(&["one"]));
    let nobody = Uuid::from_u128(0xdead);
    each(talk, "produce to nothing", |version| {
        request(version, ("nothing", nobody), 0, good())
    });
    each(talk, "produce to what cannot be", |version| {
        request(version, ("no t", nobody), 0, good())
    });
    each(talk, "produce to no partition", |version| {
        request(version, ("addressed", id), 7, good())
    });
    each(talk, "produce to partition minus one", |version| {
        request(version, ("addressed", id), -1, good())
    });
    talk.ask(
        "produce to no id",
        13,
        &request(13, ("addressed", Uuid::nil()), 0, good()),
    );
}

/// Whose offset deltas leave one out.
fn gapped() -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    let record = NewRecord {
        timestamp: TimestampMs(MADE_MS),
        value: Some(b"x"),
        ..NewRecord::default()
    };
    builder.push_at(0, record).unwrap();
    builder.push_at(2, record).unwrap();
    builder.build().unwrap().to_vec()
}

fn malformed(talk: &mut Talk) {
    let id = talk.topic("malformed", 1, &[]);
    let three = || batch(&["one", "two", "three"]);
    let mut flipped = three();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    let mut trailing = three();
    trailing.extend([0; 7]);
    let attributes = |bits: i16| sealed(with(three(), at::ATTRIBUTES, &bits.to_be_bytes()));
    let count = |count: i32| sealed(with(three(), at::COUNT, &count.to_be_bytes()));
    let mut longer = three();
    longer.extend(b"rubbish");
    let steps = [
        ("two batches at once", [three(), three()].concat()),
        ("bytes behind the batch", trailing),
        ("bytes behind the records", sealed(longer)),
        ("half a batch", three()[..70].to_vec()),
        ("a few bytes", b"hello".to_vec()),
        ("a wrong checksum", flipped),
        ("magic 0", old_messages(0)),
        ("magic 1", old_messages(1)),
        ("magic 3", with(three(), at::MAGIC, &[3])),
        (
            "a length beyond the end",
            with(three(), at::LENGTH, &9999i32.to_be_bytes()),
        ),
        (
            "a negative length",
            with(three(), at::LENGTH, &(-1i32).to_be_bytes()),
        ),
        ("a count of nothing", count(0)),
        ("a negative count", count(-1)),
        ("a count too small", count(2)),
        ("a count too large", count(4)),
        ("a base offset", with(three(), 0, &77i64.to_be_bytes())),
        (
            "a last offset beyond the count",
            sealed(with(three(), at::ATTRIBUTES + 2, &9i32.to_be_bytes())),
        ),
        ("a gap in the offsets", gapped()),
        ("codec 5", attributes(5)),
        ("codec 7", attributes(7)),
        ("gzip that is none", attributes(1)),
        ("zstd that is none", attributes(4)),
        ("a control batch", attributes(0x20)),
        ("a transactional batch of nobody", attributes(0x10)),
        ("timestamps of the log", attributes(0x08)),
        (
            "a record of hostile length",
            sealed(with(three(), at::RECORDS, &[0xfe, 0xff, 0xff, 0xff, 0x0f])),
        ),
    ];
    for (step, bytes) in steps {
        // Each on a partition of its own, so that one that is taken does not move the next.
        let topic = format!("malformed-{}", step.replace(' ', "-"));
        let own = talk.topic(&topic, 14, &[]);
        each(talk, &format!("produce {step}"), |version| {
            request(version, (&topic, own), i32::from(version), Some(bytes.clone()))
        });
    }
    each(talk, "produce records of nothing", |version| {
        request(version, ("malformed", id), 0, Some(Vec::new()))
    });
}

/// Topics that want something of records.
fn configured(talk: &mut Talk) {
    let small = talk.topic("small", 14, &[("max.message.bytes", "200")]);
    each(talk, "produce too much", |version| {
        let large = batch(&["x".repeat(300).as_str()]);
        request(version, ("small", small), i32::from(version), Some(large))
    });
    let stamped = talk.topic("stamped", 14, &[("message.timestamp.type", "LogAppendTime")]);
    each(talk, "produce for the log's own time", |version| {
        request(
            version,
            ("stamped", stamped),
            i32::from(version),
            Some(batch(&["a", "b"])),
        )
    });
    let early = talk.topic("punctual", 14, &[("message.timestamp.before.max.ms", "1000")]);
    each(talk, "produce what is too old", |version| {
        request(
            version,
            ("punctual", early),
            i32::from(version),
            Some(batch(&["a"])),
        )
    });
    let future = talk.topic("early", 14, &[("message.timestamp.after.max.ms", "1000")]);
    each(talk, "produce from the future", |version| {
        let mut builder = BatchBuilder::new();
        let record = NewRecord {
            timestamp: TimestampMs(TimestampMs::now().0 + 3_600_000),
            value: Some(b"x"),
            ..NewRecord::default()
        };
        builder.push(record).unwrap();
        let late = builder.build().unwrap().to_vec();
        request(version, ("early", future), i32::from(version), Some(late))
    });
}

pub fn idempotent_script(talk: &mut Talk) {
    let id = talk.topic("idempotent", 1, &[]);
    let init = |producer_id: i64, producer_epoch: i16| InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: 60_000,
        producer_id,
        producer_epoch,
        ..Default::default()
    };
    talk.wait_until(&init(-1, -1), |answer| answer.error_code == 0);
    talk.each("a new producer", |_| init(-1, -1));
    talk.each("a producer with an id", |_| init(4711, 3));
    talk.each("a producer with an id and no epoch", |_| init(4711, -1));
    talk.each("a producer with an epoch and no id", |_| init(-1, 3));
    talk.each("a producer without a timeout", |_| InitProducerIdRequest {
        transaction_timeout_ms: 0,
        ..init(-1, -1)
    });
    talk.each("a producer with a transactional id of nothing", |_| {
        InitProducerIdRequest {
            transactional_id: Some(String::new()),
            ..init(-1, -1)
        }
    });
    let mine = talk.quietly(4, &init(-1, -1)).expect("an answer").producer_id;
    let sequenced = |producer: i64, epoch: i16, base_sequence: i32, count: usize| {
        let producer = Producer {
            id: ProducerId(producer),
            epoch: ProducerEpoch(epoch),
            base_sequence,
        };
        filled(BatchBuilder::new().producer(producer), None, &vec!["x"; count])
    };
    let mut send = |step: &str, producer: i64, epoch: i16, sequence: i32, count: usize| {
        let batch = sequenced(producer, epoch, sequence, count);
        talk.ask_seen(step, 9, &request(9, ("idempotent", id), 0, Some(batch)), told);
    };
    send("sequence 0 to 2", mine, 0, 0, 3);
    send("sequence 3", mine, 0, 3, 1);
    send("sequence 3 again", mine, 0, 3, 1);
    send("sequence 0 to 2 again", mine, 0, 0, 3);
    send("sequence 0 again, shorter", mine, 0, 0, 1);
    send("sequence 5", mine, 0, 5, 1);
    send("sequence 4 to 8", mine, 0, 4, 5);
    for sequence in 9..14 {
        send(&format!("sequence {sequence}"), mine, 0, sequence, 1);
    }
    send("sequence 3, long ago", mine, 0, 3, 1);
    send("sequence 13 again", mine, 0, 13, 1);
    send("epoch 1, sequence 7", mine, 1, 7, 1);
    send("epoch 1, sequence 0", mine, 1, 0, 1);
    send("epoch 0 again", mine, 0, 14, 1);
    send("epoch 1, sequence 1", mine, 1, 1, 1);
    send("epoch 1, no sequence", mine, 1, -1, 1);
    send("epoch minus one", mine, -1, 2, 1);
    let stranger = mine + 1_000_000;
    send("a stranger's sequence 7", stranger, 0, 7, 1);
    send("a stranger's sequence 8", stranger, 0, 8, 1);
    let last = mine + 1_000_001;
    send("to the last sequence", last, 0, i32::MAX - 1, 2);
    send("behind the last sequence", last, 0, 0, 1);
    send("behind that", last, 0, 1, 1);
    let over = mine + 1_000_002;
    send("before the last sequence", over, 0, i32::MAX - 1, 1);
    send("over the last sequence", over, 0, i32::MAX, 3);
    send("over the last sequence again", over, 0, i32::MAX, 3);
    send("after the last sequence", over, 0, 2, 1);
    let two = [sequenced(mine, 1, 2, 1), sequenced(mine, 1, 3, 1)].concat();
    talk.ask(
        "two batches of a producer",
        9,
        &request(9, ("idempotent", id), 0, Some(two)),
    );
    each(talk, "produce in a transaction of nobody", |version| {
        ProduceRequest {
            transactional_id: Some("nobody".to_owned()),
            ..request(version, ("idempotent", id), 0, Some(batch(&["x"])))
        }
    });
}
