//! Push queries: a transient query of the shard whose rows go to the client.

use super::{Inner, Out, Stop, of_shard};
use crate::answer::{Answer, Request, RowsKind, StatementError, StatementErrorKind};
use arrow::array::RecordBatch;
use arrow::array::RecordBatchOptions;
use arrow::datatypes::{Schema, SchemaRef};
use millstream_model::{Offset, limits};
use millstream_planner::{PushPlan, SessionProperties, arrow_field};
use millstream_runtime::{PushEnd, PushItem, PushSink, QuerySpec, QueryStart};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// The property that continues a push query that was cut.
const RESUME: &str = "resume.token";

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
        let fields: Vec<_> = plan
            .output
            .iter()
            .map(|(_, c)| arrow_field(&c.name, &c.sql_type))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let head = Answer::Schema {
            schema: schema.clone(),
            kind: RowsKind::Changes,
            title: String::new(),
        };
        if plan.limit == Some(0) {
            out.send(head).await?;
            return Ok(out.finish(0).await?);
        }
        let (sender, mut items) = mpsc::channel(self.push_buffer());
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
        };
        let shard = self.shard().await?;
        shard.start(spec).await.map_err(of_shard)?;
        // Only now: who has seen the schema may rely on every later record being seen.
        if let Err(gone) = out.send(head).await {
            let _ = shard.remove(&id).await;
            return Err(gone.into());
        }
        let columns: Vec<usize> = plan.output.iter().map(|(index, _)| *index).collect();
        let (mut sent, mut positions) = (0, None);
        let end = loop {
            let item = tokio::select! {
                item = items.recv() => item,
                () = out.gone() => None,
            };
            match item {
                Some(PushItem::Rows {
                    rows,
                    positions: behind,
                }) => {
                    let rows = select(&rows, &schema, &columns).map_err(StatementError::internal)?;
                    sent += rows.num_rows() as u64;
                    positions = Some(behind);
                    if out.send(Answer::Rows { rows, commit: 0 }).await.is_err() {
                        break None;
                    }
                }
                Some(PushItem::End(end)) => break Some(end),
                None => break None,
            }
        };
        // Unknown there means that it has ended by itself.
        let _ = shard.remove(&id).await;
        let token = |at: &BTreeMap<u32, Offset>| resumable.then(|| write_token(at));
        match end {
            None if out.answers.is_closed() => Err(Stop::Gone),
            None | Some(PushEnd::Stopped) => {
                let note = "the query was stopped by the service".to_owned();
                let resume = positions.as_ref().and_then(token);
                Ok(out
                    .send(Answer::Finished {
                        rows: sent,
                        note,
                        resume,
                    })
                    .await?)
            }
            Some(PushEnd::Limit) => Ok(out.finish(sent).await?),
            Some(PushEnd::Slow { positions }) => {
                let note = "the rows were not taken fast enough".to_owned();
                Ok(out
                    .send(Answer::Finished {
                        rows: sent,
                        note,
                        resume: token(&positions),
                    })
                    .await?)
            }
            Some(PushEnd::Failed { reason }) => {
                Err(StatementError::new(StatementErrorKind::Unavailable, reason).into())
            }
        }
    }

    /// Batches that may wait for a client: as many as hold the rows that may wait.
    fn push_buffer(&self) -> usize {
        2 + limits::PUSH_BUFFER_ROWS_MAX / self.settings.shard.turn_rows.max(1)
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
