//! Pull queries: committed rows of a table, or a bounded read of a stream's topic.

use super::read::read_on;
use super::{Inner, Out, Stop, of_shard, of_streams, topic_name};
use crate::answer::{Answer, RowsKind, StatementError, StatementErrorKind};
use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, new_null_array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use millstream_functions::work;
use millstream_model::{Backoff, PartitionIndex, Waits, limits};
use millstream_parser::SourceKind;
use millstream_planner::{
    BoundExpr, CommitToken, CommitTokenError, PullAccess, PullPlan, SessionProperties, Source, SourceField,
    arrow_field, arrow_type,
};
use millstream_runtime::{
    PullRequest, PulledRows, SHARD, ShardError, SourceReader, StreamFetch, StreamPosition,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Bytes read from a stream's partition at a time.
const FETCH_BYTES: usize = 1024 * 1024;

/// How long a pull query waits for the commit that it asks for: some commit intervals as they are by default.
const COMMIT_PATIENCE: Duration = Duration::from_secs(10);

/// The waits between two looks.
const COMMIT_LOOK: Waits = Waits::new(Duration::from_millis(10), Duration::from_millis(100));

/// Rows evaluated and sent at once: the first ones of an answer, and the most.
const PART_ROWS_FIRST: usize = 64;
const PART_ROWS_MAX: usize = 16_384;

/// What is left to send, and how.
struct Answering<'a> {
    plan: &'a PullPlan,
    schema: SchemaRef,
    left: u64,
    sent: u64,
    /// There were more rows than may be sent.
    cut: bool,
    out: &'a Out,
}

impl Inner {
    pub(super) async fn pull(
        &self,
        plan: PullPlan,
        session: &SessionProperties,
        out: &Out,
    ) -> Result<(), Stop> {
        let commit_min = self.commit_min(session)?;
        let field = |c: &millstream_planner::NamedExpr| arrow_field(&c.name, c.expr.sql_type());
        let schema = Arc::new(Schema::new(plan.columns.iter().map(field).collect::<Vec<_>>()));
        let limit = plan.limit.unwrap_or(limits::PULL_ROWS_MAX as u64);
        out.send(Answer::Schema {
            schema: schema.clone(),
            kind: RowsKind::Table,
            title: String::new(),
        })
        .await?;
        let mut answering = Answering {
            plan: &plan,
            schema,
            left: limit,
            sent: 0,
            cut: false,
            out,
        };
        let commit = match plan.source.kind {
            SourceKind::Table => Some(self.pull_table(&mut answering, commit_min).await?),
            SourceKind::Stream => {
                self.pull_stream(&mut answering).await?;
                None
            }
        };
        if plan.limit.is_none() && answering.cut {
            return Err(StatementError::new(
                StatementErrorKind::Limit,
                format!(
                    "a pull query returns at most {} rows; add a LIMIT or a WHERE",
                    limits::PULL_ROWS_MAX
                ),
            )
            .into());
        }
        let finished = Answer::Finished {
            rows: answering.sent,
            note: String::new(),
            resume: None,
            commit: commit.map(|commit| CommitToken::new(self.tenant, [(SHARD, commit)]).to_string()),
        };
        Ok(out.send(finished).await?)
    }

    /// The earliest commit of the tenant's shard that the session's pull queries may see.
    fn commit_min(&self, session: &SessionProperties) -> Result<u64, StatementError> {
        let refused = |error: CommitTokenError| {
            StatementError::new(StatementErrorKind::Invalid, format!("pull.commit.min: {error}"))
        };
        match session.pull_commit_min().map_err(refused)? {
            Some(token) => token.commit_min(self.tenant, SHARD).map_err(refused),
            None => Ok(0),
        }
    }

