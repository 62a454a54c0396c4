//! What the slots of a group want appended, on its way to the group's log and back.

use crate::group::{Core, Group, Ticket};
use crate::interface::Acks;
use crate::replica::Append;
use millstream_coordinator::Record;
use millstream_kafka_wire::batch::{BatchBuilder, BatchError, BatchView, NewRecord};
use millstream_model::{KeyId, OwnerEpoch, PartitionId, TenantId, TimestampMs};

impl Core {
    /// An append of a slot's was committed, or will not be.
    pub(in crate::group) fn slot_decided(
        &mut self,
        group: &Group,
        partition: PartitionId,
        ticket: millstream_coordinator::Ticket,
        committed: bool,
    ) {
        let Some(slots) = &group.slots else { return };
        let Some(place) = slots.place(partition) else {
            return;
        };
        place.slot.decided(group.services.now(), ticket, committed);
        slots.alarm.wanted_at(place.slot.due_ms());
        if place.slot.has_appends() {
            self.stirred.insert(partition);
        }
    }

    /// After the replica's outputs: tells the slots that they lead, and takes what they want appended.
    pub(in crate::group) fn drive_slots(&mut self, group: &Group) {
        let Some(slots) = &group.slots else { return };
        if self.elected && self.replica.log_end_is_known() {
            self.elected = false;
            slots.lead(group.services.now());
        }
        while let Some(partition) = self.stirred.pop_first() {
            let Some(place) = slots.place(partition) else {
                continue;
            };
            for (ticket, records) in place.slot.take_appends() {
                if !self.append_records(group, partition, place.base_epoch, ticket, &records) {
                    self.slot_decided(group, partition, ticket, false);
                }
            }
        }
    }

    fn append_records(
        &mut self,
        group: &Group,
        partition: PartitionId,
        base_epoch: i32,
        ticket: millstream_coordinator::Ticket,
        records: &[Record],
    ) -> bool {
        let services = &group.services;
        let time = TimestampMs::now();
        let batch = match batch_of(records, time) {
            Ok(batch) => batch,
            Err(error) => {
                tracing::error!(%partition, %error, "a slot's records do not fit into a batch");
                return false;
            }
        };
        self.open(services, partition, TenantId::SYSTEM, base_epoch);
        let append = Append {
            partition,
            tenant: TenantId::SYSTEM,
            key: KeyId::NONE,
            owner_epoch: OwnerEpoch(0),
            batch,
            time,
            acks: Acks::All,
            in_sync_min: 1,
            ticket: Ticket::Slot(partition, ticket),
        };
        match self.replica.append(services.now_ms(), append, &mut self.out) {
            Ok(_) => true,
            Err(refused) => {
                tracing::warn!(%partition, %refused, "a slot's records were not taken");
                false
            }
        }
    }
}

/// The records as one batch.
fn batch_of(records: &[Record], time: TimestampMs) -> Result<BatchView, BatchError> {
    let mut builder = BatchBuilder::new();
    for record in records {
        let value = record.value.as_deref();
        builder.push(NewRecord {
            timestamp: time,
            key: Some(&record.key),
            value,
            headers: &[],
        })?;
    }
    BatchView::read(builder.build()?)
}
