//! Ids that only the catalog gives out.

use crate::kind::{StoredKey, take};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

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

        impl StoredKey for $name {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(self.0.as_bytes());
            }

            fn take(bytes: &mut &[u8]) -> Option<$name> {
                take(bytes).map(Uuid::from_bytes).map($name)
            }
        }
    };
}

uuid_id!(
    /// A customer: owns environments and pays.
    OrganisationId
);
uuid_id!(
    /// A named part of an organisation (production, staging) that holds virtual clusters.
    EnvironmentId
);