    /// Answers with the commit that it saw.
    async fn pull_table(&self, answering: &mut Answering<'_>, commit_min: u64) -> Result<u64, Stop> {
        let source = &answering.plan.source;
        let (writer, unplanned) = {
            let known = self.known().await;
            let writer = known.facts.values().find(|facts| facts.writes == source.name);
            let writer = writer.map(|facts| facts.id.clone());
            let unplanned = writer.as_ref().and_then(|id| known.unplanned.get(id).cloned());
            (writer, unplanned)
        };
        let Some(query) = writer else {
            let message = format!(
                "the table {} is not kept by a query: CREATE TABLE … AS SELECT makes one that can be pulled from",
                source.name
            );
            return Err(StatementError::new(StatementErrorKind::Invalid, message).into());
        };
        if let Some(reason) = unplanned {
            let message = format!("query {query} is parked: {reason}");
            return Err(StatementError::new(StatementErrorKind::Unavailable, message).into());
        }
        let keys = match &answering.plan.access {
            PullAccess::Keys(keys) => Some(keys.clone()),
            PullAccess::Scan => None,
        };
        let windows = answering.plan.windows.start;
        let request = PullRequest {
            query,
            keys,
            windows,
            commit_min,
        };
        let pulled = self.pull_in_time(&request).await?;
        let source = source.clone();
        let fields = answering.plan.fields.clone();
        for part in pulled.parts {
            let rows = |from, length| {
                let batch = part.rows(from, length)?;
                table_fields(&source, &fields, &batch.rows, &batch.times)
            };
            answering.rows(part.len(), rows).await?;
            if answering.cut {
                break;
            }
        }
        Ok(pulled.commit)
    }

    /// Waits a while for a commit that is still to come.
    async fn pull_in_time(&self, request: &PullRequest) -> Result<PulledRows, StatementError> {
        let until = Instant::now() + COMMIT_PATIENCE;
        let mut backoff = Backoff::new(COMMIT_LOOK);
        loop {
            match self.shard().await?.pull(request.clone()).await {
                Err(ShardError::Behind) if Instant::now() < until => {
                    tokio::time::sleep(backoff.next(rand::random())).await;
                }
                pulled => return pulled.map_err(of_shard),
            }
        }
    }

    async fn pull_stream(&self, answering: &mut Answering<'_>) -> Result<(), Stop> {
        let source = answering.plan.source.clone();
        let topic = topic_name(&source.topic)?;
        let partitions: Vec<PartitionIndex> = (0..source.partitions).map(PartitionIndex).collect();
        let streams = &self.backend.streams;
        let starts = streams
            .offsets(&topic, &partitions, StreamPosition::Earliest)
            .await
            .map_err(of_streams)?;
        let ends = streams
            .offsets(&topic, &partitions, StreamPosition::Latest)
            .await
            .map_err(of_streams)?;
        let fields = &answering.plan.fields;
        let schema = Arc::new(Schema::new(
            fields.iter().map(|f| field_of(&source, *f)).collect::<Vec<_>>(),
        ));
        let reader = SourceReader::with_schema(&source, fields, schema)
            .map_err(|e| StatementError::new(StatementErrorKind::Invalid, e.to_string()))?;
        for ((partition, start), end) in partitions.iter().zip(starts).zip(ends) {
            let mut at = start;
            while at < end && !answering.cut {
                let request = StreamFetch {
                    topic: topic.clone(),
                    partition: *partition,
                    offset: at,
                    bytes_max: FETCH_BYTES,
                };
                let fetched = read_on(streams.as_ref(), &request).await?;
                at = fetched.next;
                let mut records = fetched.records;
                records.retain(|record| record.offset < end);
                let index = i32::try_from(partition.0).unwrap_or(i32::MAX);
                // Records that do not decode are skipped, as a query over the stream skips them.
                let read = reader
                    .read(index, &records, &mut Vec::new())
                    .map_err(StatementError::internal)?;
                let rows = &read.batch.rows;
                let part = |from, length| Ok(rows.slice(from, length));
                answering.rows(rows.num_rows(), part).await?;
            }
        }
        Ok(())
    }
}

