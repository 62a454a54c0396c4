//! Why a broker cannot start.

use crate::mend::MendError;
use millstream_journal::{LockError, OpenError, SubmitError};
use millstream_metadata::Refusal;

/// A broker that cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The journal's folder cannot be used.
    #[error(transparent)]
    Folder(#[from] LockError),
    /// The journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] OpenError),
    /// The folder of local snapshots cannot be read, or a thread cannot be started.
    #[error("cannot read the data folder: {0}")]
    Io(#[from] std::io::Error),
    /// The controller refuses this node for good.
    #[error("the controller refuses this node: {0}")]
    Refused(#[from] Refusal),
    /// The damaged journal cannot go on.
    #[error("the journal cannot go on behind its damage: {0}")]
    Damaged(#[from] MendError),
    /// The number of this start cannot be kept.
    #[error("the journal cannot keep this start's registration: {0}")]
    Register(#[from] SubmitError),
    /// The controller cannot be reached, and this node was never part of the cluster.
    #[error("this node has not been part of the cluster yet: its first start needs the object store")]
    NeverRegistered,
    /// A bug.
    #[error("{0}")]
    Unexpected(&'static str),
}
