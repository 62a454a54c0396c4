//! The WITH clause: which properties there are, and what they may be.

use crate::canonical::quoted;
use crate::{Column, KeyFormat, TimestampColumn, ValueFormat};
use millstream_functions::java::DatePattern;
use millstream_model::TopicName;
use millstream_model::limits::TOPIC_PARTITIONS_MAX;
use millstream_parser::{Literal, Property, Span, Spanned, SqlError, SqlType, closest};

const KNOWN: &[&str] = &[
    "KAFKA_TOPIC",
    "VALUE_FORMAT",
    "KEY_FORMAT",
    "FORMAT",
    "PARTITIONS",
    "REPLICAS",
    "RETENTION_MS",
    "TIMESTAMP",
    "TIMESTAMP_FORMAT",
    "WINDOW_TYPE",
    "WINDOW_SIZE",
];

const UNSUPPORTED: &[&str] = &[
    "WRAP_SINGLE_VALUE",
    "VALUE_DELIMITER",
    "KEY_DELIMITER",
    "KEY_SCHEMA_ID",
    "VALUE_SCHEMA_ID",
    "VALUE_AVRO_SCHEMA_FULL_NAME",
    "KEY_SCHEMA_FULL_NAME",
    "VALUE_SCHEMA_FULL_NAME",
    "VALUE_PROTOBUF_NULLABLE_REPRESENTATION",
    "KEY_PROTOBUF_NULLABLE_REPRESENTATION",
    "CLEANUP_POLICY",
];

/// A statement's properties, all of known names.
pub struct Properties<'s> {
    given: &'s [Property],
}

impl<'s> Properties<'s> {
    pub fn new(given: &'s [Property]) -> Result<Properties<'s>, SqlError> {
        for property in given {
            let name = property.name.name.as_str();
            if UNSUPPORTED.contains(&name) {
                return Err(SqlError::unsupported(
                    property.name.span,
                    format!("the property {name}"),
                ));
            }
            if !KNOWN.contains(&name) {
                let mut message = format!("unknown property {name}");
                if let Some(closest) = closest(name, KNOWN.iter().copied()) {
                    message.push_str(&format!(" (did you mean {closest}?)"));
                }
                return Err(SqlError::invalid(property.name.span, message));
            }
        }
        Ok(Properties { given })
    }

    fn get(&self, name: &str) -> Option<&'s Spanned<Literal>> {
        self.given
            .iter()
            .find(|property| property.name.name == name)
            .map(|property| &property.value)
    }

    /// Where a property's value stands.
    pub fn span(&self, name: &str) -> Option<Span> {
        self.get(name).map(|value| value.span)
    }

    /// Refuses properties that do not fit the statement.
    pub fn refuse_others(&self, names: &[&str]) -> Result<(), SqlError> {
        match self
            .given
            .iter()
            .find(|property| names.contains(&property.name.name.as_str()))
        {
            None => Ok(()),
            Some(property) => {
                let message = format!(
                    "the property {} does not belong to this statement",
                    property.name.name
                );
                Err(SqlError::invalid(property.name.span, message))
            }
        }
    }

    fn text(&self, name: &str) -> Result<Option<(&'s str, Span)>, SqlError> {
        match self.get(name) {
            None => Ok(None),
            Some(Spanned {
                node: Literal::String(text),
                span,
            }) => Ok(Some((text, *span))),
            Some(other) => Err(SqlError::invalid(
                other.span,
                format!("{name} must be a string in single quotes"),
            )),
        }
    }

    fn count(&self, name: &str, max: u32) -> Result<Option<u32>, SqlError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let count = match &value.node {
            Literal::Int(count) => u32::try_from(*count).ok(),
            Literal::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match count.filter(|count| (1..=max).contains(count)) {
            Some(count) => Ok(Some(count)),
            None => Err(SqlError::invalid(
                value.span,
                format!("{name} must be a whole number from 1 to {max}"),
            )),
        }
    }

    pub fn partitions(&self) -> Result<Option<u32>, SqlError> {
        self.count("PARTITIONS", TOPIC_PARTITIONS_MAX)
    }

    pub fn replicas(&self) -> Result<Option<u32>, SqlError> {
        const REPLICAS_MAX: u32 = 32_767;
        self.count("REPLICAS", REPLICAS_MAX)
    }

