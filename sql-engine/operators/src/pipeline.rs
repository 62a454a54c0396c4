//! The operators of one task in a row: from a sub-topology's source to its end.

use crate::aggregate::{Aggregate, Updates};
use crate::batch::{Batch, RowErrors};
use crate::latest::LatestRows;
use crate::stateless;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use datafusion_common::ScalarValue;
use datafusion_physical_expr::expressions::Column;
use millstream_functions::work;
use millstream_model::limits::SQL_PASS_BYTES_MAX;
use millstream_planner::{BoundExpr, NamedExpr, Node, NodeKind, NullKeys, SubTopology};
use millstream_state::{Corrupt, StateKey, Stored};
use std::ops::Bound;

/// One step of a pipeline.
#[derive(Debug)]
enum Step {
    Latest(Box<LatestRows>),
    Aggregate(Box<Aggregate>),
    Stateless(Stateless),
}

/// A step that keeps nothing.
#[derive(Clone, Debug)]
enum Stateless {
    Filter(BoundExpr),
    Project {
        columns: Vec<NamedExpr>,
        schema: SchemaRef,
    },
    Rekey {
        keys: Vec<NamedExpr>,
        null_keys: NullKeys,
        schema: SchemaRef,
    },
}

/// Committed rows of the last state, and the steps behind it: whoever asked runs these, as many rows at a time as it
/// likes, so that what a table's expressions cost holds up nobody else.
#[derive(Clone, Debug)]
pub struct Pulled {
    committed: Batch,
    behind: Vec<Stateless>,
}

impl Pulled {
    /// How many rows are committed; fewer may come out of the steps behind.
    pub fn len(&self) -> usize {
        self.committed.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.committed.is_empty()
    }

    /// What the end of the pipeline would see of so many rows from `from` on. Rows that fail were reported when they
    /// came.
    pub fn rows(&self, from: usize, length: usize) -> Result<Batch, ArrowError> {
        let mut batch = self.committed.slice(from, length);
        for step in &self.behind {
            batch = step.process(batch, &mut Vec::new(), &mut 0)?;
        }
        Ok(batch)
    }
}

/// What a checkpoint must write of one store's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreChange {
    /// The store, as the plan names it.
    pub store: String,
    /// The key.
    pub key: StateKey,
    /// The value from now on; `None` when it is gone.
    pub value: Option<Vec<u8>>,
}

/// Which rows a pull query reads.
#[derive(Clone, Copy, Debug)]
pub struct PullRows<'a> {
    /// These keys, or all.
    pub keys: Option<&'a [Vec<ScalarValue>]>,
    /// Windows that start within.
    pub windows: (Bound<i64>, Bound<i64>),
}

/// The operators of one task, with their state.
#[derive(Debug)]
pub struct Pipeline {
    steps: Vec<Step>,
    /// Rows without a key that steps without state left out.
    keyless_rows: u64,
}

impl Pipeline {
    /// For one task of a sub-topology; its end (sink, repartition, output) is the caller's.
    pub fn new(topology: &SubTopology) -> Self {
        let mut steps = Vec::new();
        for (at, node) in topology.nodes.iter().enumerate() {
            match &node.kind {
                NodeKind::Source(source) => {
                    if let Some(spec) = &source.store {
                        steps.push(Step::Latest(Box::new(LatestRows::new(
                            spec.clone(),
                            &node.schema,
                        ))));
                    }
                }
                NodeKind::Filter { predicate } => {
                    steps.push(Step::Stateless(Stateless::Filter(predicate.clone())));
                }
                NodeKind::Project { columns } => steps.push(Step::Stateless(Stateless::Project {
                    columns: columns.clone(),
                    schema: node.schema.arrow_schema(),
                })),
                NodeKind::Rekey { keys, null_keys } => steps.push(Step::Stateless(Stateless::Rekey {
                    keys: keys.clone(),
                    null_keys: *null_keys,
                    schema: node.schema.arrow_schema(),
                })),
                NodeKind::Aggregate(aggregate) => {
                    let updates = updates_wanted(&topology.nodes[at + 1..]);
                    let aggregate = Aggregate::new(aggregate.clone(), &node.schema, updates);
                    steps.push(Step::Aggregate(Box::new(aggregate)));
                }
                NodeKind::RepartitionSource { .. }
                | NodeKind::RepartitionSink { .. }
                | NodeKind::Sink { .. }
                | NodeKind::Output => {}
            }
        }
        Self {
            steps,
            keyless_rows: 0,
        }
    }

