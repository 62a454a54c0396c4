//! CREATE STREAM and CREATE TABLE AS SELECT: a query that writes a source.

use super::stream::{Selected, key_text, projected, select, window_bounds};
use super::{Item, RESERVED_COLUMNS, analyse};
use crate::canonical::quoted;
use crate::properties::{Properties, check_key_format};
use crate::{
    Column, CreateQueryPlan, KeyFormat, Metastore, NamedExpr, NewTopic, NodeKind, QueryPlan, RowKind, Source,
};
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
    refuse_other_kind(kind, selected.input.kind, name)?;
    refuse_reserved(&analysis.items)?;
    let columns = sink_columns(&mut selected, name, query)?;
    let key_count = selected.keys.len();
    let schema = projected(&columns, key_count, selected.input.windowed, selected.input.kind);
    let stored: Vec<Column> = schema.keys().iter().chain(schema.values()).cloned().collect();
    let key_format = sink_key_format(&properties, &source, &stored[..key_count], name, query)?;
    let (topic, partitions, new_topic) = sink_topic(&properties, name, &source, metastore)?;
    let sink = Arc::new(Source {
        name: name.name.clone(),
        kind,
        timestamp: properties.timestamp(&stored)?,
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

/// The sink's columns: its keys, the window's bounds, then its values.
fn sink_columns(selected: &mut Selected, name: &Ident, query: &Query) -> Result<Vec<NamedExpr>, SqlError> {
    let mut columns = Vec::new();
    for (at, key) in selected.keys.iter().enumerate() {
        let selects = |(_, selects): &&mut (NamedExpr, Option<usize>)| *selects == Some(at);
        let Some(first) = selected.items.iter_mut().find(selects) else {
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
            expr: key.expr.clone(),
        });
    }
    columns.extend(window_bounds(&selected.input));
    let values_from = columns.len();
    let is_value = |(_, selects): &(NamedExpr, Option<usize>)| *selects != Some(usize::MAX);
    let items = std::mem::take(&mut selected.items);
    columns.extend(items.into_iter().filter(is_value).map(|(item, _)| item));
    if columns.len() == values_from {
        let message = format!("{name} would have key columns only; select a value too");
        return Err(SqlError::invalid(query.select_span, message));
    }
    Ok(columns)
}

/// The key format that is asked for, else the source's; one that can hold the keys.
fn sink_key_format(
    properties: &Properties,
    source: &Source,
    keys: &[Column],
    name: &Ident,
    query: &Query,
) -> Result<KeyFormat, SqlError> {
    let format = match (properties.key_format()?, source.key_format) {
        (Some(given), _) => given,
        (None, _) if keys.is_empty() => KeyFormat::None,
        (None, KeyFormat::None) => KeyFormat::Kafka,
        (None, of_source) => of_source,
    };
    let by = if query.group_by.is_empty() {
        &query.partition_by
    } else {
        &query.group_by
    };
    let span = query.group_span.or(query.partition_span).unwrap_or(name.span);
    let span = properties.span("KEY_FORMAT").unwrap_or(span);
    check_key_format(format, keys, span, || key_text(by))?;
    Ok(format)
}

/// A query over groups makes a table, any other a stream.
fn refuse_other_kind(kind: SourceKind, rows: RowKind, name: &Ident) -> Result<(), SqlError> {
    let makes = match rows {
        RowKind::Table => SourceKind::Table,
        RowKind::Stream => SourceKind::Stream,
    };
    if makes == kind {
        return Ok(());
    }
    let message = format!("the query makes a {makes}, not a {kind}; write CREATE {makes} {name} AS SELECT …");
    Err(SqlError::invalid(name.span, message))
}

/// Names that a sink's columns cannot have.
fn refuse_reserved(items: &[Item]) -> Result<(), SqlError> {
    match items
        .iter()
        .find(|item| RESERVED_COLUMNS.contains(&item.name.as_str()))
    {
        None => Ok(()),
        Some(item) => {
            let message = format!(
                "{} is a reserved name; give the column another with AS",
                item.name
            );
            Err(SqlError::invalid(item.span, message))
        }
    }
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
