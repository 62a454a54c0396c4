//! `millstream produce`: lines of standard input as records.

use crate::failure::Failure;
use crate::output::{Listing, OutputFormat};
use clap::Args;
use futures::StreamExt;
use futures::stream::FuturesOrdered;
use millstream_rust::{Client, Compression, ProducerSettings, Record};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};

/// `millstream produce`.
#[derive(Args, Clone, Debug)]
pub struct ProduceArgs {
    /// The topic
    topic: String,
    /// What stands between key and value; lines without it have no key
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// The partition [default: by key]
    #[arg(long)]
    partition: Option<u32>,
    /// none, gzip, snappy, lz4 or zstd
    #[arg(long, default_value = "none")]
    compression: String,
}

/// Deliveries that may be awaited at once.
const IN_FLIGHT_MAX: usize = 10_000;

pub(super) async fn run(client: &Client, args: ProduceArgs, output: OutputFormat) -> Result<(), Failure> {
    let compression = Compression::from_name(&args.compression).ok_or_else(|| {
        Failure::new(format!(
            "'{}' is not a compression; use none, gzip, snappy, lz4 or zstd",
            args.compression
        ))
    })?;
    let producer = client.producer(ProducerSettings {
        compression,
        ..ProducerSettings::default()
    });
    let mut lines = BufReader::new(stdin()).lines();
    let mut deliveries = FuturesOrdered::new();
    let mut count = 0u64;
    while let Some(line) = lines.next_line().await? {
        let mut record = match args.key_separator.as_deref().and_then(|it| line.split_once(it)) {
            Some((key, value)) => Record::new().key(key).value(value),
            None => Record::new().value(&line),
        };
        record.partition = args.partition;
        deliveries.push_back(producer.enqueue(&args.topic, record).await?);
        if deliveries.len() >= IN_FLIGHT_MAX
            && let Some(delivered) = deliveries.next().await
        {
            delivered?;
            count += 1;
        }
    }
    producer.flush().await;
    while let Some(delivered) = deliveries.next().await {
        delivered?;
        count += 1;
    }
    let mut listing = Listing::new(&["topic", "records"]);
    listing.row(vec![args.topic.into(), count.into()]);
    Ok(listing.print(output)?)
}
