//! CREATE STREAM and CREATE TABLE over a topic.

use crate::canonical::quoted;
use crate::properties::{Properties, check_key_format};
use crate::query::RESERVED_COLUMNS;
use crate::{Column, CreateSourcePlan, KeyFormat, Metastore, NewTopic, Source};
use millstream_parser::{ColumnDef, ColumnRole, Ident, IfTaken, Property, SourceKind, SqlError};

/// What the statement says before WITH.
pub(super) struct Create<'s> {
    pub(super) kind: SourceKind,
    pub(super) name: &'s Ident,
    pub(super) if_taken: IfTaken,
    pub(super) columns: &'s [ColumnDef],
}

pub(super) fn plan(
    create: &Create,
    given: &[Property],
    metastore: &Metastore,
) -> Result<CreateSourcePlan, SqlError> {
    let name = create.name;
    let properties = Properties::new(given)?;
    refuse_unsupported(create, &properties)?;
    let (keys, values) = roles(create)?;
    let column = |def: &&ColumnDef| Column::new(def.name.name.clone(), def.sql_type.clone());
    let columns: Vec<Column> = keys.iter().chain(&values).map(column).collect();
    let key_format = key_format(name, &keys, &columns[..keys.len()], &properties)?;
    let Some(value_format) = properties.value_format()? else {
        return Err(SqlError::invalid(name.span, "WITH needs VALUE_FORMAT='JSON'"));
    };
    let Some(topic) = properties.topic()? else {
        let message = "WITH needs KAFKA_TOPIC, the topic to read";
        return Err(SqlError::invalid(name.span, message));
    };
    let (partitions, new_topic) = source_topic(&properties, &topic, metastore)?;
    let source = Source {
        name: name.name.clone(),
        kind: create.kind,
        timestamp: properties.timestamp(&columns)?,
        columns,
        key_count: keys.len(),
        topic,
        partitions,
        key_format,
        value_format,
        window_size_ms: None,
    };
    let replaces = metastore.source(&name.name).cloned();
    if let Some(old) = &replaces {
        check_replacement(name, old, &source, metastore)?;
    }
    Ok(CreateSourcePlan {
        source,
        if_taken: create.if_taken,
        replaces,
        new_topic,
    })
}

fn refuse_unsupported(create: &Create, properties: &Properties) -> Result<(), SqlError> {
    if let Some(span) = properties.span("WINDOW_TYPE").or(properties.span("WINDOW_SIZE")) {
        let what = "sources over windowed topics of others";
        return Err(SqlError::unsupported(span, what));
    }
    if create.columns.is_empty() {
        let what = "columns from a schema registry; write the columns";
        return Err(SqlError::unsupported(create.name.span, what));
    }
    Ok(())
}

/// The columns by what they are: keys, then values.
fn roles<'s>(create: &Create<'s>) -> Result<(Vec<&'s ColumnDef>, Vec<&'s ColumnDef>), SqlError> {
    let is_reserved = |column: &&ColumnDef| RESERVED_COLUMNS.contains(&column.name.name.as_str());
    if let Some(reserved) = create.columns.iter().find(is_reserved) {
        let message = format!("{} is a reserved name for a column", reserved.name);
        return Err(SqlError::invalid(reserved.name.span, message));
    }
    let is_key = |column: &&ColumnDef| column.role != ColumnRole::Value;
    let (keys, values): (Vec<_>, Vec<_>) = create.columns.iter().partition(is_key);
    let name = create.name;
    if create.kind == SourceKind::Table && keys.is_empty() {
        let message = format!("the table {name} needs a PRIMARY KEY column");
        return Err(SqlError::invalid(name.span, message));
    }
    if values.is_empty() {
        let message = format!("{name} needs at least one column that is no key");
        return Err(SqlError::invalid(name.span, message));
    }
    Ok((keys, values))
}

fn key_format(
    name: &Ident,
    keys: &[&ColumnDef],
    columns: &[Column],
    properties: &Properties,
) -> Result<KeyFormat, SqlError> {
    let format = match properties.key_format()? {
        Some(format) => format,
        None if keys.is_empty() => KeyFormat::None,
        None => KeyFormat::Kafka,
    };
    // The second is the one too many, where the format takes one.
    let told = keys.get(1).or(keys.first());
    let span = told.map_or(name.span, |key| key.role_span);
    let shown = || {
        let names: Vec<String> = keys.iter().map(|key| key.name.to_string()).collect();
        names.join(", ")
    };
    check_key_format(format, columns, span, shown)?;
    Ok(format)
}

/// What queries read may grow by columns at its end; anything else would change what they were made from.
fn check_replacement(
    name: &Ident,
    old: &Source,
    new: &Source,
    metastore: &Metastore,
) -> Result<(), SqlError> {
    let Some(reader) = metastore.queries().find(|query| query.reads.contains(&old.name)) else {
        return Ok(());
    };
    let timestamp = |source: &Source| {
        let column = source.timestamp.as_ref()?;
        Some((source.columns[column.column].name.clone(), column.format.clone()))
    };
    let other = if old.topic != new.topic || old.partitions != new.partitions {
        Some("its topic".to_owned())
    } else if (old.key_format, old.value_format) != (new.key_format, new.value_format) {
        Some("its formats".to_owned())
    } else if timestamp(old) != timestamp(new) {
        Some("its TIMESTAMP".to_owned())
    } else if old.keys() != new.keys() {
        Some("its key".to_owned())
    } else {
        let kept = old
            .values()
            .iter()
            .zip(new.values().iter().map(Some).chain(std::iter::repeat(None)));
        let changed = kept.into_iter().find(|(old, new)| Some(*old) != *new);
        changed.map(|(column, _)| format!("the column {} {}", quoted(&column.name), column.sql_type))
    };
    match other {
        None => Ok(()),
        Some(what) => {
            let message = format!(
                "{name} is read by {}: a replacement must keep {what} and may only add columns at the end",
                reader.id
            );
            Err(SqlError::invalid(name.span, message))
        }
    }
}

fn source_topic(
    properties: &Properties,
    topic: &str,
    metastore: &Metastore,
) -> Result<(u32, Option<NewTopic>), SqlError> {
    let asked = properties.partitions()?;
    let span = |name| properties.span(name).unwrap_or(millstream_parser::Span::START);
    match (metastore.topic_partitions(topic), asked) {
        (Some(exists), Some(wanted)) if exists != wanted => {
            let message = format!("the topic {topic} exists with {exists} partitions, not {wanted}");
            Err(SqlError::invalid(span("PARTITIONS"), message))
        }
        (Some(exists), _) => Ok((exists, None)),
        (None, Some(partitions)) => {
            let replicas = properties.replicas()?;
            let new = NewTopic {
                name: topic.to_owned(),
                partitions,
                replicas,
                retention_ms: properties.retention_ms()?,
                like: None,
            };
            Ok((partitions, Some(new)))
        }
        (None, None) => {
            let message = format!("the topic {topic} does not exist; add PARTITIONS to WITH to make it");
            Err(SqlError::invalid(span("KAFKA_TOPIC"), message))
        }
    }
}