    /// Runs rows through all steps. An error here is a bug of ours or a damaged plan, not a bad row.
    pub fn process(&mut self, batch: Batch, row_errors: &mut RowErrors) -> Result<Batch, ArrowError> {
        let mut batch = batch;
        for step in &mut self.steps {
            batch = step.process(batch, row_errors, &mut self.keyless_rows)?;
        }
        Ok(batch)
    }

    /// As [`Pipeline::process`], unless what is made of the rows before the first change of state is more than
    /// [`SQL_PASS_BYTES_MAX`]: then nothing has happened, and fewer rows are to be offered. One row is always taken.
    pub fn process_some(
        &mut self,
        batch: &Batch,
        row_errors: &mut RowErrors,
    ) -> Result<Option<Batch>, ArrowError> {
        if batch.len() <= 1 {
            return self.process(batch.clone(), row_errors).map(Some);
        }
        let before = row_errors.len();
        let is_state = |step: &Step| matches!(step, Step::Latest(_) | Step::Aggregate(_));
        let stateless = self.steps.iter().position(is_state).unwrap_or(self.steps.len());
        let (pure, rest) = self.steps.split_at_mut(stateless);
        let mut keyless = 0;
        let (prepared, made) = work::pass(SQL_PASS_BYTES_MAX, || {
            let mut batch = batch.clone();
            for step in pure {
                batch = step.process(batch, row_errors, &mut keyless)?;
            }
            let arguments = match rest.first() {
                Some(Step::Aggregate(aggregate)) => Some(aggregate.arguments(&batch, row_errors)),
                _ => None,
            };
            Ok::<_, ArrowError>((batch, arguments))
        });
        if made.exhausted {
            row_errors.truncate(before);
            return Ok(None);
        }
        let (mut batch, mut arguments) = prepared?;
        self.keyless_rows += keyless;
        for step in rest {
            batch = match (step, arguments.take()) {
                (Step::Aggregate(aggregate), Some(arguments)) => {
                    let needs = aggregate.needs(&batch);
                    aggregate.process(&batch, needs, &arguments, row_errors)?
                }
                (step, _) => step.process(batch, row_errors, &mut self.keyless_rows)?,
            };
        }
        Ok(Some(batch))
    }

    /// Whether functions make something of rows once state has changed; then a part cannot be offered again.
    pub fn makes_behind_state(&self) -> bool {
        let is_state = |step: &Step| matches!(step, Step::Latest(_) | Step::Aggregate(_));
        let state = self.steps.iter().position(is_state);
        state.is_some_and(|at| self.steps[at + 1..].iter().any(Step::calls_functions))
    }

    /// Whether functions make something of rows anywhere.
    pub fn makes(&self) -> bool {
        self.steps.iter().any(Step::calls_functions)
    }

    /// Whether it keeps state, hence can answer pull queries.
    pub fn is_stateful(&self) -> bool {
        self.steps
            .iter()
            .any(|step| matches!(step, Step::Latest(_) | Step::Aggregate(_)))
    }

    /// Rows that came too late for their window and took no part.
    pub fn late_rows(&self) -> u64 {
        self.aggregates().map(Aggregate::late_rows).sum()
    }

    /// Rows that were to be grouped and took no part, because what they are grouped by is NULL.
    pub fn keyless_rows(&self) -> u64 {
        self.keyless_rows + self.aggregates().map(Aggregate::keyless_rows).sum::<u64>()
    }

    fn aggregates(&self) -> impl Iterator<Item = &Aggregate> {
        self.steps.iter().filter_map(|step| match step {
            Step::Aggregate(aggregate) => Some(aggregate.as_ref()),
            _ => None,
        })
    }

    /// How many values are committed.
    pub fn committed_values(&self) -> usize {
        let count = |step: &Step| match step {
            Step::Latest(latest) => latest.store().committed_len(),
            Step::Aggregate(aggregate) => aggregate.store().committed_len(),
            _ => 0,
        };
        self.steps.iter().map(count).sum()
    }

