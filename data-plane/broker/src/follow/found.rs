//! What this disk, or the store, has of a group that is not served yet.

use crate::kept::Kept;
use crate::replica::Recovery;
use crate::snapshot::Snapshot;
use millstream_model::GroupId;
use millstream_partition::GroupState;

/// What a restart found of a group.
pub(crate) struct Found {
    pub(crate) recovery: Recovery,
    /// The snapshot that it begins with.
    pub(crate) snapshot: Option<Snapshot>,
    /// Where the journal has its batches.
    pub(crate) kept: Kept,
}

impl Found {
    /// Of a group that this disk never had anything of; the payloads of an internal one are kept.
    pub(super) fn nothing(group: GroupId, is_internal: bool) -> Found {
        Found {
            recovery: Recovery::new(GroupState::new(group), is_internal),
            snapshot: None,
            kept: Kept::default(),
        }
    }
}
