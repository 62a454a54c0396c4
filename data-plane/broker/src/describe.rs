//! What a partition tells about itself: its size and who writes to it.

use crate::interface::{ActiveProducer, OffsetError};
use crate::offsets::unreadable;
use crate::shell::Shell;
use millstream_access::{Operation, Principal};
use millstream_model::PartitionId;
use millstream_partition::PartitionState;

impl Shell {
    /// Bytes of all batches that the partition keeps, wherever they lie.
    pub(crate) fn partition_bytes(
        &self,
        who: &Principal,
        partition: PartitionId,
    ) -> Result<u64, OffsetError> {
        self.look(who, Operation::Describe, partition, PartitionState::bytes)
    }

    /// The producers that the partition remembers, by id.
    pub(crate) fn active_producers(
        &self,
        who: &Principal,
        partition: PartitionId,
    ) -> Result<Vec<ActiveProducer>, OffsetError> {
        self.look(who, Operation::Consume, partition, |state| {
            let producers = state.producers().iter().map(|(id, known)| ActiveProducer {
                id,
                epoch: known.epoch,
                last_sequence: known.batches.back().map(|batch| batch.last_sequence),
                time: known.time,
                transaction_start: state.transactions().start_of(id),
            });
            producers.collect()
        })
    }

    /// Looks at the state of a partition that is led here, and changes nothing; one that nothing was written to yet may
    /// have none.
    fn look<T: Default>(
        &self,
        who: &Principal,
        operation: Operation,
        partition: PartitionId,
        see: impl FnOnce(&PartitionState) -> T,
    ) -> Result<T, OffsetError> {
        let served = self.find(&self.image.image(), who, operation, partition)?;
        served.group.read(|core| match core.serves_reads() {
            true => Ok(core.state().partition(&partition).map(see).unwrap_or_default()),
            false => Err(unreadable(&served)),
        })
    }
}
