//! A partition's next owner: an entry of the log ends the rights of the one before.

use crate::interface::{FencedPartition, OffsetError};
use crate::offsets::{check, settled};
use crate::shell::Shell;
use millstream_access::{Operation, Principal};
use millstream_model::PartitionId;
use millstream_partition::Change;

impl Shell {
    /// Takes a partition over for the caller. What an earlier owner appended is either below the high watermark that
    /// is told, or never gets in: the entry that ends its rights is ordered behind everything it has appended.
    pub(crate) async fn fence(
        &self,
        who: &Principal,
        partition: PartitionId,
    ) -> Result<FencedPartition, OffsetError> {
        let served = self.find(&self.image.image(), who, Operation::Manage, partition)?;
        let (owner_epoch, receiver) = served.group.with(|core| {
            check(core, &served, partition, None)?;
            let owner_epoch = core.replica.next_owner(&partition);
            let owned = Change::Owned { epoch: owner_epoch };
            let begun = core.propose(&served.group.services, partition, (who.tenant, who.key), owned);
            begun
                .map(|receiver| (owner_epoch, receiver))
                .ok_or(OffsetError::NotLeader)
        })?;
        settled(receiver).await?;
        served.group.with(|core| {
            let state = core.state().partition(&partition);
            let state = state.ok_or(OffsetError::NotAvailable)?;
            Ok(FencedPartition {
                owner_epoch,
                log_start: state.log_start(),
                high_watermark: state.next_offset(),
            })
        })
    }
}
