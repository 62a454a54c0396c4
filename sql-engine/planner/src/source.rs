//! Streams and tables as the catalog knows them.

use millstream_parser::{SourceKind, SqlType};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A named, typed column.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Column {
    pub name: String,
    #[serde(with = "type_text")]
    pub sql_type: SqlType,
}

impl Column {
    pub fn new(name: impl Into<String>, sql_type: SqlType) -> Column {
        Column {
            name: name.into(),
            sql_type,
        }
    }
}

/// How record keys are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum KeyFormat {
    /// No key column; the record's key is not read.
    None,
    /// One primitive, as Kafka's serializers write it (INT, BIGINT, DOUBLE, STRING).
    Kafka,
    /// JSON: one key column is a bare value, several are an object.
    Json,
}

/// How record values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ValueFormat {
    /// A JSON object, one member per value column.
    Json,
}

/// Where a row's time comes from when it is not the record's timestamp.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TimestampColumn {
    /// Index into [`Source::columns`]; a BIGINT (ms) or TIMESTAMP, or a STRING with `format`.
    pub column: usize,
    /// Java's date pattern of a STRING column.
    pub format: Option<String>,
}

/// A stream or a table over a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Source {
    pub name: String,
    #[serde(with = "kind_text")]
    pub kind: SourceKind,
    /// Key columns first, then value columns. ROWTIME, WINDOWSTART and the like are not among them.
    pub columns: Vec<Column>,
    /// How many of `columns` are key columns.
    pub key_count: usize,
    pub topic: String,
    /// The topic's partitions.
    pub partitions: u32,
    pub key_format: KeyFormat,
    pub value_format: ValueFormat,
    pub timestamp: Option<TimestampColumn>,
    /// Set when keys are windowed: the window's size, ms. Then a key is followed by the 8-byte window start.
    pub window_size_ms: Option<i64>,
}

impl Source {
    #[must_use]
    pub fn keys(&self) -> &[Column] {
        &self.columns[..self.key_count.min(self.columns.len())]
    }

    #[must_use]
    pub fn values(&self) -> &[Column] {
        &self.columns[self.key_count.min(self.columns.len())..]
    }

    #[must_use]
    pub fn is_windowed(&self) -> bool {
        self.window_size_ms.is_some()
    }
}

/// Types are stored as text.
mod type_text {
    use super::{Deserialize, Deserializer, Serializer, SqlType};

    pub fn serialize<S: Serializer>(sql_type: &SqlType, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(sql_type)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SqlType, D::Error> {
        String::deserialize(from)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// STREAM or TABLE, as text.
mod kind_text {
    use super::{Deserialize, Deserializer, Serializer, SourceKind};

    pub fn serialize<S: Serializer>(kind: &SourceKind, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(kind)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SourceKind, D::Error> {
        match String::deserialize(from)?.as_str() {
            "STREAM" => Ok(SourceKind::Stream),
            "TABLE" => Ok(SourceKind::Table),
            other => Err(serde::de::Error::custom(format!("a source is no {other}"))),
        }
    }
}
