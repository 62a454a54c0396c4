//! Groups that this disk cannot restore, made whole from their snapshots in the store (log.md 5, 12, 17).

use super::found::Found;
use crate::group::Services;
use crate::kept::Kept;
use crate::recover::skip_to;
use crate::replica::{Recovery, RecoveryError};
use crate::shell::Shell;
use crate::snapshot::{self, FetchError};
use millstream_journal::{ReadError, Record, SubmitError};
use millstream_metadata::{GroupPurpose, GroupRow, SnapshotRef};
use millstream_model::GroupId;
use millstream_model::backoff::{Backoff, Waits};
use millstream_replication::EntryId;
use std::time::Duration;

/// How long a store that does not give a snapshot is left alone.
const INSTALL_WAITS: Waits = Waits::new(Duration::from_secs(1), Duration::from_secs(10));

/// Bytes read of the journal at a time.
const REPLAY_BYTES: usize = 4 * 1024 * 1024;

/// A snapshot that could not be installed.
#[derive(Debug, thiserror::Error)]
enum InstallError {
    #[error("{0}")]
    Fetch(#[from] FetchError),
    #[error("the journal: {0}")]
    Journal(#[from] SubmitError),
    #[error("the snapshot does not fit: {0}")]
    Fit(#[from] RecoveryError),
    #[error("the journal: {0}")]
    Read(#[from] ReadError),
}

impl InstallError {
    /// Whether trying again cannot help.
    fn is_final(&self) -> bool {
        matches!(self, InstallError::Fit(_))
    }
}

/// Installs a group from its snapshot in the store, however long that takes. `None` when that cannot help, or the broker
/// stops.
pub(super) async fn install(shell: &Shell, row: &GroupRow) -> Option<Found> {
    let stored = row.snapshot.as_ref()?;
    tracing::info!(group = %row.id, lsn = %stored.lsn, "is installed from its snapshot in the store");
    let mut backoff = Backoff::new(INSTALL_WAITS);
    loop {
        let error = match shell.services.fetch_group(row, stored).await {
            Ok(found) => return Some(found),
            Err(error) => error,
        };
        if error.is_final() {
            tracing::error!(
                group = %row.id, %error,
                "the group's snapshot in the store does not help; its partitions are not served, an operator must look"
            );
            return None;
        }
        let wait = backoff.next(rand::random());
        tracing::error!(
            group = %row.id, %error, again_in = ?wait,
            "the group's snapshot cannot be had from the store; its partitions are not served"
        );
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shell.stopping.cancelled() => return None,
        }
    }
}

impl Services {
    async fn fetch_group(&self, row: &GroupRow, stored: &SnapshotRef) -> Result<Found, InstallError> {
        let snapshot = snapshot::fetch(&self.tier, row.id, stored).await?;
        let base = EntryId {
            epoch: snapshot.state.applied_epoch(),
            lsn: snapshot.state.applied(),
        };
        let keep = row.purpose == GroupPurpose::Internal;
        let mut recovery = Recovery::new(snapshot.state.clone(), keep).beside(snapshot.unknown);
        self.replay(row.id, &mut recovery)?;
        let recovery = recovery.finish()?;
        skip_to(&self.reader, &self.writer, row.id, base).await?;
        Ok(Found {
            recovery,
            snapshot: Some(snapshot),
            kept: Kept::default(),
        })
    }

    /// What the journal has of a group, behind a snapshot that a restart could not begin with.
    fn replay(&self, group: GroupId, recovery: &mut Recovery) -> Result<(), InstallError> {
        let (Some((_, start)), Some((_, end))) = (self.reader.start(group), self.reader.end(group)) else {
            return Ok(());
        };
        let mut next = start.next();
        while next <= end {
            let entries = self.reader.entries(group, next, REPLAY_BYTES)?;
            let Some(last) = entries.last().map(|entry| entry.header.lsn) else {
                break;
            };
            next = last.next();
            for entry in entries {
                recovery.record(Record::Entry(entry))?;
            }
        }
        Ok(())
    }
}
