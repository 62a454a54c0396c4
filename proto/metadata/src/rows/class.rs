//! How many replicas, and how many must have a write.

use serde::{Deserialize, Serialize};

/// How many replicas a group has and how many must have a write before it commits (log.md 17).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Class {
    /// Replicas.
    pub replicas: u8,
    /// The ISR never shrinks below this.
    pub minimum: u8,
}

impl Class {
    /// One replica.
    pub const ONE: Class = Class {
        replicas: 1,
        minimum: 1,
    };
    /// Two replicas, one suffices.
    pub const TWO: Class = Class {
        replicas: 2,
        minimum: 1,
    };
    /// Three replicas, two suffice.
    pub const THREE: Class = Class {
        replicas: 3,
        minimum: 2,
    };

    /// The class with so many replicas.
    pub fn of_replicas(replicas: i16) -> Option<Class> {
        match replicas {
            1 => Some(Class::ONE),
            2 => Some(Class::TWO),
            3 => Some(Class::THREE),
            _ => None,
        }
    }
}
