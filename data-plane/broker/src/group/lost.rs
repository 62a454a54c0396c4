//! Saying what is gone: a group that goes on without the journal that held its newest batches (log.md 5, 17).

use super::{Core, Group};
use millstream_model::{KeyId, Lsn};
use millstream_partition::{Change, Gap, plan_lost};
use std::sync::Arc;

impl Core {
    /// The replica has just been elected, and nobody has appended in its epoch yet: what the state knows as hot in
    /// entries that lie before the log's start is gone, and the log says so before anything else. A leader that dies in
    /// the middle leaves a beginning of it behind, and the next one says the rest.
    pub(super) fn say_lost(&mut self, group: &Arc<Group>) {
        if group.services.reader.damage().is_some() {
            // Nothing can be said, and what lies behind the damage may be whole: the operator decides.
            return;
        }
        let start = self.replica.machine().log().base().lsn;
        let mut lost = plan_lost(self.state(), start);
        self.reads_from = match lost.is_empty() {
            true => Lsn::ZERO,
            false => self.replica.machine().last().lsn,
        };
        lost.retain(|(partition, ..)| !self.replica.is_undecided(partition));
        if lost.is_empty() {
            return;
        }
        let offsets: u64 = lost.iter().map(|(.., gap)| offsets(gap)).sum();
        tracing::error!(
            group = %group.id, %offsets, ranges = lost.len(),
            "records that the last snapshot knew were in a lost journal and not yet in the store: they are gone, and \
             readers pass over their offsets"
        );
        group.services.metrics.lost_offsets.inc_by(offsets);
        for (partition, tenant, gap) in lost {
            tracing::warn!(
                %partition, %tenant, from = %gap.base_offset, to = %gap.end_offset.plus(-1), "these offsets are lost"
            );
            // Nobody waits for it: whatever comes later comes behind it in the log.
            let _ = self.propose(
                &group.services,
                partition,
                (tenant, KeyId::NONE),
                Change::Lost(gap),
            );
        }
        self.reads_from = self.replica.machine().last().lsn;
    }
}

fn offsets(gap: &Gap) -> u64 {
    u64::try_from(gap.end_offset.0 - gap.base_offset.0).unwrap_or(0)
}
