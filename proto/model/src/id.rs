//! Identifiers and positions as newtypes: what they count is in the type, so they cannot be swapped.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A replica group: the unit of replication, one log shared by many partitions.
    GroupId(u32)
);
number!(
    /// A replica group's leadership number. Raised by the controller at every change of leader.
    Epoch(u32)
);
number!(
    /// A position in a replica group's log; the first entry has LSN 1, 0 means "before the first".
    Lsn(u64)
);
number!(
    /// A record's offset in its partition, as Kafka counts it.
    Offset(i64)
);
number!(
    /// The leader epoch of a partition as Kafka clients see it: the partition's base + its group's epoch (log.md 26).
    LeaderEpoch(i32)
);
number!(
    /// A partition's index in its topic, from 0.
    PartitionIndex(u32)
);
number!(
    /// A broker process as Kafka clients see it (`broker.id`).
    NodeId(i32)
);
number!(
    /// The number that a process start of a journal got when it registered (log.md 13).
    Registration(u64)
);
number!(
    /// An idempotent or transactional producer. -1 in a batch means "none".
    ProducerId(i64)
);
number!(
    /// The producer's epoch. -1 in a batch means "none".
    ProducerEpoch(i16)
);
number!(
    /// Which owner of a partition may write to it, where one alone may: raised each time that one takes over.
    OwnerEpoch(u64)
);
number!(
    /// A virtual cluster, the unit of tenancy: its 12-digit account id. 0 is the system tenant.
    TenantId(u64)
);

impl TenantId {
    /// Owns internal topics; no key can be issued for it.
    pub const SYSTEM: TenantId = TenantId(0);

    /// The account id as AWS clients write it: 12 decimal digits.
    pub fn account(self) -> String {
        format!("{:012}", self.0)
    }
}

impl Lsn {
    /// Before the first entry.
    pub const ZERO: Lsn = Lsn(0);

    /// The LSN of the entry after this one.
    pub fn next(self) -> Lsn {
        Lsn(self.0 + 1)
    }
}

impl Offset {
    /// `self + count`, saturating, for offsets that a client sent.
    pub fn plus(self, count: i64) -> Offset {
        Offset(self.0.saturating_add(count))
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A fresh random id.
            #[expect(clippy::disallowed_methods, reason = "shells draw their ids here")]
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }

            /// From its stored form.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Its stored form.
            pub fn to_bytes(self) -> [u8; 16] {
                self.0.into_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.simple().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id!(
    /// A topic, for ever: a topic made again under the same name has another id.
    TopicId
);
uuid_id!(
    /// A journal, hence a replica's identity: random, in the journal's superblock (log.md 12).
    JournalId
);

/// One partition of one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId {
    /// The topic it belongs to.
    pub topic: TopicId,
    /// Its index there.
    pub index: PartitionIndex,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}

/// An API key's public half: 20 characters of `[A-Z2-7]`, so that it also serves as an AWS access key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; KeyId::LENGTH]);

impl KeyId {
    /// Characters in a key id.
    pub const LENGTH: usize = 20;
    const ALPHABET: &'static [u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

    /// The key id "nobody": what entries of the service itself carry.
    pub const NONE: KeyId = KeyId([b'A'; KeyId::LENGTH]);

    /// From randomness: every byte picks one character.
    pub fn from_random(bytes: [u8; KeyId::LENGTH]) -> KeyId {
        KeyId(bytes.map(|byte| Self::ALPHABET[usize::from(byte & 31)]))
    }

    /// Its 20 characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Its stored form.
    pub fn as_bytes(&self) -> &[u8; KeyId::LENGTH] {
        &self.0
    }
}

/// A text that is not a key id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a key id has 20 characters of A-Z and 2-7")]
pub struct KeyIdError;

impl FromStr for KeyId {
    type Err = KeyIdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes: [u8; Self::LENGTH] = text.as_bytes().try_into().map_err(|_| KeyIdError)?;
        if bytes.iter().all(|byte| Self::ALPHABET.contains(byte)) {
            Ok(KeyId(bytes))
        } else {
            Err(KeyIdError)
        }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for KeyId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
