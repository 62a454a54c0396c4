//! Giving an idempotent producer its id.

use millstream_model::{Fault, ProducerEpoch, ProducerId, Retry};

/// A producer that asks for an id, or for a new epoch of the one it has.
#[derive(Clone, Debug, Default)]
pub struct InitProducer {
    /// Set by transactional producers.
    pub transactional_id: Option<String>,
    /// The id and epoch that it has.
    pub current: Option<(ProducerId, ProducerEpoch)>,
}

/// Why no id was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InitProducerError {
    /// This release serves idempotent producers only.
    #[error("transactions are not served")]
    NoTransactions,
    /// The caller's key may not write anywhere.
    #[error("this key may not write")]
    Denied,
    /// No block of ids could be had; the controller may be away.
    #[error("no producer ids are available now")]
    Unavailable,
}

impl InitProducerError {
    /// Who is at fault.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NoTransactions | Self::Denied => Fault::Caller,
            Self::Unavailable => Fault::Dependency,
        }
    }

    /// Whether asking again can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::NoTransactions | Self::Denied => Retry::Never,
            Self::Unavailable => Retry::Later,
        }
    }
}
