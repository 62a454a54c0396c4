//! The names that tenants choose, checked once where they enter.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A text that cannot be a name, with the reason in words for the one who sent it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing was given.
    #[error("a {kind} name must not be empty")]
    Empty {
        /// What was to be named.
        kind: &'static str,
    },
    /// Longer than allowed.
    #[error("a {kind} name has at most {max} characters, this one has {length}")]
    TooLong {
        /// What was to be named.
        kind: &'static str,
        /// Its length.
        length: usize,
        /// The most allowed.
        max: usize,
    },
    /// A character or a whole name that is not allowed.
    #[error("a {kind} name may contain letters, digits, '.', '_' and '-' and must not be '.' or '..'")]
    Illegal {
        /// What was to be named.
        kind: &'static str,
    },
}

/// A topic's name within its tenant: Kafka's rules (1-249 of `[a-zA-Z0-9._-]`, not `.` or `..`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicName(String);

impl TopicName {
    /// Kafka's limit.
    pub const LENGTH_MAX: usize = 249;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TopicName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        const KIND: &str = "topic";
        check_length(text, KIND, Self::LENGTH_MAX)?;
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if text == "." || text == ".." || !text.bytes().all(legal) {
            return Err(NameError::Illegal { kind: KIND });
        }
        Ok(TopicName(text.to_owned()))
    }
}

/// A consumer group's id within its tenant: any text of at most 255 bytes, possibly empty only where Kafka allows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConsumerGroupName(String);

impl ConsumerGroupName {
    /// Bytes in a group id; Kafka has no limit of its own, 255 is what its tools assume.
    pub const LENGTH_MAX: usize = 255;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ConsumerGroupName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        check_length(text, "consumer group", Self::LENGTH_MAX)?;
        Ok(ConsumerGroupName(text.to_owned()))
    }
}

fn check_length(text: &str, kind: &'static str, max: usize) -> Result<(), NameError> {
    match text.len() {
        0 => Err(NameError::Empty { kind }),
        length if length > max => Err(NameError::TooLong { kind, length, max }),
        _ => Ok(()),
    }
}

macro_rules! text_name {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

text_name!(TopicName);
text_name!(ConsumerGroupName);
