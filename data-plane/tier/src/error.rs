//! Why the tier could not do what was asked.

use millstream_model::{Fault, Retry};
use millstream_store::Fault as StoreFault;
use std::sync::Arc;
use std::time::Duration;

/// A failed call. Cheap to clone, for one failed load may answer many waiting reads.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TierError {
    /// The object is not there: collected since, or never written. Read the state again (log.md 33).
    #[error("object {name} is not in the store")]
    NotFound {
        /// Its name.
        name: String,
    },
    /// The store did not answer in time, several times over.
    #[error("the object store did not answer within {within:?} to {call} {name}")]
    Timeout {
        /// What was called.
        call: &'static str,
        /// The object's name.
        name: String,
        /// How long each attempt waited.
        within: Duration,
    },
    /// The store answered with an error.
    #[error("the object store refused to {call} {name}: {source}")]
    Store {
        /// What was called.
        call: &'static str,
        /// The object's name.
        name: String,
        /// Its words.
        source: Arc<object_store::Error>,
    },
    /// What was read is not what was written.
    #[error("object {name} is damaged: {what}")]
    Corrupt {
        /// The object's name.
        name: String,
        /// What does not fit.
        what: &'static str,
    },
    /// Larger than an object of its kind may be.
    #[error("object {name} has {bytes} bytes, more than the {bytes_max} allowed")]
    TooLarge {
        /// The object's name.
        name: String,
        /// Its size.
        bytes: u64,
        /// The most allowed.
        bytes_max: u64,
    },
}

impl TierError {
    /// Who is at fault.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NotFound { .. } | Self::Timeout { .. } | Self::Store { .. } | Self::Corrupt { .. } => {
                Fault::Dependency
            }
            Self::TooLarge { .. } => Fault::Us,
        }
    }

    /// What is wrong with the store, as far as this tells.
    pub fn store_fault(&self) -> StoreFault {
        match self {
            Self::Store { source, .. } => StoreFault::of(source),
            Self::NotFound { .. } | Self::Timeout { .. } | Self::Corrupt { .. } | Self::TooLarge { .. } => {
                StoreFault::Failing
            }
        }
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::NotFound { .. } => Retry::AfterRefresh,
            Self::Timeout { .. } => Retry::Later,
            Self::Store { source, .. } if is_final(source) => Retry::Never,
            Self::Store { .. } => Retry::Later,
            Self::Corrupt { .. } | Self::TooLarge { .. } => Retry::Never,
        }
    }
}

/// Whether the store would answer the same again.
pub(crate) fn is_final(error: &object_store::Error) -> bool {
    use object_store::Error;
    matches!(
        error,
        Error::NotFound { .. }
            | Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::UnknownConfigurationKey { .. }
    )
}
