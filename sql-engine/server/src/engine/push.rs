//! Push queries: a transient query of the shard whose rows go to the client.

use super::{Gone, Inner, Out, Stop};
use crate::answer::{Answer, Request, RowsKind, StatementError, StatementErrorKind};
use crate::metrics::Metrics;
use arrow::array::RecordBatch;
use arrow::array::RecordBatchOptions;
use arrow::datatypes::{Schema, SchemaRef};
use millstream_model::{Offset, limits};
use millstream_planner::{PushPlan, SessionProperties, arrow_field};
use millstream_runtime::{PushEnd, PushItem, PushSink, QueryOptions, QuerySpec, QueryStart, Shard};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The property that continues a push query that was cut.
pub(super) const RESUME: &str = "resume.token";

/// What a push query has sent.
struct Sending<'a> {
    schema: SchemaRef,
    columns: Vec<usize>,
    out: &'a Out,
    sent: u64,
    /// From where the input goes on behind it.
    positions: Option<BTreeMap<u32, Offset>>,
}

impl Inner {
    pub(super) async fn push(
        &self,
        plan: PushPlan,
        request: &Request,
        session: &SessionProperties,
        out: &Out,
    ) -> Result<(), Stop> {
        let resumable = plan.topology.stores().next().is_none();
        let start = match request.properties.get(RESUME) {
            Some(token) => QueryStart::At(read_token(token)?),
            None if session.reads_from_beginning() => QueryStart::Earliest,
            None => QueryStart::Latest,
        };
        let field = |(_, c): &(usize, millstream_planner::Column)| arrow_field(&c.name, &c.sql_type);
        let schema = Arc::new(Schema::new(plan.output.iter().map(field).collect::<Vec<_>>()));
        let mut sending = Sending {
            schema,
            columns: plan.output.iter().map(|(index, _)| *index).collect(),
            out,
            sent: 0,
            positions: None,
        };
        if plan.limit == Some(0) {
            sending.head().await?;
            return Ok(out.finish(0).await?);
        }
        let (sender, items) = mpsc::channel(self.push_buffer());
        let id = self.push_id();
        let spec = QuerySpec {
            id: id.clone(),
            reads: plan.reads,
            topology: plan.topology,
            start,
            push: Some(PushSink {
                sender,
                limit: plan.limit,
            }),
            options: QueryOptions::default(),
        };
        let shard = match self.start(spec).await {
            Ok(shard) => shard,
            Err(error) => {
                self.close_if_idle().await;
                return Err(error.into());
            }
        };
        self.metrics.push_subscribers.inc();
        let ended = sending.forward(items).await;
        self.metrics.push_subscribers.dec();
        self.leave(&shard, &id).await;
        sending.finish(ended?, resumable, &self.metrics).await
    }

    /// Removes a push query, and with the last one the shard.
    async fn leave(&self, shard: &Shard, id: &str) {
        // A shard that has stopped has no query any more.
        let _ = shard.leave(id).await;
        self.close_if_idle().await;
    }

    /// Batches that may wait for a client: as many as hold the rows that may wait.
    fn push_buffer(&self) -> usize {
        2 + limits::PUSH_BUFFER_ROWS_MAX / self.settings.shard.turn_rows.max(1)
    }
}

impl Sending<'_> {
    async fn head(&self) -> Result<(), Gone> {
        let head = Answer::Schema {
            schema: self.schema.clone(),
            kind: RowsKind::Changes,
            title: String::new(),
        };
        self.out.send(head).await
    }

    /// Sends rows until the query ends; `None` when the client went or the shard did.
    async fn forward(&mut self, mut items: mpsc::Receiver<PushItem>) -> Result<Option<PushEnd>, Stop> {
        // Only now: who has seen the schema may rely on every later record being seen.
        self.head().await?;
        loop {
            let item = tokio::select! {
                item = items.recv() => item,
                () = self.out.gone() => None,
            };
            match item {
                Some(PushItem::Rows { rows, positions }) => {
                    let rows =
                        select(&rows, &self.schema, &self.columns).map_err(StatementError::internal)?;
                    self.sent += rows.num_rows() as u64;
                    self.positions = Some(positions);
                    self.out.send(Answer::Rows { rows }).await?;
                }
                Some(PushItem::End(end)) => return Ok(Some(end)),
                None => return Ok(None),
            }
        }
    }

    /// Says how it ended.
    async fn finish(self, end: Option<PushEnd>, resumable: bool, metrics: &Metrics) -> Result<(), Stop> {
        let (how, note, behind) = match end {
            None if self.out.answers.is_closed() => {
                metrics.push_ended("client_gone");
                return Err(Stop::Gone);
            }
            None | Some(PushEnd::Stopped) => {
                ("stopped", "the query was stopped by the service", self.positions)
            }
            Some(PushEnd::Limit) => ("limit", "", None),
            Some(PushEnd::Slow { positions }) => {
                ("slow", "the rows were not taken fast enough", Some(positions))
            }
            Some(PushEnd::Failed { reason }) => {
                metrics.push_ended("failed");
                return Err(StatementError::new(StatementErrorKind::Unavailable, reason).into());
            }
        };
        metrics.push_ended(how);
        let finished = Answer::Finished {
            rows: self.sent,
            note: note.to_owned(),
            resume: behind.filter(|_| resumable).as_ref().map(write_token),
            commit: None,
        };
        Ok(self.out.send(finished).await?)
    }
}

fn select(
    rows: &RecordBatch,
    schema: &SchemaRef,
    columns: &[usize],
) -> Result<RecordBatch, arrow::error::ArrowError> {
    let arrays = columns.iter().map(|index| rows.column(*index).clone()).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), arrays, &options)
}

fn write_token(positions: &BTreeMap<u32, Offset>) -> String {
    let part = |(partition, offset): (&u32, &Offset)| format!("{partition}:{offset}");
    positions.iter().map(part).collect::<Vec<_>>().join(",")
}

fn read_token(token: &str) -> Result<BTreeMap<u32, Offset>, StatementError> {
    let part = |part: &str| {
        let (partition, offset) = part.split_once(':')?;
        Some((partition.parse().ok()?, Offset(offset.parse().ok()?)))
    };
    let read: Option<BTreeMap<u32, Offset>> = token.split(',').map(part).collect();
    read.ok_or_else(|| {
        let message = format!("'{token}' is not a token that a push query ended with");
        StatementError::new(StatementErrorKind::Invalid, message)
    })
}
