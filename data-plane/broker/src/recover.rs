//! Groups that this disk cannot restore: those of lost journals, taken over when the operator says so, and those
//! whose snapshot in the store is newer than all that is here, installed from it (log.md 5, 12, 17).

use crate::follow::{Following, Found};
use crate::group::{Disk, Services};
use crate::kept::Kept;
use crate::replica::Recovery;
use crate::settings::Settings;
use crate::shell::Shell;
use crate::snapshot::{self, FetchError};
use crate::start::StartError;
use millstream_journal::{Append, ReadError, Reader, Record, SubmitError, Writer};
use millstream_metadata::{
    Actor, Commands, GroupPurpose, GroupRow, Image, RecoverGroups, RecoveredGroup, SnapshotRef,
};
use millstream_model::{GroupId, JournalId, Lsn, Retry, TenantId};
use millstream_replication::EntryId;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often groups of nodes that may still live are asked for.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How long a store that does not give a snapshot is left alone.
const INSTALL_AGAIN_AFTER: Duration = Duration::from_secs(5);

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
    Fit(#[from] crate::replica::RecoveryError),
    #[error("the journal: {0}")]
    Read(#[from] ReadError),
}

impl InstallError {
    /// Whether trying again cannot help.
    fn is_final(&self) -> bool {
        matches!(self, InstallError::Fit(_))
    }
}

/// Takes over the groups of all journals that are gone; gives what was taken over, and the catalog's version then.
///
/// # Errors
/// When the controller refuses for good.
pub(crate) async fn take_over(
    settings: &Settings,
    commands: &dyn Commands,
    journal: JournalId,
) -> Result<(Vec<RecoveredGroup>, u64), StartError> {
    let until = Instant::now() + settings.recover_wait;
    let (mut recovered, mut told) = (Vec::new(), Vec::new());
    loop {
        match commands.submit(Actor::System, RecoverGroups { journal }).await {
            Ok(committed) => {
                let reply = committed.reply;
                for group in &reply.groups {
                    tracing::warn!("{group}");
                }
                recovered.extend(reply.groups);
                if reply.alive.is_empty() {
                    return Ok((recovered, committed.version));
                }
                if Instant::now() >= until {
                    tracing::warn!(journals = ?reply.alive, "nodes that live keep their groups");
                    return Ok((recovered, committed.version));
                }
                if told != reply.alive {
                    tracing::info!(
                        journals = ?reply.alive, at_most = ?settings.recover_wait,
                        "waits until these nodes answer or their sessions end"
                    );
                    told = reply.alive;
                }
            }
            Err(refusal) if refusal.retry() == Retry::Never => return Err(refusal.into()),
            Err(refusal) => tracing::warn!(%refusal, "cannot take groups over yet"),
        }
        tokio::time::sleep(ASK_AGAIN_AFTER).await;
    }
}

/// A log that begins behind the journal's end of the group: the journal must know, or it would refuse what follows.
pub(crate) async fn skip_to(
    reader: &Reader<Disk>,
    writer: &Writer,
    group: GroupId,
    base: EntryId,
) -> Result<(), SubmitError> {
    let behind = reader.end(group).is_some_and(|(_, end)| end < base.lsn);
    if !behind || reader.damage().is_some() {
        return Ok(());
    }
    let released = Record::Released {
        group,
        epoch: base.epoch,
        lsn: base.lsn,
    };
    writer
        .append(Append {
            tenant: TenantId::SYSTEM,
            records: vec![released.into()],
        })
        .await
        .map(drop)
}

impl Shell {
    /// Installs a group from its snapshot in the store, however long that takes; then it is taken up. Not before this
    /// start has its number: until then nothing is written.
    pub(crate) fn install(self: &Arc<Shell>, row: &GroupRow, following: &mut Following) {
        let may = self.services.registration.get().is_some();
        let Some(stored) = row
            .snapshot
            .filter(|_| may && following.installing.insert(row.id))
        else {
            return;
        };
        tracing::info!(group = %row.id, lsn = %stored.lsn, "is installed from its snapshot in the store");
        let (shell, row, arrived) = (Arc::clone(self), row.clone(), following.arrivals.clone());
        self.spawn_with_store(async move {
            loop {
                match shell.services.fetch_group(&row, &stored).await {
                    Ok(found) => {
                        // Nobody follows the catalog any more when the broker stops.
                        let _ = arrived.send((row.id, found));
                        return;
                    }
                    Err(error) if error.is_final() => {
                        tracing::error!(
                            group = %row.id, %error,
                            "the group's snapshot in the store does not help; its partitions are not served, an \
                             operator must look"
                        );
                        return;
                    }
                    Err(error) => tracing::error!(
                        group = %row.id, %error, again_in = ?INSTALL_AGAIN_AFTER,
                        "the group's snapshot cannot be had from the store; its partitions are not served"
                    ),
                }
                tokio::select! {
                    () = tokio::time::sleep(INSTALL_AGAIN_AFTER) => {}
                    () = shell.stopping.cancelled() => return,
                }
            }
        });
    }

    /// Says once of each group that nobody serves it, and what an operator can do.
    pub(crate) fn tell_lost(&self, image: &Image, following: &mut Following) {
        let mut fresh = Vec::new();
        for row in image.groups().filter(|row| image.is_gone(row)) {
            if image.partitions_in(row.id) > 0 && following.told_lost.insert(row.id) {
                fresh.push(row);
            }
        }
        let Some(first) = fresh.first() else { return };
        let partitions: usize = fresh.iter().map(|row| image.partitions_in(row.id)).sum();
        let unsaved = fresh.iter().filter(|row| row.snapshot.is_none()).count();
        tracing::error!(
            groups = fresh.len(), partitions, without_snapshot = unsaved, journals = ?first.members,
            "no node has the journals of these groups, and their partitions are not served; if those journals are \
             lost for good, restart with --recover-groups to go on from the groups' last snapshots in the store"
        );
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
        let mut recovery = Recovery::new(snapshot.state.clone(), keep);
        self.replay(row.id, &mut recovery)?;
        let recovery = recovery.finish()?;
        skip_to(&self.reader, &self.writer, row.id, base).await?;
        Ok(Found {
            recovery,
            snapshot: Some(snapshot),
            kept: Kept::default(),
        })
    }
}

impl Services {
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

/// Whether what a restart found goes as far as the catalog's snapshot.
pub(crate) fn suffices(found: Option<&Found>, row: &GroupRow) -> bool {
    let named = row.snapshot.map(|stored| stored.lsn);
    found.map_or(named.is_none_or(|lsn| lsn == Lsn::ZERO), |found| {
        found.recovery.reaches(named)
    })
}