impl Answering<'_> {
    /// Filters, projects and sends rows, as many as may still be sent; a part at a time, so that heavy expressions
    /// neither fill memory nor keep others waiting.
    async fn rows(
        &mut self,
        count: usize,
        part: impl Fn(usize, usize) -> Result<RecordBatch, ArrowError>,
    ) -> Result<(), Stop> {
        let (mut from, mut rows) = (0, PART_ROWS_FIRST);
        while from < count && !self.cut {
            let length = rows.min(count - from);
            let evaluate = || {
                let rows = part(from, length);
                rows.and_then(|rows| self.shown(&rows))
                    .map_err(StatementError::internal)
            };
            let shown = if length == 1 {
                evaluate()?
            } else {
                let (shown, made) = work::pass(limits::SQL_PASS_BYTES_MAX, evaluate);
                if made.exhausted {
                    rows = (length / 8).max(1);
                    continue;
                }
                rows = rows.saturating_mul(2).min(PART_ROWS_MAX);
                shown?
            };
            from += length;
            self.send(shown).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn send(&mut self, shown: RecordBatch) -> Result<(), Stop> {
        let length = shown
            .num_rows()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.cut |= length < shown.num_rows() || self.plan.limit.is_some() && length as u64 == self.left;
        if length > 0 {
            self.left -= length as u64;
            self.sent += length as u64;
            self.out
                .send(Answer::Rows {
                    rows: shown.slice(0, length),
                })
                .await?;
        }
        Ok(())
    }

    fn shown(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let kept;
        let batch = match &self.plan.filter {
            None => batch,
            Some(filter) => {
                let (mask, _) = filter.evaluate_filter(batch);
                kept = filter_record_batch(batch, &mask)?;
                &kept
            }
        };
        let exprs: Vec<&BoundExpr> = self.plan.columns.iter().map(|column| &column.expr).collect();
        let columns = BoundExpr::evaluate_all(&exprs, batch)
            .into_iter()
            .map(|column| column.values)
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
    }
}

fn field_of(source: &Source, field: SourceField) -> Field {
    let column = |index: usize| {
        let column = &source.columns[index];
        arrow_field(&column.name, &column.sql_type)
    };
    match field {
        SourceField::Key(index) => column(index),
        SourceField::Value(index) => column(source.key_count + index),
        SourceField::RowTime => Field::new("ROWTIME", DataType::Int64, true),
        SourceField::RowPartition => Field::new("ROWPARTITION", DataType::Int32, true),
        SourceField::RowOffset => Field::new("ROWOFFSET", DataType::Int64, true),
        SourceField::WindowStart => Field::new("WINDOWSTART", DataType::Int64, true),
        SourceField::WindowEnd => Field::new("WINDOWEND", DataType::Int64, true),
    }
}

/// A table's committed rows (keys, window bounds, values) as the columns that a pull query is bound to.
fn table_fields(
    source: &Source,
    fields: &[SourceField],
    rows: &RecordBatch,
    times: &[i64],
) -> Result<RecordBatch, ArrowError> {
    let values_from = source.key_count + if source.is_windowed() { 2 } else { 0 };
    let array = |field: &SourceField| -> ArrayRef {
        match field {
            SourceField::Key(index) => rows.column(*index).clone(),
            SourceField::Value(index) => rows.column(values_from + index).clone(),
            SourceField::WindowStart => rows.column(source.key_count).clone(),
            SourceField::WindowEnd => rows.column(source.key_count + 1).clone(),
            SourceField::RowTime => Arc::new(Int64Array::from(times.to_vec())),
            // A table's row has no place in a topic.
            SourceField::RowPartition => new_null_array(&DataType::Int32, times.len()),
            SourceField::RowOffset => new_null_array(&DataType::Int64, times.len()),
        }
    };
    let arrays = fields.iter().map(array).collect();
    let schema = Arc::new(Schema::new(
        fields.iter().map(|f| field_of(source, *f)).collect::<Vec<_>>(),
    ));
    debug_assert!(
        source
            .columns
            .iter()
            .all(|c| arrow_type(&c.sql_type) != DataType::Null),
        "bug: columns have types"
    );
    let options = RecordBatchOptions::new().with_row_count(Some(times.len()));
    RecordBatch::try_new_with_options(schema, arrays, &options)
}
