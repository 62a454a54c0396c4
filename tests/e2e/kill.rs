//! `kill -9` under load, again and again; every other time the disk goes back to what was synced.
//!
//! Idempotent producers over the wire note what was acknowledged. After each restart every acknowledged record is
//! there once, in its producer's order; a batch whose answer was lost is sent again and must not be doubled.

use crate::harness::{Doors, Key, Server, Start, Work, tools};
use bytes::Bytes;
use millstream_cli::kafka::{KafkaClient, KafkaError};
use millstream_kafka_wire::batch::{BatchBuilder, Compression, NewRecord, Producer as Sequenced};
use millstream_model::{ProducerEpoch, ProducerId, TimestampMs};
use millstream_rust::{ConsumerSettings, Position, Start as From};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const TOPIC: &str = "records";
const PARTITIONS: u32 = 3;
const PRODUCERS: u32 = 6;

/// Acknowledged records of a round, at least, before the kill.
const ACKNOWLEDGED_MIN: u64 = 3000;

/// One idempotent producer; it outlives the servers.
struct Producer {
    number: u32,
    id: Option<(i64, i16)>,
    /// Records acknowledged.
    acknowledged: u64,
    /// A batch that was sent, and how many records it has.
    pending: Option<(Bytes, u64)>,
}

impl Producer {
    fn partition(&self) -> u32 {
        self.number % PARTITIONS
    }

    fn next_batch(&self) -> (Bytes, u64) {
        let (id, epoch) = self.id.expect("it has an id");
        let count = 1 + (self.acknowledged * 7 + u64::from(self.number)) % 23;
        let base_sequence = i32::try_from(self.acknowledged).unwrap();
        let compression = if self.number.is_multiple_of(2) {
            Compression::Lz4
        } else {
            Compression::None
        };
        let sequenced = Sequenced {
            id: ProducerId(id),
            epoch: ProducerEpoch(epoch),
            base_sequence,
        };
        let mut batch = BatchBuilder::new().compression(compression).producer(sequenced);
        for record in self.acknowledged..self.acknowledged + count {
            let value = format!("{} {record} {}", self.number, "x".repeat(200));
            let value = Some(value.as_bytes());
            batch
                .push(NewRecord {
                    timestamp: TimestampMs(1),
                    value,
                    ..NewRecord::default()
                })
                .unwrap();
        }
        (batch.build().unwrap(), count)
    }