    /// How long a new topic keeps records, ms; -1 is for ever.
    pub fn retention_ms(&self) -> Result<Option<i64>, SqlError> {
        let Some(value) = self.get("RETENTION_MS") else {
            return Ok(None);
        };
        let ms = match &value.node {
            Literal::Int(ms) => Some(i64::from(*ms)),
            Literal::BigInt(ms) => Some(*ms),
            Literal::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match ms.filter(|ms| *ms >= -1) {
            Some(ms) => Ok(Some(ms)),
            None => Err(SqlError::invalid(
                value.span,
                "RETENTION_MS must be a whole number of milliseconds, or -1 for no limit",
            )),
        }
    }

    pub fn topic(&self) -> Result<Option<String>, SqlError> {
        let Some((topic, span)) = self.text("KAFKA_TOPIC")? else {
            return Ok(None);
        };
        match topic.parse::<TopicName>() {
            Ok(_) => Ok(Some(topic.to_owned())),
            Err(error) => Err(SqlError::invalid(
                span,
                format!("'{topic}' is no topic name: {error}"),
            )),
        }
    }

    pub fn value_format(&self) -> Result<Option<ValueFormat>, SqlError> {
        for name in ["VALUE_FORMAT", "FORMAT"] {
            let Some((format, span)) = self.text(name)? else {
                continue;
            };
            return match format.to_ascii_uppercase().as_str() {
                "JSON" => Ok(Some(ValueFormat::Json)),
                "AVRO" | "PROTOBUF" | "JSON_SR" | "DELIMITED" | "KAFKA" | "NONE" | "PROTOBUF_NOSR" => Err(
                    SqlError::unsupported(span, format!("the value format {format} (use 'JSON')")),
                ),
                _ => Err(SqlError::invalid(
                    span,
                    format!("unknown format '{format}', expected 'JSON'"),
                )),
            };
        }
        Ok(None)
    }

    pub fn key_format(&self) -> Result<Option<KeyFormat>, SqlError> {
        for name in ["KEY_FORMAT", "FORMAT"] {
            let Some((format, span)) = self.text(name)? else {
                continue;
            };
            return match format.to_ascii_uppercase().as_str() {
                "KAFKA" => Ok(Some(KeyFormat::Kafka)),
                "JSON" => Ok(Some(KeyFormat::Json)),
                "NONE" => Ok(Some(KeyFormat::None)),
                "AVRO" | "PROTOBUF" | "JSON_SR" | "DELIMITED" | "PROTOBUF_NOSR" => Err(
                    SqlError::unsupported(span, format!("the key format {format} (use 'KAFKA' or 'JSON')")),
                ),
                _ => Err(SqlError::invalid(
                    span,
                    format!("unknown format '{format}', expected 'KAFKA' or 'JSON'"),
                )),
            };
        }
        Ok(None)
    }

    /// The timestamp column among `columns`.
    pub fn timestamp(&self, columns: &[Column]) -> Result<Option<TimestampColumn>, SqlError> {
        let format = self.text("TIMESTAMP_FORMAT")?;
        let Some((given, span)) = self.text("TIMESTAMP")? else {
            return match format {
                None => Ok(None),
                Some((_, span)) => Err(SqlError::invalid(
                    span,
                    "TIMESTAMP_FORMAT needs TIMESTAMP, the column",
                )),
            };
        };
        // Names are upper-cased unless backquoted, as everywhere.
        let name = match given.strip_prefix('`').and_then(|name| name.strip_suffix('`')) {
            Some(exact) => exact.to_owned(),
            None => given.to_uppercase(),
        };
        let Some(column) = columns.iter().position(|column| column.name == name) else {
            let mut message = format!("unknown column {name} in TIMESTAMP");
            if let Some(closest) = closest(&name, columns.iter().map(|column| column.name.as_str())) {
                message.push_str(&format!(" (did you mean {}?)", quoted(closest)));
            }
            return Err(SqlError::invalid(span, message));
        };
        match (&columns[column].sql_type, format) {
            (SqlType::BigInt | SqlType::Timestamp, None) => {
                Ok(Some(TimestampColumn { column, format: None }))
            }
            (SqlType::BigInt | SqlType::Timestamp, Some((_, span))) => Err(SqlError::invalid(
                span,
                "TIMESTAMP_FORMAT is for STRING columns only",
            )),
            (SqlType::String, Some((format, span))) => match DatePattern::new(format) {
                Ok(_) => Ok(Some(TimestampColumn {
                    column,
                    format: Some(format.to_owned()),
                })),
                Err(error) => Err(SqlError::invalid(span, error.to_string())),
            },
            (SqlType::String, None) => Err(SqlError::invalid(
                span,
                format!("the STRING column {name} needs a TIMESTAMP_FORMAT"),
            )),
            (other, _) => {
                let message = format!(
                    "TIMESTAMP must be a BIGINT, TIMESTAMP or STRING column, {name} is of type {other}"
                );
                Err(SqlError::invalid(span, message))
            }
        }
    }
}

/// Whether a format can write these keys.
pub fn check_key_format(
    format: KeyFormat,
    keys: &[Column],
    span: Span,
    shown: impl Fn() -> String,
) -> Result<(), SqlError> {
    match (format, keys) {
        (KeyFormat::None, []) | (KeyFormat::Json | KeyFormat::Kafka, []) => Ok(()),
        (KeyFormat::None, [key, ..]) => Err(SqlError::invalid(
            span,
            format!("KEY_FORMAT 'NONE' cannot hold the key column {}", key.name),
        )),
        (KeyFormat::Json, _) => Ok(()),
        (KeyFormat::Kafka, [_, _, ..]) => {
            let message = format!(
                "the KAFKA key format holds one column, not {} ({}); add KEY_FORMAT='JSON' to WITH",
                keys.len(),
                shown()
            );
            Err(SqlError::invalid(span, message))
        }
        (KeyFormat::Kafka, [key]) => match key.sql_type {
            SqlType::Int | SqlType::BigInt | SqlType::Double | SqlType::String => Ok(()),
            _ => {
                let message = format!(
                    "the KAFKA key format does not hold {} ({}); add KEY_FORMAT='JSON' to WITH",
                    key.sql_type, key.name
                );
                Err(SqlError::invalid(span, message))
            }
        },
    }
}
