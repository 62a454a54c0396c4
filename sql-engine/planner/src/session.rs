//! The properties that SET sets: which exist, and what they may be.

use millstream_parser::{Spanned, SqlError, closest};
use std::collections::BTreeMap;

/// Properties and what they may be; an empty list is any text.
const KNOWN: &[(&str, &[&str])] = &[
    ("auto.offset.reset", &["earliest", "latest"]),
    ("cache.max.bytes.buffering", &[]),
    ("commit.interval.ms", &[]),
    ("ksql.query.pull.table.scan.enabled", &["true", "false"]),
    ("max.task.idle.ms", &[]),
    (
        "processing.guarantee",
        &["at_least_once", "exactly_once", "exactly_once_v2"],
    ),
];

/// A session's properties by name, without the `ksql.streams.` that ksqlDB allows before them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionProperties {
    values: BTreeMap<String, String>,
}

impl SessionProperties {
    #[must_use]
    pub fn new() -> SessionProperties {
        SessionProperties::default()
    }

    /// Takes every property of the map as it is; check names and values with [`plan`](crate::plan) of a SET.
    pub fn from_map(values: BTreeMap<String, String>) -> SessionProperties {
        let values = values
            .into_iter()
            .map(|(key, value)| (Self::plain(&key).to_owned(), value))
            .collect();
        SessionProperties { values }
    }

    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.values.insert(Self::plain(key).to_owned(), value.into());
    }

    pub fn unset(&mut self, key: &str) -> Option<String> {
        self.values.remove(Self::plain(key))
    }

    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.values.get(Self::plain(key)).map(String::as_str)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// `auto.offset.reset`: true for earliest; latest unless set.
    #[must_use]
    pub fn reads_from_beginning(&self) -> bool {
        self.get("auto.offset.reset")
            .is_some_and(|value| value.eq_ignore_ascii_case("earliest"))
    }

    /// The name without `ksql.streams.` and the clients' prefixes.
    #[must_use]
    pub fn plain(key: &str) -> &str {
        let key = key.strip_prefix("ksql.streams.").unwrap_or(key);
        key.strip_prefix("consumer.").unwrap_or(key)
    }

    /// Names and allowed values (none listed: any number) of every property.
    pub fn known() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
        KNOWN.iter().copied()
    }

    /// The plain name of a property that SET or UNSET names, its value checked.
    pub(crate) fn check(key: &Spanned<String>, value: Option<&Spanned<String>>) -> Result<String, SqlError> {
        let name = Self::plain(&key.node);
        let Some((name, allowed)) = KNOWN.iter().find(|(known, _)| *known == name) else {
            let mut message = format!("unknown property '{}'", key.node);
            if let Some(closest) = closest(name, KNOWN.iter().map(|(known, _)| *known)) {
                message.push_str(&format!(" (did you mean '{closest}'?)"));
            }
            return Err(SqlError::invalid(key.span, message));
        };
        if let Some(value) = value {
            let fits = if allowed.is_empty() {
                value.node.parse::<u64>().is_ok()
            } else {
                allowed
                    .iter()
                    .any(|allowed| allowed.eq_ignore_ascii_case(&value.node))
            };
            if !fits {
                let wants = if allowed.is_empty() {
                    "a whole number".to_owned()
                } else {
                    allowed.join(" or ")
                };
                return Err(SqlError::invalid(
                    value.span,
                    format!("{name} must be {wants}, not '{}'", value.node),
                ));
            }
        }
        Ok((*name).to_owned())
    }
}
