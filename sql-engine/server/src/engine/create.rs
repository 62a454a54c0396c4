//! CREATE: topics first, then rows, then the query.

use super::{Inner, Out, Rows, Stop, of_catalog, of_streams, topic_name};
use crate::answer::{Answer, StatementError};
use crate::catalog::{SqlChange, SqlRowKind};
use crate::rows::{CounterRow, Known, QueryRow, SourceRow};
use millstream_model::limits::SQL_SINK_MESSAGE_BYTES;
use millstream_parser::SourceKind;
use millstream_planner::{CreateQueryPlan, CreateSourcePlan, NewTopic, QueryFacts, SessionProperties};
use millstream_runtime::{NewStreamTopic, QuerySpec, StreamsError};
use std::collections::BTreeMap;

/// The settings that a topic made by SQL takes over from the topic it is made from.
const INHERITED: [&str; 2] = ["retention.ms", "retention.bytes"];

impl Inner {
    pub(super) async fn create_source(
        &self,
        known: &mut Rows,
        create: CreateSourcePlan,
        text: String,
        out: &Out,
    ) -> Result<(), Stop> {
        if let Some(topic) = &create.new_topic {
            self.make_topic(topic, BTreeMap::new()).await?;
        }
        let (name, kind) = (create.source.name.clone(), create.source.kind);
        let row = SourceRow::new(create.source, text);
        let change = row.put().map_err(StatementError::internal)?;
        let version = self.commit_rows(known, vec![change]).await?;
        known.add(Known::Source(row));
        let done = if create.replaces.is_some() {
            "replaced"
        } else {
            "created"
        };
        out.say(format!("{} {name} {done}.", word(kind)), version).await?;
        Ok(out.finish(0).await?)
    }

    pub(super) async fn create_query(
        &self,
        known: &mut Rows,
        create: CreateQueryPlan,
        text: String,
        session: &SessionProperties,
        out: &Out,
    ) -> Result<(), Stop> {
        if let Some(topic) = &create.new_topic {
            // What a query makes of rows may be larger than each of them.
            let bytes = SQL_SINK_MESSAGE_BYTES.to_string();
            let config = BTreeMap::from([("max.message.bytes".to_owned(), bytes)]);
            self.make_topic(topic, config).await?;
        }
        let query = create.query;
        let sequence = known.next_sequence();
        let id = format!("{}_{sequence}", query.id_prefix);
        let sink = query.sink.as_ref().clone();
        let source_row = SourceRow::new(sink.clone(), text.clone());
        let query_row = QueryRow::new(id.clone(), sequence, text, &query, session);
        let changes = vec![
            source_row.put().map_err(StatementError::internal)?,
            query_row.put(&sink.topic).map_err(StatementError::internal)?,
            CounterRow::new(sequence)
                .put()
                .map_err(StatementError::internal)?,
        ];
        let facts = QueryFacts {
            id: id.clone(),
            reads: vec![query.reads.name.clone()],
            writes: sink.name.clone(),
        };
        let version = self.commit_rows(known, changes).await?;
        known.last_sequence = sequence;
        let spec = QuerySpec {
            id: id.clone(),
            reads: query.reads,
            topology: query.topology,
            start: query_row.query_start(),
            push: None,
            options: query_row.options(),
        };
        if let Err(error) = self.start(spec).await {
            self.close_if_idle().await;
            // It never ran: the catalog forgets it. If that fails too, it starts when the engine opens again.
            let undo = vec![
                SqlChange::Delete {
                    kind: SqlRowKind::Query,
                    name: id,
                },
                SqlChange::Delete {
                    kind: SqlRowKind::Source,
                    name: sink.name,
                },
            ];
            self.backend.catalog.commit(undo).await.map_err(of_catalog)?;
            return Err(error.into());
        }
        known.add(Known::Source(source_row));
        known.add(Known::Query(query_row));
        known.facts.insert(id.clone(), facts);
        let text = format!(
            "{} {} created, written by query {id}.",
            word(sink.kind),
            sink.name
        );
        out.send(Answer::Message {
            text,
            version,
            query: Some(id),
        })
        .await?;
        Ok(out.finish(0).await?)
    }

    /// Makes a topic; one that somebody else made meanwhile with the same number of partitions will do.
    async fn make_topic(
        &self,
        topic: &NewTopic,
        mut config: BTreeMap<String, String>,
    ) -> Result<(), StatementError> {
        let name = topic_name(&topic.name)?;
        if let Some(like) = &topic.like {
            let like = self
                .backend
                .streams
                .topic(&topic_name(like)?)
                .await
                .map_err(of_streams)?;
            let theirs = like.map(|topic| topic.config).unwrap_or_default();
            config.extend(
                theirs
                    .into_iter()
                    .filter(|(key, _)| INHERITED.contains(&key.as_str())),
            );
        }
        if let Some(ms) = topic.retention_ms {
            config.insert("retention.ms".to_owned(), ms.to_string());
        }
        let new = NewStreamTopic {
            name: name.clone(),
            partitions: topic.partitions,
            config,
        };
        match self.backend.streams.create_topic(new).await {
            Ok(_) => Ok(()),
            Err(StreamsError::TopicExists { .. }) => {
                let there = self.backend.streams.topic(&name).await.map_err(of_streams)?;
                match there {
                    Some(there) if there.partitions == topic.partitions => Ok(()),
                    _ => Err(of_streams(StreamsError::TopicExists { topic: name })),
                }
            }
            Err(error) => Err(of_streams(error)),
        }
    }
}

/// As sentences begin with it.
pub(super) fn word(kind: SourceKind) -> &'static str {
    match kind {
        SourceKind::Stream => "Stream",
        SourceKind::Table => "Table",
    }
}
