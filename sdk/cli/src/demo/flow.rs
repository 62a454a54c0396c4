//! The demo from beginning to end.

use super::flights::january;
use super::send::send;
use super::setup::provision;
use super::statements::Statements;
use super::steps::next_steps;
use super::view;
use super::{DemoArgs, Service};
use crate::failure::Failure;
use crate::output::{OutputFormat, json_of, new_table, object, rfc3339, tell, text_of};
use arrow::array::RecordBatch;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use millstream_rust::{Client, SqlAnswer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::time::Duration;

/// How often the demo asks whether every query has answered everything.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// Runs the demo against a running service. Ends when everything is answered; serving on is the caller's.
///
/// # Errors
/// One line that says which part of the service refused.
pub async fn run(service: &Service, args: &DemoArgs, output: OutputFormat) -> Result<(), Failure> {
    let connection = provision(service, args).await?;
    let statements = Statements::new(args.unkeyed, args.grace_period.as_deref());
    tell(format_args!(
        "These statements run now; they work in any shell of this service:\n\n{}",
        statements.setup
    ));
    let client = connection.client()?;
    run_script(&client, &statements.setup).await?;

    let mut flights = january()?;
    flights.truncate(args.rows.unwrap_or(usize::MAX));
    let progress = progress_bar(flights.len());
    let viewer = tokio::spawn(view::follow(connection.clone(), progress.clone()));
    let sent = send(service, &connection, &flights, args, &progress).await;
    progress.set_message("all sent; waiting for the queries");
    let answered = match sent {
        Ok(()) => all_answered(&client).await,
        Err(failure) => Err(failure),
    };
    viewer.abort();
    progress.finish_and_clear();
    answered?;

    let rows = client.sql_rows(statements.table, &BTreeMap::new()).await?;
    print_answer(&rows, output)?;
    if !args.once {
        tell(next_steps(service, &connection));
    }
    Ok(())
}

fn progress_bar(rows: usize) -> ProgressBar {
    let progress = ProgressBar::with_draw_target(
        Some(u64::try_from(rows).unwrap_or(u64::MAX)),
        ProgressDrawTarget::stderr_with_hz(10),
    );
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} flights, {elapsed} {msg}");
    if let Ok(style) = style {
        progress.set_style(style);
    }
    progress
}

/// Runs statements and shows what each did.
async fn run_script(client: &Client, text: &str) -> Result<(), Failure> {
    let mut answers = client.sql(text, &BTreeMap::new()).await?;
    while let Some(answer) = answers.next_answer().await? {
        if let SqlAnswer::Message { text, .. } = answer {
            tell(text);
        }
    }
    Ok(())
}

/// Waits until the committed input offsets of every query equal the ends of its partitions.
async fn all_answered(client: &Client) -> Result<(), Failure> {
    loop {
        let mut behind = 0;
        for source in ["departures", "late_flights"] {
            let text = format!("DESCRIBE {source} EXTENDED;");
            behind += total_lag(&client.sql_rows(&text, &BTreeMap::new()).await?)
                .ok_or_else(|| Failure::new(format!("the service does not tell the lag of {source}")))?;
        }
        if behind == 0 {
            return Ok(());
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

/// The sum of the `LAG` column in the tables of `DESCRIBE … EXTENDED`: 0 when the query has answered all of its
/// input; none when no table has such a column.
pub fn total_lag(batches: &[RecordBatch]) -> Option<i64> {
    let mut total = None;
    for batch in batches {
        let schema = batch.schema();
        let Some(at) = schema
            .fields()
            .iter()
            .position(|it| it.name().eq_ignore_ascii_case("lag"))
        else {
            continue;
        };
        for row in 0..batch.num_rows() {
            let lag = json_of(batch.column(at).as_ref(), row).as_i64();
            // A lag that is not known yet counts as one record.
            *total.get_or_insert(0) += lag.unwrap_or(1);
        }
    }
    total
}

/// One row of the answer.
struct Answer {
    carrier: String,
    hour: Value,
    departures: Value,
    mean_delay: Value,
}

fn answers(batches: &[RecordBatch]) -> Vec<Answer> {
    let mut rows: Vec<Answer> = batches
        .iter()
        .flat_map(|batch| {
            (0..batch.num_rows()).map(move |row| {
                let cell = |at: usize| {
                    batch
                        .columns()
                        .get(at)
                        .map_or(Value::Null, |it| json_of(it.as_ref(), row))
                };
                let hour = match cell(1) {
                    Value::Number(ms) => ms.as_i64().map_or(Value::Null, rfc3339),
                    other => other,
                };
                let carrier = batch
                    .columns()
                    .first()
                    .map(|it| text_of(it.as_ref(), row))
                    .unwrap_or_default();
                Answer {
                    carrier,
                    hour,
                    departures: cell(2),
                    mean_delay: cell(3),
                }
            })
        })
        .collect();
    rows.sort_by(|left, right| {
        (left.hour.as_str(), &left.carrier).cmp(&(right.hour.as_str(), &right.carrier))
    });
    rows
}

fn print_answer(batches: &[RecordBatch], output: OutputFormat) -> Result<(), Failure> {
    let rows = answers(batches);
    let mut out = stdout().lock();
    match output {
        OutputFormat::Json => {
            for row in rows {
                let fields = [
                    ("carrier", Value::from(row.carrier)),
                    ("hour", row.hour),
                    ("departures", row.departures),
                    ("mean_delay", row.mean_delay),
                ];
                writeln!(out, "{}", object(fields.into_iter()))?;
            }
        }
        OutputFormat::Table => {
            let mut table = new_table();
            table.set_header(["hour", "carrier", "departures", "mean delay, min"]);
            let total = rows.len();
            for row in rows.into_iter().skip(total.saturating_sub(20)) {
                let mean = row
                    .mean_delay
                    .as_f64()
                    .map_or_else(String::new, |it| format!("{it:.1}"));
                let hour = row.hour.as_str().unwrap_or_default().to_owned();
                table.add_row([hour, row.carrier, row.departures.to_string(), mean]);
            }
            writeln!(out, "The last hours of {total} rows:\n{table}")?;
        }
    }
    Ok(())
}
