//! The properties that SET sets: which exist, and what they may be.

use std::collections::BTreeMap;

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
}
