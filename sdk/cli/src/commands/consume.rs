//! `millstream consume`: a topic's records on standard output.

use crate::failure::Failure;
use crate::output::{OutputFormat, object, tell};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use clap::Args;
use millstream_model::{Backoff, Waits};
use millstream_rust::{Client, ConsumedRecord, ConsumerSettings, Error, Position, Start};
use serde_json::{Value, json};
use std::io::{Write, stdout};
use std::time::Duration;

/// The waits for a service that does not answer.
const RETRY: Waits = Waits::new(Duration::from_secs(1), Duration::from_secs(10));

/// `millstream consume`.
#[derive(Args, Clone, Debug)]
pub struct ConsumeArgs {
    /// The topic
    topic: String,
    /// Read one partition only
    #[arg(long)]
    partition: Option<u32>,
    /// Begin with the first record instead of the next one
    #[arg(long)]
    from_beginning: bool,
    /// Begin at the first record at or after this time, ms since 1970
    #[arg(long, conflicts_with = "from_beginning", value_name = "MS")]
    from_timestamp: Option<i64>,
    /// Begin at this offset; needs --partition
    #[arg(long, conflicts_with_all = ["from_beginning", "from_timestamp"], requires = "partition")]
    offset: Option<i64>,
    /// Stop after so many records
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
    /// Stop at the present end
    #[arg(long)]
    exit_at_end: bool,
    /// Print keys too
    #[arg(long)]
    print_key: bool,
}

pub(super) async fn run(client: &Client, args: ConsumeArgs, output: OutputFormat) -> Result<(), Failure> {
    let partitions = match args.partition {
        Some(partition) => vec![partition],
        None => (0..client.admin().get_topic(&args.topic).await?.partitions).collect(),
    };
    let ends = client
        .list_offsets(&args.topic, &partitions, Position::Latest)
        .await?;
    let start = match (args.offset, args.from_timestamp, args.from_beginning) {
        (Some(offset), _, _) => Start::Offsets(vec![offset]),
        (None, Some(at), _) => Start::Timestamp(at),
        (None, None, true) => Start::Earliest,
        (None, None, false) => Start::Latest,
    };
    let mut settings = ConsumerSettings::new(&args.topic, start);
    settings.partitions = partitions;
    let mut consumer = client.consumer(settings);
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut backoff = Backoff::new(RETRY);
    while left > 0 {
        let records = match consumer.poll().await {
            Ok(records) => {
                backoff.reset();
                records
            }
            Err(error @ (Error::Unavailable(_) | Error::Unreachable(_) | Error::Timeout(_))) => {
                tell(format_args!("{error}; trying again"));
                tokio::time::sleep(backoff.next(rand::random())).await;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        let mut out = stdout().lock();
        for record in &records {
            if left == 0 {
                break;
            }
            left -= 1;
            print(&mut out, record, args.print_key, output)?;
        }
        out.flush()?;
        let at_end = consumer
            .positions()
            .zip(&ends)
            .all(|((_, position), end)| position >= *end);
        if args.exit_at_end && at_end {
            break;
        }
    }
    Ok(())
}

fn print(
    out: &mut impl Write,
    record: &ConsumedRecord,
    print_key: bool,
    output: OutputFormat,
) -> std::io::Result<()> {
    match output {
        OutputFormat::Json => {
            let headers: Vec<Value> = record
                .headers
                .iter()
                .map(|it| json!({"name": it.name, "value": text(it.value.as_ref())}))
                .collect();
            let fields = [
                ("partition", record.partition.into()),
                ("offset", record.offset.into()),
                ("timestamp", record.timestamp_ms.into()),
                ("key", text(record.key.as_ref())),
                ("value", text(record.value.as_ref())),
                ("headers", headers.into()),
            ];
            writeln!(out, "{}", object(fields.into_iter()))
        }
        OutputFormat::Table => {
            if print_key {
                out.write_all(record.key.as_deref().unwrap_or(b"NULL"))?;
                out.write_all(b"\t")?;
            }
            out.write_all(record.value.as_deref().unwrap_or(b"NULL"))?;
            out.write_all(b"\n")
        }
    }
}

/// Text as it is, other bytes as base64.
fn text(bytes: Option<&Bytes>) -> Value {
    match bytes.map(|it| std::str::from_utf8(it).map_err(|_| it)) {
        None => Value::Null,
        Some(Ok(text)) => text.into(),
        Some(Err(bytes)) => format!("base64:{}", STANDARD.encode(bytes)).into(),
    }
}
