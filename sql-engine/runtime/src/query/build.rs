//! A plan to a query that can run: tasks, inboxes, encoders; nothing read yet.

use super::{
    BuildError, End, Pace, PushSink, QuerySpec, Queue, Rate, Retry, RunningQuery, Stage, State, Task,
    TaskInput, TopicInput, TurnClock,
};
use crate::merge::Inbox;
use crate::metrics::Metrics;
use crate::settings::ShardSettings;
use crate::sink::SinkWriter;
use crate::source::SourceReader;
use millstream_model::limits::SQL_MADE_ROWS_MAX;
use millstream_model::{NameError, Offset, PartitionIndex, TopicName};
use millstream_operators::{KeyCodec, Pipeline};
use millstream_planner::{NodeKind, RowSchema, StoreSpec, SubTopology, Topology, arrow_type};
use std::collections::VecDeque;
use std::sync::Arc;

impl RunningQuery {
    /// With no positions and no state.
    pub(crate) fn build(
        spec: QuerySpec,
        settings: &ShardSettings,
        metrics: &Metrics,
    ) -> Result<Self, BuildError> {
        // A clone of a push query's sender would keep its client's stream open.
        let again = spec.push.is_none().then(|| Arc::new(spec.clone()));
        let shape = |what: &str| BuildError::Shape(format!("query {}: {what}", spec.id));
        let first = spec.topology.sub_topologies.first();
        let first = first.ok_or_else(|| shape("the plan is empty"))?;
        let reader = first
            .nodes
            .iter()
            .find_map(|node| match &node.kind {
                NodeKind::Source(source) => {
                    Some(SourceReader::new(&source.source, &source.fields, &node.schema))
                }
                _ => None,
            })
            .ok_or_else(|| shape("the plan reads nothing"))??;
        let topic = spec.reads.topic.parse();
        let topic: TopicName = topic.map_err(|e: NameError| shape(&e.to_string()))?;
        let mut stages: Vec<Stage> = Vec::new();
        for sub in &spec.topology.sub_topologies {
            stages.push(stage(sub, stages.last().map(|stage| stage.tasks.len()))?);
        }
        let coalesce = settings.coalesce && spec.options.cache_bytes != Some(0);
        let end = end(&spec.id, &spec.topology, spec.push, coalesce)?;
        let store = |s: &StoreSpec| (s.id.clone(), s.hash, s.facts.clone());
        Ok(Self {
            id: spec.id,
            spec: again,
            topic,
            topic_id: None,
            options: spec.options,
            reader,
            stages,
            end,
            state: State::Running,
            loaded: true,
            retry: Retry::new(settings.retry),
            stores: spec.topology.stores().map(store).collect(),
            dirty: false,
            frozen: false,
            clock: TurnClock::Real,
            park_later: None,
            written: Vec::new(),
            abandoned: Vec::new(),
            finished: false,
            rows_in: 0,
            rows_out: 0,
            uncommitted_rows: 0,
            misplaced_keys: 0,
            counted: 0,
            evicted: None,
            outgrew: false,
            rate: Rate::new(0),
            metrics: metrics.clone(),
            errors: 0,
            recent: VecDeque::new(),
            unlogged: Vec::new(),
            unlogged_more: 0,
        })
    }
}

/// Where rows go: to the plan's sink, or to the client of a push query.
fn end(id: &str, topology: &Topology, push: Option<PushSink>, coalesce: bool) -> Result<End, BuildError> {
    let shape = |what: &str| BuildError::Shape(format!("query {id}: {what}"));
    let sink = topology.nodes().find_map(|node| match &node.kind {
        NodeKind::Sink { sink } => Some(sink.clone()),
        _ => None,
    });
    match (sink, push) {
        (Some(sink), None) => {
            let topic = sink.topic.parse().map_err(|e: NameError| shape(&e.to_string()))?;
            Ok(End::Sink(Box::new(SinkWriter::new(sink, topic, coalesce)?)))
        }
        (None, Some(sink)) => Ok(End::Push {
            sink,
            sent: 0,
            stalled: None,
        }),
        _ => Err(shape("the plan has no end of its kind")),
    }
}

fn stage(sub: &SubTopology, writers: Option<usize>) -> Result<Stage, BuildError> {
    let last = sub
        .nodes
        .last()
        .ok_or_else(|| BuildError::Shape("a sub-topology is empty".to_owned()))?;
    let codec = |schema: &RowSchema| {
        KeyCodec::new(
            schema
                .keys()
                .iter()
                .map(|key| arrow_type(&key.sql_type))
                .collect(),
        )
    };
    let repartition = matches!(last.kind, NodeKind::RepartitionSink { .. }).then(|| codec(&last.schema));
    let pace = {
        let pipeline = Pipeline::new(sub);
        let once_only = match writers {
            Some(_) => pipeline.makes(),
            None => pipeline.makes_behind_state(),
        };
        Pace::new(if once_only { SQL_MADE_ROWS_MAX } else { usize::MAX })
    };
    let task = |index: u32| Task {
        input: match writers {
            Some(writers) => TaskInput::Inbox(Inbox::new(writers)),
            None => TaskInput::Topic(TopicInput {
                partition: PartitionIndex(index),
                fetched: Offset(0),
                position: Offset(0),
                committed: Offset(0),
                settled: Offset(0),
                end: None,
                queue: Queue::default(),
                held: None,
            }),
        },
        pipeline: Pipeline::new(sub),
        clock: i64::MIN,
        pace,
    };
    Ok(Stage {
        tasks: (0..sub.partitions).map(task).collect(),
        blanked: blanked(sub, &last.schema),
        repartition,
    })
}

/// All columns but the keys, the windows' bounds, and what a projection puts out once more of them.
fn blanked(sub: &SubTopology, schema: &RowSchema) -> Vec<bool> {
    let projected = sub.nodes.iter().rev().find_map(|node| match &node.kind {
        NodeKind::Project { columns } if columns.len() == schema.columns.len() => Some(columns),
        _ => None,
    });
    let (keys, all) = (schema.values_from(), schema.columns.len());
    let repeats = |index: usize| {
        projected.is_some_and(|columns| columns[..keys].iter().any(|key| key.expr == columns[index].expr))
    };
    (0..all).map(|index| index >= keys && !repeats(index)).collect()
}
