//! One producer, one waiting consumer: when the one is acknowledged and when the other has the record.

use crate::load::{Load, fetch_request};
use crate::server::Server;
use millstream_cli::kafka::produce_request;
use millstream_kafka_wire::batch::{BatchBuilder, NewRecord};
use millstream_model::TimestampMs;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

pub struct Seen {
    pub ack_ms: Vec<f64>,
    pub seen_ms: Vec<f64>,
}

/// The pause between two records.
const PAUSE: Duration = Duration::from_millis(5);

pub async fn measure(server: &Server, seconds: f64) -> Seen {
    let load = Load {
        partitions: 1,
        batch_bytes: 1024,
        record_bytes: 1024,
        connections: 1,
        in_flight: 1,
        seconds,
    };
    load.create_topic(server, "tail").await;
    let (sender, mut arrivals) = mpsc::unbounded_channel();
    let mut consumer = server.connect().await;
    let reading = tokio::spawn(async move {
        let mut offset = 0;
        loop {
            let Ok(answer) = consumer.call(12, &fetch_request("tail", &[offset])).await else {
                return;
            };
            let now = Instant::now();
            for part in answer.responses.into_iter().flat_map(|it| it.partitions) {
                for batch in part
                    .records
                    .into_iter()
                    .flat_map(|it| millstream_kafka_wire::batch::batches(it.into_bytes()))
                {
                    offset = batch.unwrap().header().next_offset().0;
                    if sender.send(now).is_err() {
                        return;
                    }
                }
            }
        }
    });
    let mut producer = server.connect().await;
    let mut seen = Seen {
        ack_ms: Vec::new(),
        seen_ms: Vec::new(),
    };
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    while Instant::now() < until {
        let mut builder = BatchBuilder::new();
        let value = [7u8; 1024];
        builder
            .push(NewRecord {
                timestamp: TimestampMs::now(),
                key: None,
                value: Some(&value),
                headers: &[],
            })
            .unwrap();
        let request = produce_request("tail", vec![(0, builder.build().unwrap())]);
        let begun = Instant::now();
        producer.call(9, &request).await.unwrap();
        seen.ack_ms.push(begun.elapsed().as_secs_f64() * 1e3);
        let arrived = arrivals.recv().await.unwrap();
        seen.seen_ms
            .push(arrived.duration_since(begun).as_secs_f64() * 1e3);
        tokio::time::sleep(PAUSE).await;
    }
    reading.abort();
    seen
}