    /// Produces until the connection breaks.
    async fn run(mut self, doors: Doors, key: Key, total: Arc<AtomicU64>) -> Producer {
        let Ok(mut client) = KafkaClient::connect(&doors.kafka, &key.id, &key.secret).await else {
            return self;
        };
        while self.id.is_none() {
            match client.init_producer().await {
                Ok(id) => self.id = Some(id),
                Err(KafkaError::Refused { retriable: true, .. }) => pause().await,
                Err(KafkaError::Connection(_)) => return self,
                Err(error) => panic!("producer {}: {error}", self.number),
            }
        }
        loop {
            let (batch, count) = self.pending.clone().unwrap_or_else(|| self.next_batch());
            self.pending = Some((batch.clone(), count));
            match client.produce(TOPIC, vec![(self.partition(), batch)]).await {
                Ok(()) => {
                    self.acknowledged += count;
                    self.pending = None;
                    total.fetch_add(count, Ordering::Relaxed);
                }
                Err(KafkaError::Connection(_)) => return self,
                Err(KafkaError::Refused { retriable: true, .. }) => pause().await,
                Err(error) => panic!("producer {} after {}: {error}", self.number, self.acknowledged),
            }
        }
    }
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Everything acknowledged is there once and in order, and nothing else but what was under way.
async fn verify(server: &Server, producers: &[Producer], round: u64) {
    let client = server.client();
    let partitions: Vec<u32> = (0..PARTITIONS).collect();
    let ends = client
        .list_offsets(TOPIC, &partitions, Position::Latest)
        .await
        .unwrap();
    let mut consumer = client.consumer(ConsumerSettings::new(TOPIC, From::Earliest));
    let mut found: BTreeMap<u32, u64> = BTreeMap::new();
    let mut next = vec![0; ends.len()];
    while next != ends {
        for record in consumer.poll().await.unwrap() {
            let at = usize::try_from(record.partition).unwrap();
            assert_eq!(
                record.offset, next[at],
                "round {round}: offsets of a partition follow each other"
            );
            next[at] += 1;
            let value = String::from_utf8(record.value.unwrap().to_vec()).unwrap();
            let mut words = value.split(' ');
            let producer: u32 = words.next().unwrap().parse().unwrap();
            let number: u64 = words.next().unwrap().parse().unwrap();
            assert_eq!(producer % PARTITIONS, record.partition);
            let expected = found.entry(producer).or_default();
            assert_eq!(
                number, *expected,
                "round {round}: producer {producer}: lost, doubled or reordered"
            );
            *expected += 1;
        }
    }
    for producer in producers {
        let found = found.get(&producer.number).copied().unwrap_or(0);
        let under_way = producer.pending.as_ref().map_or(0, |(_, count)| *count);
        assert!(
            found == producer.acknowledged || found == producer.acknowledged + under_way,
            "round {round}: producer {} has {found} records, {} were acknowledged and {under_way} under way",
            producer.number,
            producer.acknowledged
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_or_doubled() {
    let rounds = std::env::var("MILLSTREAM_KILL_ROUNDS").map_or(5, |it| it.parse().unwrap());
    let work = Work::new();
    std::fs::create_dir(work.data()).unwrap();
    let tools_folder = work.path("tools");
    std::fs::create_dir(&tools_folder).unwrap();
    let powerloss = tools::powerloss(&tools_folder);
    // A small journal and eager flushes: files are recycled, objects written and snapshots taken between the kills.
    let settings = [
        "--journal-size",
        "64MiB",
        "--flush-bytes",
        "256KiB",
        "--flush-age-ms",
        "300",
        "--log",
        "warn",
    ];
    let start = |round: u64| {
        let start = Start::service().args(&settings);
        match &powerloss {
            Some(program) if round % 2 == 1 => {
                let words = [program.clone(), work.data(), work.path("pid")];
                let mut words: Vec<String> = words.iter().map(|it| it.to_str().unwrap().to_owned()).collect();
                words.push((round / 2).to_string());
                start.under(&words)
            }
            _ => start,
        }
    };
    let mut server = Server::first(&work, start(0));
    let identity = server.identity();
    server.make_topic(TOPIC, PARTITIONS).await;
    let new = |number| Producer {
        number,
        id: None,
        acknowledged: 0,
        pending: None,
    };
    let mut producers: Vec<Producer> = (0..PRODUCERS).map(new).collect();
    for round in 0..rounds {
        let total = Arc::new(AtomicU64::new(0));
        let (doors, key) = identity.clone();
        let runs: Vec<_> = producers
            .drain(..)
            .map(|it| tokio::spawn(it.run(doors.clone(), key.clone(), Arc::clone(&total))))
            .collect();
        let begun = Instant::now();
        let wanted = ACKNOWLEDGED_MIN * (1 + round % 4);
        while total.load(Ordering::Relaxed) < wanted && !runs.iter().any(tokio::task::JoinHandle::is_finished)
        {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "round {round}: no load:\n{}",
                server.log()
            );
            pause().await;
        }
        server.kill();
        for run in runs {
            producers.push(run.await.unwrap());
        }
        server = Server::again(&work, start(round + 1), &identity);
        verify(&server, &producers, round).await;
    }
    // What was under way at the last kill is sent once more and is there once.
    let total = Arc::new(AtomicU64::new(0));
    let runs: Vec<_> = producers
        .drain(..)
        .map(|it| tokio::spawn(it.run(identity.0.clone(), identity.1.clone(), Arc::clone(&total))))
        .collect();
    while total.load(Ordering::Relaxed) < ACKNOWLEDGED_MIN {
        pause().await;
    }
    assert!(server.stop().success(), "a stop under load is clean");
    for run in runs {
        producers.push(run.await.unwrap());
    }
    let server = Server::again(&work, Start::service().args(&settings), &identity);
    verify(&server, &producers, rounds).await;
    let told: Vec<String> = server
        .log()
        .lines()
        .filter(|it| it.starts_with("powerloss: "))
        .map(str::to_owned)
        .collect();
    // The last one is told by a server that was stopped, not killed.
    let failures = rounds.div_ceil(2);
    assert!(
        powerloss.is_none() || told.len() == usize::try_from(failures).unwrap(),
        "{told:?}"
    );
    println!("{rounds} kills, of these with a power loss: {told:#?}");
}
