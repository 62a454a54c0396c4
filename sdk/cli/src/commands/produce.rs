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
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
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
    let mut lines = BufReader::new(stdin()).split(b'\n');
    let mut deliveries = FuturesOrdered::new();
    let mut count = 0u64;
    let separator = args.key_separator.as_deref().map(str::as_bytes);
    while let Some(line) = lines.next_segment().await? {
        let mut record = match separator.and_then(|it| split_once(&line, it)) {
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

/// Before and behind the first separator. Lines are bytes: records need not be text.
fn split_once<'a>(line: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = line
        .windows(separator.len())
        .position(|window| window == separator)?;
    Some((line.get(..at)?, line.get(at + separator.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::split_once;

    #[test]
    fn a_line_is_split_at_the_first_separator() {
        let split = |line: &[u8], separator: &[u8]| {
            split_once(line, separator).map(|(key, value)| (key.to_vec(), value.to_vec()))
        };
        let parts = |key: &[u8], value: &[u8]| Some((key.to_vec(), value.to_vec()));
        assert_eq!(split(b"k:v:w", b":"), parts(b"k", b"v:w"));
        assert_eq!(split(b":v", b":"), parts(b"", b"v"));
        assert_eq!(split(b"k::v", b"::"), parts(b"k", b"v"));
        assert_eq!(split(b"\xff|\x00", b"|"), parts(b"\xff", b"\x00"));
        assert_eq!(split(b"v", b"::"), None);
    }
}
