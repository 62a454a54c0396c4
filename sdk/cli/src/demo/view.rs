//! The answer as it changes: a push query feeds a small table that is drawn again and again.

use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::{new_table, text_of};
use arrow::array::RecordBatch;
use indicatif::ProgressBar;
use millstream_rust::SqlAnswer;
use std::collections::BTreeMap;
use std::io::{IsTerminal, stderr};
use std::time::Duration;

/// Hours shown at once.
const HOURS_SHOWN: usize = 2;

/// How often the table is drawn on a terminal, and how often without one.
const DRAW_EVERY: Duration = Duration::from_secs(1);
const DRAW_EVERY_PLAIN: Duration = Duration::from_secs(5);

/// Follows the table until the task is dropped.
pub(super) async fn follow(connection: Connection, progress: ProgressBar) -> Result<(), Failure> {
    let client = connection.client()?;
    let text = "SELECT windowstart, carrier, departures, mean_delay FROM departures EMIT CHANGES;";
    let mut answers = client.sql(text, &BTreeMap::new()).await?;
    let mut rows: BTreeMap<(String, String), (String, String)> = BTreeMap::new();
    let every = if stderr().is_terminal() {
        DRAW_EVERY
    } else {
        DRAW_EVERY_PLAIN
    };
    let mut draw_at = tokio::time::interval(every);
    let mut changed = false;
    loop {
        // Drawn by the clock: by then the rows of every partition have come.
        tokio::select! {
            answer = answers.next_answer() => match answer? {
                Some(SqlAnswer::Rows(batch)) => {
                    note(&batch, &mut rows);
                    changed = true;
                }
                Some(_) => {}
                None => return Ok(()),
            },
            _ = draw_at.tick() => {
                if std::mem::take(&mut changed) {
                    progress.println(draw(&rows));
                }
            }
        }
    }
}

fn note(batch: &RecordBatch, rows: &mut BTreeMap<(String, String), (String, String)>) {
    for row in 0..batch.num_rows() {
        // Columns by position: hour, carrier, departures, mean delay.
        let cell = |at: usize| {
            batch
                .columns()
                .get(at)
                .map(|it| text_of(it.as_ref(), row))
                .unwrap_or_default()
        };
        rows.insert((hour(&cell(0)), cell(1)), (cell(2), cell(3)));
    }
    // Only the latest hours are ever shown.
    let mut distinct: Vec<String> = rows.keys().map(|(hour, _)| hour.clone()).collect();
    distinct.dedup();
    if let Some(first) = distinct
        .len()
        .checked_sub(HOURS_SHOWN)
        .and_then(|at| distinct.get(at))
        .cloned()
    {
        rows.retain(|(hour, _), _| *hour >= first);
    }
}

/// A window's start as RFC 3339, whether it came as a number or as a timestamp.
fn hour(text: &str) -> String {
    let ms = text.parse::<i64>().ok().map(crate::output::rfc3339);
    ms.and_then(|it| it.as_str().map(str::to_owned))
        .unwrap_or_else(|| text.to_owned())
}

fn draw(rows: &BTreeMap<(String, String), (String, String)>) -> String {
    let mut table = new_table();
    table.set_header(["hour", "carrier", "departures", "mean delay, min"]);
    for ((hour, carrier), (departures, mean)) in rows {
        let mean = mean
            .parse::<f64>()
            .map_or_else(|_| mean.clone(), |it| format!("{it:.1}"));
        table.add_row([hour, carrier, departures, &mean]);
    }
    table.to_string()
}
