//! The properties that SET sets: which exist, and what they may be.

mod commit_token;

pub use commit_token::{CommitToken, CommitTokenError};

use millstream_model::limits::{SQL_COMMIT_INTERVAL_MS_MAX, SQL_COMMIT_INTERVAL_MS_MIN};
use millstream_parser::{Spanned, SqlError, closest};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a property may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allowed {
    /// One of these words.
    Words(&'static [&'static str]),
    /// A whole number from the first to the second.
    Number(u64, u64),
    /// A [`CommitToken`], or nothing.
    Commit,
}

const CACHE: &str = "cache.max.bytes.buffering";
const COMMIT_INTERVAL: &str = "commit.interval.ms";

/// Ours (sql.md 21): pull queries see at least the commits of this token; without one the newest.
const PULL_COMMIT_MIN: &str = "pull.commit.min";

/// The properties that are, each of which does what it says: name, values, and what holds where it is not set.
const KNOWN: &[(&str, Allowed, &str)] = &[
    (
        "auto.offset.reset",
        Allowed::Words(&["earliest", "latest"]),
        "latest",
    ),
    (CACHE, Allowed::Number(0, i64::MAX as u64), "10485760"),
    (
        COMMIT_INTERVAL,
        Allowed::Number(SQL_COMMIT_INTERVAL_MS_MIN, SQL_COMMIT_INTERVAL_MS_MAX),
        "1000",
    ),
    (
        "ksql.query.pull.table.scan.enabled",
        Allowed::Words(&["true", "false"]),
        "true",
    ),
    // Scripts set these to what is so anyway; the rest of their values is refused in [`REFUSED`].
    ("max.task.idle.ms", Allowed::Number(0, i64::MAX as u64), "0"),
    (
        "processing.guarantee",
        Allowed::Words(&["at_least_once", "exactly_once", "exactly_once_v2"]),
        "at_least_once",
    ),
    (PULL_COMMIT_MIN, Allowed::Commit, ""),
];

/// Other names of properties.
const ALIASES: &[(&str, &str)] = &[("statestore.cache.max.bytes", CACHE)];

/// Values that ksqlDB has and that would have no effect here: property, value (none: any but the one that is so), and
/// what is so.
const REFUSED: &[(&str, &str, &str)] = &[
    (
        "processing.guarantee",
        "exactly_once",
        "exactly_once (tables are exact after a crash, records of output topics may repeat until transactions come; \
         at_least_once is what there is)",
    ),
    (
        "max.task.idle.ms",
        "",
        "waiting in max.task.idle.ms (a partition without news is not waited for; only 0 is what there is)",
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

    /// `commit.interval.ms`, if it is set.
    #[must_use]
    pub fn commit_interval(&self) -> Option<Duration> {
        let ms = self.get(COMMIT_INTERVAL)?.trim().parse().ok()?;
        Some(Duration::from_millis(ms))
    }

    /// `cache.max.bytes.buffering`, if it is set: how much of a table's results waits for a commit; 0 writes every
    /// change.
    #[must_use]
    pub fn cache_bytes(&self) -> Option<u64> {
        self.get(CACHE)?.trim().parse().ok()
    }

    /// `pull.commit.min`: the earliest commits that a pull query of a table may see, if it is set.
    ///
    /// # Errors
    /// When the text is no token.
    pub fn pull_commit_min(&self) -> Result<Option<CommitToken>, CommitTokenError> {
        let value = self.get(PULL_COMMIT_MIN).filter(|value| !value.is_empty());
        value.map(CommitToken::read).transpose()
    }

    /// What a query that is made now keeps to for as long as it lives.
    #[must_use]
    pub fn lasting(&self) -> BTreeMap<String, String> {
        let lasts = |(name, value): (&str, &str)| {
            [CACHE, COMMIT_INTERVAL]
                .contains(&name)
                .then(|| (name.to_owned(), value.to_owned()))
        };
        self.iter().filter_map(lasts).collect()
    }

    /// The name without `ksql.streams.` and the clients' prefixes.
    #[must_use]
    pub fn plain(key: &str) -> &str {
        let key = key.strip_prefix("ksql.streams.").unwrap_or(key);
        let key = key.strip_prefix("consumer.").unwrap_or(key);
        let alias = ALIASES.iter().find(|(alias, _)| *alias == key);
        alias.map_or(key, |(_, name)| name)
    }

    /// Names of every property, and what holds where it is not set.
    pub fn known() -> impl Iterator<Item = (&'static str, &'static str)> {
        KNOWN.iter().map(|(name, _, usual)| (*name, *usual))
    }

    /// Whether a client may send this property along.
    ///
    /// # Errors
    /// What is wrong with its name or value.
    pub fn accepts(key: &str, value: &str) -> Result<(), String> {
        let allowed = find(key)?.1;
        fits(key, allowed, value).map_err(|refused| match refused {
            Refused::Invalid(message) => message,
            Refused::Unsupported(what) => format!("not supported yet: {what}"),
        })
    }

    /// The plain name of a property that SET or UNSET names, its value checked.
    pub(crate) fn check(key: &Spanned<String>, value: Option<&Spanned<String>>) -> Result<String, SqlError> {
        let (name, allowed) = find(&key.node).map_err(|message| SqlError::invalid(key.span, message))?;
        if let Some(value) = value {
            fits(&key.node, allowed, &value.node).map_err(|refused| match refused {
                Refused::Invalid(message) => SqlError::invalid(value.span, message),
                Refused::Unsupported(what) => SqlError::unsupported(value.span, what),
            })?;
        }
        Ok(name.to_owned())
    }
}

/// Why a value is refused.
enum Refused {
    Invalid(String),
    Unsupported(&'static str),
}

fn find(key: &str) -> Result<(&'static str, Allowed), String> {
    let name = SessionProperties::plain(key);
    if let Some((name, allowed, _)) = KNOWN.iter().find(|(known, _, _)| *known == name) {
        return Ok((name, *allowed));
    }
    let mut message = format!("unknown property '{key}'");
    if let Some(closest) = closest(name, KNOWN.iter().map(|(known, _, _)| *known)) {
        message.push_str(&format!(" (did you mean '{closest}'?)"));
    }
    Err(message)
}

fn fits(key: &str, allowed: Allowed, value: &str) -> Result<(), Refused> {
    let name = SessionProperties::plain(key);
    let (fits, wants) = match allowed {
        Allowed::Words(words) => (
            words.iter().any(|word| word.eq_ignore_ascii_case(value)),
            words.join(" or "),
        ),
        Allowed::Number(from, to) => (
            value
                .trim()
                .parse()
                .is_ok_and(|number: u64| (from..=to).contains(&number)),
            if to == i64::MAX as u64 {
                "a whole number".to_owned()
            } else {
                format!("a whole number from {from} to {to}")
            },
        ),
        Allowed::Commit => {
            let token = if value.is_empty() {
                Ok(())
            } else {
                CommitToken::read(value).map(|_| ())
            };
            return token.map_err(|error| Refused::Invalid(format!("{name}: {error}")));
        }
    };
    if !fits {
        return Err(Refused::Invalid(format!("{name} must be {wants}, not '{value}'")));
    }
    let is_refused = |(property, refused, _): &&(&str, &str, &str)| {
        *property == name
            && match *refused {
                "" => value.trim() != "0",
                word => value.to_ascii_lowercase().starts_with(word),
            }
    };
    match REFUSED.iter().find(is_refused) {
        Some((_, _, what)) => Err(Refused::Unsupported(what)),
        None => Ok(()),
    }
}
