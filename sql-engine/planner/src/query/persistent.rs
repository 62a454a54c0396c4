//! CREATE STREAM and CREATE TABLE AS SELECT: a query that writes a source.

use super::stream::{key_text, projected, select, window_bounds};
use super::{RESERVED_COLUMNS, analyse};
use crate::canonical::quoted;
use crate::properties::{Properties, check_key_format};
use crate::{Column, CreateQueryPlan, Metastore, NamedExpr, NewTopic, NodeKind, QueryPlan, RowKind, Source};
use crate::{KeyFormat, TimestampColumn};
use millstream_parser::{Ident, IfTaken, Query, SourceKind, SqlError};
use std::sync::Arc;

/// What the statement says beside its query.
pub struct CreateAs<'s> {
    pub kind: SourceKind,
    pub name: &'s Ident,
    pub if_taken: IfTaken,
    pub properties: &'s [millstream_parser::Property],
    pub query: &'s Query,
}

pub fn create_as(statement: &CreateAs, metastore: &Metastore) -> Result<CreateQueryPlan, SqlError> {
    let CreateAs {
        kind,
        name,
        if_taken,
        query,
        ..
    } = *statement;
    let properties = Properties::new(statement.properties)?;
    if let Some(limit) = &query.limit {
        return Err(SqlError::invalid(
            limit.span,
            "a query that runs for ever cannot have a LIMIT",
        ));
    }
    let analysis = analyse(query, metastore, false)?;
    let source = Arc::clone(&analysis.source);
    if source.is_windowed() {
        return Err(SqlError::unsupported(
            query.from.name.span,
            "persistent queries over a windowed source",
        ));
    }
    let mut selected = select(&analysis)?;
    let makes = if selected.input.kind == RowKind::Table {
        SourceKind::Table
    } else {
        SourceKind::Stream
    };
    if makes != kind {
        let message =
            format!("the query makes a {makes}, not a {kind}; write CREATE {makes} {name} AS SELECT …");
        return Err(SqlError::invalid(name.span, message));
    }
    for item in &analysis.items {
        if RESERVED_COLUMNS.contains(&item.name.as_str()) {
            let message = format!(
                "{} is a reserved name; give the column another with AS",
                item.name
            );
            return Err(SqlError::invalid(item.span, message));
        }
    }
    let mut columns = Vec::new();
    for (at, key) in selected.keys.into_iter().enumerate() {
        let first = selected
            .items
            .iter_mut()
            .find(|(_, selects)| *selects == Some(at));
        let Some(first) = first else {
            let what = if query.group_by.is_empty() {
                "key column"
            } else {
                "GROUP BY expression"
            };
            let message = format!(
                "the {what} {} must be selected too: it is the key of {name}",
                key.expr.text()
            );
            return Err(SqlError::invalid(query.select_span, message));
        };
        // The first item that selects the key is the key; a second one is a value.
        first.1 = Some(usize::MAX);
        columns.push(NamedExpr {
            name: first.0.name.clone(),
            expr: key.expr,
        });
    }
    let key_count = columns.len();
    let windowed = selected.input.windowed;
    columns.extend(window_bounds(&selected.input));
    let values = selected
        .items
        .into_iter()
        .filter(|(_, selects)| *selects != Some(usize::MAX));
    columns.extend(values.map(|(item, _)| item));
    if columns.len() == key_count + if windowed { 2 } else { 0 } {
        let message = format!("{name} would have key columns only; select a value too");
        return Err(SqlError::invalid(query.select_span, message));
    }
    let schema = projected(&columns, key_count, windowed, selected.input.kind);
    let stored: Vec<Column> = schema.keys().iter().chain(schema.values()).cloned().collect();
    let key_format = match (properties.key_format()?, source.key_format) {
        (Some(given), _) => given,
        (None, _) if key_count == 0 => KeyFormat::None,
        (None, KeyFormat::None) => KeyFormat::Kafka,
        (None, of_source) => of_source,
    };
    let span = query.group_span.or(query.partition_span).unwrap_or(name.span);
    check_key_format(
        key_format,
        &stored[..key_count],
        properties.span("KEY_FORMAT").unwrap_or(span),
        || {
            key_text(if query.group_by.is_empty() {
                &query.partition_by
            } else {
                &query.group_by
            })
        },
    )?;
    let (topic, partitions, new_topic) = sink_topic(&properties, name, &source, metastore)?;
    let sink = Arc::new(Source {
        name: name.name.clone(),
        kind,
        timestamp: timestamp(&properties, &stored)?,
        columns: stored,
        key_count,
        topic,
        partitions,
        key_format,
        value_format: properties.value_format()?.unwrap_or(source.value_format),
        window_size_ms: selected.window.map(|window| window.size_ms),
    });
    properties.refuse_others(&["WINDOW_TYPE", "WINDOW_SIZE"])?;
    selected
        .builder
        .add(NodeKind::Project { columns }, schema.clone());
    selected.builder.add(
        NodeKind::Sink {
            sink: Arc::clone(&sink),
        },
        schema,
    );
    let prefix = if kind == SourceKind::Stream {
        "CSAS"
    } else {
        "CTAS"
    };
    let id_prefix = format!("{prefix}_{}", name.name);
    let query = QueryPlan {
        id_prefix,
        reads: source,
        sink,
        topology: selected.builder.finish(),
    };
    Ok(CreateQueryPlan {
        query,
        if_taken,
        new_topic,
    })
}

fn timestamp(properties: &Properties, columns: &[Column]) -> Result<Option<TimestampColumn>, SqlError> {
    properties.timestamp(columns)
}

/// The topic to write, how many partitions it has, and the one to make when it does not exist.
fn sink_topic(
    properties: &Properties,
    name: &Ident,
    source: &Source,
    metastore: &Metastore,
) -> Result<(String, u32, Option<NewTopic>), SqlError> {
    let topic = properties.topic()?.unwrap_or_else(|| name.name.clone());
    let asked = properties.partitions()?;
    if topic == source.topic {
        let span = properties.span("KAFKA_TOPIC").unwrap_or(name.span);
        let message = format!(
            "{} cannot be written to the topic it is read from",
            quoted(&name.name)
        );
        return Err(SqlError::invalid(span, message));
    }
    if let Some(exists) = metastore.topic_partitions(&topic) {
        if let Some(wanted) = asked.filter(|wanted| *wanted != exists) {
            let span = properties.span("PARTITIONS").unwrap_or(name.span);
            let message = format!("the topic {topic} exists with {exists} partitions, not {wanted}");
            return Err(SqlError::invalid(span, message));
        }
        return Ok((topic, exists, None));
    }
    let partitions = asked.unwrap_or(source.partitions);
    let new = NewTopic {
        name: topic.clone(),
        partitions,
        replicas: properties.replicas()?,
        retention_ms: properties.retention_ms()?,
        like: Some(source.topic.clone()),
    };
    Ok((topic, partitions, Some(new)))
}