    /// About how many bytes of memory its state takes once what has changed is committed.
    pub fn settled_bytes(&self) -> usize {
        let bytes = |step: &Step| match step {
            Step::Latest(latest) => latest.store().settled_bytes(),
            Step::Aggregate(aggregate) => aggregate.store().settled_bytes(),
            _ => 0,
        };
        self.steps.iter().map(bytes).sum()
    }

    /// About how many bytes what has changed takes until then, beside the committed state.
    pub fn overlay_bytes(&self) -> usize {
        let bytes = |step: &Step| match step {
            Step::Latest(latest) => latest.store().overlay_bytes(),
            Step::Aggregate(aggregate) => aggregate.store().overlay_bytes(),
            _ => 0,
        };
        self.steps.iter().map(bytes).sum()
    }

    /// The stream time of each stateful operator, in order: a checkpoint keeps it beside the state.
    pub fn stream_times(&self) -> Vec<i64> {
        self.aggregates().map(Aggregate::stream_time).collect()
    }

    /// What changed since the last fold.
    pub fn changes(&self) -> Vec<StoreChange> {
        fn of<V: Stored>(
            store: &str,
            changes: std::collections::hash_map::Iter<'_, StateKey, Option<V>>,
        ) -> Vec<StoreChange> {
            let change = |(key, value): (&StateKey, &Option<V>)| StoreChange {
                store: store.to_owned(),
                key: key.clone(),
                value: value.as_ref().map(|value| {
                    let mut bytes = Vec::with_capacity(64);
                    value.encode(&mut bytes);
                    bytes
                }),
            };
            changes.map(change).collect()
        }
        let changes = |step: &Step| match step {
            Step::Latest(latest) => of(latest.store_id(), latest.store().changes()),
            Step::Aggregate(aggregate) => of(aggregate.store_id(), aggregate.store().changes()),
            _ => Vec::new(),
        };
        self.steps.iter().flat_map(changes).collect()
    }

    /// The checkpoint that holds the changes is durable.
    pub fn fold(&mut self) {
        for step in &mut self.steps {
            match step {
                Step::Latest(latest) => latest.store_mut().fold(),
                Step::Aggregate(aggregate) => aggregate.fold(),
                _ => {}
            }
        }
    }

    /// The task failed: its state is as of the last fold again.
    pub fn drop_overlay(&mut self) {
        for step in &mut self.steps {
            match step {
                Step::Latest(latest) => latest.store_mut().drop_overlay(),
                Step::Aggregate(aggregate) => aggregate.drop_overlay(),
                _ => {}
            }
        }
    }

    /// Puts back one value of a checkpoint. Values of stores that the plan no longer has are an error.
    pub fn load(&mut self, store: &str, key: StateKey, bytes: &[u8]) -> Result<(), Corrupt> {
        for step in &mut self.steps {
            match step {
                Step::Latest(latest) if latest.store_id() == store => return latest.load(key, bytes),
                Step::Aggregate(aggregate) if aggregate.store_id() == store => {
                    return aggregate.load(key, bytes);
                }
                _ => {}
            }
        }
        Err(Corrupt { what: "store id" })
    }

    /// Puts back the stream times of a checkpoint.
    pub fn restore_times(&mut self, times: &[i64]) {
        let mut times = times.iter();
        for step in &mut self.steps {
            if let Step::Aggregate(aggregate) = step
                && let Some(time) = times.next()
            {
                aggregate.restore_time(*time);
            }
        }
    }

