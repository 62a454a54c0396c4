//! Groups of lost journals, taken over when the operator says so (log.md 5, 12, 17).

use crate::group::Disk;
use crate::settings::Settings;
use crate::start::StartError;
use millstream_journal::{Append, Reader, Record, SubmitError, Writer};
use millstream_metadata::{Actor, Commands, RecoverGroups, RecoveredGroup};
use millstream_model::{GroupId, JournalId, Retry, TenantId};
use millstream_replication::EntryId;
use std::time::{Duration, Instant};

/// How often groups of nodes that may still live are asked for.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(500);

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