    /// Committed rows, and the steps that they have still to go through. Rows beyond the asked keys may come too: the
    /// caller filters.
    pub fn pull(&self, wanted: PullRows<'_>) -> Result<Option<Pulled>, ArrowError> {
        let is_state = |step: &Step| !matches!(step, Step::Stateless(_));
        let Some(last) = self.steps.iter().rposition(is_state) else {
            return Ok(None);
        };
        let behind: Vec<Stateless> = self.steps[last + 1..]
            .iter()
            .filter_map(|step| match step {
                Step::Stateless(step) => Some(step.clone()),
                Step::Latest(_) | Step::Aggregate(_) => None,
            })
            .collect();
        let same_keys = behind.iter().all(|step| match step {
            Stateless::Project { columns, .. } => keeps_keys(columns, wanted.keys.map_or(0, key_width)),
            Stateless::Rekey { .. } => false,
            Stateless::Filter(_) => true,
        });
        let keys = wanted.keys.filter(|_| same_keys);
        let committed = match &self.steps[last] {
            Step::Latest(latest) => {
                let encoded = keys.map(|keys| encode_all(latest.codec(), keys));
                latest.committed(encoded.as_deref(), wanted.windows)?
            }
            Step::Aggregate(aggregate) => {
                let encoded = keys.map(|keys| encode_all(aggregate.codec(), keys));
                aggregate.committed(encoded.as_deref(), wanted.windows)?
            }
            Step::Stateless(_) => return Ok(None),
        };
        Ok(Some(Pulled { committed, behind }))
    }
}

/// What of an update those behind a stateful operator need: a filter, whose rows may go, and whoever groups anew need
/// what was there before; a sink and a push query's client do not.
fn updates_wanted(behind: &[Node]) -> Updates {
    let needs_before = |node: &Node| match &node.kind {
        NodeKind::Project { .. } | NodeKind::Sink { .. } | NodeKind::Output => false,
        NodeKind::Source(_)
        | NodeKind::Filter { .. }
        | NodeKind::Rekey { .. }
        | NodeKind::Aggregate(_)
        | NodeKind::RepartitionSource { .. }
        | NodeKind::RepartitionSink { .. } => true,
    };
    match behind.iter().any(needs_before) {
        true => Updates::Both,
        false => Updates::After,
    }
}

fn key_width(keys: &[Vec<ScalarValue>]) -> usize {
    keys.first().map_or(0, Vec::len)
}

fn encode_all(codec: &crate::KeyCodec, keys: &[Vec<ScalarValue>]) -> Vec<Box<[u8]>> {
    keys.iter().map(|key| codec.encode_values(key)).collect()
}

/// Whether a projection puts out the key columns as they come in.
fn keeps_keys(columns: &[NamedExpr], keys: usize) -> bool {
    columns.iter().take(keys).enumerate().all(|(index, column)| {
        let physical = column.expr.physical();
        physical
            .downcast_ref::<Column>()
            .is_some_and(|column| column.index() == index)
    })
}

impl Step {
    fn process(
        &mut self,
        batch: Batch,
        row_errors: &mut RowErrors,
        keyless: &mut u64,
    ) -> Result<Batch, ArrowError> {
        match self {
            Self::Latest(latest) => {
                let needs = latest.needs(&batch);
                latest.process(&batch, needs)
            }
            Self::Aggregate(aggregate) => {
                let needs = aggregate.needs(&batch);
                let arguments = aggregate.arguments(&batch, row_errors);
                aggregate.process(&batch, needs, &arguments, row_errors)
            }
            Self::Stateless(step) => step.process(batch, row_errors, keyless),
        }
    }

    fn calls_functions(&self) -> bool {
        match self {
            Self::Latest(_) => false,
            Self::Aggregate(aggregate) => aggregate.calls_functions(),
            Self::Stateless(step) => step.calls_functions(),
        }
    }
}

impl Stateless {
    fn process(
        &self,
        batch: Batch,
        row_errors: &mut RowErrors,
        keyless: &mut u64,
    ) -> Result<Batch, ArrowError> {
        match self {
            Self::Filter(predicate) => stateless::filter(predicate, batch, row_errors),
            Self::Project { columns, schema } => stateless::project(columns, schema, batch, row_errors),
            Self::Rekey {
                keys,
                null_keys,
                schema,
            } => {
                let (batch, without) = stateless::rekey(keys, *null_keys, schema, batch, row_errors)?;
                *keyless += without;
                Ok(batch)
            }
        }
    }

    fn calls_functions(&self) -> bool {
        let any = |all: &[NamedExpr]| all.iter().any(|one| one.expr.calls_functions());
        match self {
            Self::Filter(predicate) => predicate.calls_functions(),
            Self::Project { columns, .. } => any(columns),
            Self::Rekey { keys, .. } => any(keys),
        }
    }
}
