//! What a broker counts. No labels by tenant or topic: there may be thousands of each.

use crate::interface::ProduceError;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::sync::atomic::AtomicU64;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

/// A broker's counters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) journal_commits: Counter,
    pub(crate) produced_bytes: Counter,
    pub(crate) produced_batches: Counter,
    pub(crate) produced_records: Counter,
    produce_refused: Family<ReasonLabel, Counter>,
    pub(crate) produce_repeats: Counter,
    pub(crate) fetched_bytes: Counter,
    pub(crate) fetches: Counter,
    pub(crate) fetches_parked: Gauge,
    pub(crate) fetched_from_memory_bytes: Counter,
    pub(crate) fetched_from_journal_bytes: Counter,
    pub(crate) fetched_from_store_bytes: Counter,
    pub(crate) flushed_objects: Counter,
    pub(crate) flushed_bytes: Counter,
    pub(crate) flush_failures: Counter,
    pub(crate) snapshots: Counter,
    pub(crate) snapshot_failures: Counter,
    pub(crate) snapshot_bytes: Counter,
    pub(crate) trims: Counter,
    pub(crate) lost_offsets: Counter,
    pub(crate) damaged_objects: Gauge,
    pub(crate) damaged_reads: Counter,
    pub(crate) quarantined_partitions: Gauge,
    pub(crate) unknown_partitions: Gauge,
    pub(crate) unserved_partitions: Gauge,
    pub(crate) led_groups: Gauge,
    pub(crate) halted_groups: Gauge,
    pub(crate) newer_groups: Gauge,
    pub(crate) journal_used_bytes: Gauge,
    pub(crate) journal_capacity_bytes: Gauge,
    pub(crate) journal_damaged: Gauge,
    pub(crate) journal_outage_hours: Gauge<f64, AtomicU64>,
    pub(crate) in_flight_bytes: Gauge,
    pub(crate) tail_bytes: Gauge,
    pub(crate) cached_bytes: Gauge,
    pub(crate) restart_bytes_read: Gauge,
    pub(crate) restart_records_read: Gauge,
    pub(crate) restart_seconds: Gauge<f64, AtomicU64>,
}

impl Metrics {
    /// Counters that are in the registry, under `broker_…`.
    pub(crate) fn register(registry: &mut Registry) -> Metrics {
        let it = Metrics::default();
        let registry = registry.sub_registry_with_prefix("broker");
        let counters = [
            (
                "journal_commits",
                "Commits of the journal, an fdatasync each",
                &it.journal_commits,
            ),
            ("produced_batches", "Batches appended", &it.produced_batches),
            ("produced_records", "Records appended", &it.produced_records),
            (
                "produce_repeats",
                "Batches of idempotent producers that were there already",
                &it.produce_repeats,
            ),
            ("fetches", "Fetches answered", &it.fetches),
            (
                "flushed_objects",
                "Objects written to the store",
                &it.flushed_objects,
            ),
            (
                "flush_failures",
                "Flushes that failed and are repeated",
                &it.flush_failures,
            ),
            ("snapshots", "Group snapshots taken", &it.snapshots),
            (
                "snapshot_failures",
                "Group snapshots that failed and are repeated",
                &it.snapshot_failures,
            ),
            ("trims", "Partitions trimmed by retention", &it.trims),
            (
                "lost_offsets",
                "Offsets whose records were in a lost journal only",
                &it.lost_offsets,
            ),
            (
                "damaged_reads",
                "Reads that met records which are damaged or missing",
                &it.damaged_reads,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        registry.register(
            "produce_refused",
            "Batches refused, by reason",
            it.produce_refused.clone(),
        );
        let byte_counters = [
            ("produced", "Batch bytes appended", &it.produced_bytes),
            ("fetched", "Batch bytes fetched", &it.fetched_bytes),
            (
                "fetched_from_memory",
                "Batch bytes fetched from memory",
                &it.fetched_from_memory_bytes,
            ),
            (
                "fetched_from_journal",
                "Batch bytes fetched from the journal",
                &it.fetched_from_journal_bytes,
            ),
            (
                "fetched_from_store",
                "Batch bytes fetched from the store or its cache",
                &it.fetched_from_store_bytes,
            ),
            ("flushed", "Bytes written to the store", &it.flushed_bytes),
            ("snapshot", "Bytes of snapshots taken", &it.snapshot_bytes),
        ];
        for (name, help, counter) in byte_counters {
            registry.register_with_unit(name, help, Unit::Bytes, counter.clone());
        }
        let gauges = [
            (
                "fetches_parked",
                "Fetches that wait for records",
                &it.fetches_parked,
            ),
            (
                "quarantined_partitions",
                "Partitions put aside; a person must look",
                &it.quarantined_partitions,
            ),
            (
                "unknown_partitions",
                "Partitions that the catalog does not know",
                &it.unknown_partitions,
            ),
            (
                "unserved_partitions",
                "Partitions of topics that nobody leads",
                &it.unserved_partitions,
            ),
            (
                "damaged_objects",
                "Objects in the store that are known to be damaged or missing; a person must look",
                &it.damaged_objects,
            ),
            ("led_groups", "Replica groups led here", &it.led_groups),
            (
                "halted_groups",
                "Replicas that stopped for good",
                &it.halted_groups,
            ),
            (
                "newer_groups",
                "Replicas with something that only a newer release can read; they are not led here",
                &it.newer_groups,
            ),
            (
                "journal_damaged",
                "1 when the journal is damaged",
                &it.journal_damaged,
            ),
            (
                "restart_records_read",
                "Journal records read at the last start",
                &it.restart_records_read,
            ),
        ];
        for (name, help, gauge) in gauges {
            registry.register(name, help, gauge.clone());
        }
        let byte_gauges = [
            ("journal_used", "Journal space in use", &it.journal_used_bytes),
            (
                "journal_capacity",
                "Journal space in all",
                &it.journal_capacity_bytes,
            ),
            (
                "in_flight",
                "Produced bytes on their way to the disk",
                &it.in_flight_bytes,
            ),
            (
                "tail",
                "What was produced of late, kept for readers",
                &it.tail_bytes,
            ),
            (
                "cache",
                "What was moved to or read from the store of late, kept for readers",
                &it.cached_bytes,
            ),
            (
                "restart_read",
                "Bytes read at the last start",
                &it.restart_bytes_read,
            ),
        ];
        for (name, help, gauge) in byte_gauges {
            registry.register_with_unit(name, help, Unit::Bytes, gauge.clone());
        }
        registry.register(
            "journal_outage_hours",
            "Hours that the object store may be away, at the present rate, before producers are refused",
            it.journal_outage_hours.clone(),
        );
        let name = "restart";
        registry.register_with_unit(
            name,
            "Time the last start took",
            Unit::Seconds,
            it.restart_seconds.clone(),
        );
        it
    }

    /// Counts a batch that was not taken.
    pub(crate) fn refused(&self, error: &ProduceError) {
        let reason = reason(error);
        self.produce_refused.get_or_create(&ReasonLabel { reason }).inc();
    }
}

/// A refusal's name as a label.
fn reason(error: &ProduceError) -> &'static str {
    match error {
        ProduceError::UnknownPartition => "unknown_partition",
        ProduceError::Denied => "denied",
        ProduceError::NotLeader => "not_leader",
        ProduceError::TooLarge { .. } => "too_large",
        ProduceError::Corrupt { .. } => "corrupt",
        ProduceError::Invalid { .. } => "invalid",
        ProduceError::OldFormat { .. } => "old_format",
        ProduceError::UnknownCompression { .. } => "unknown_compression",
        ProduceError::InvalidTimestamp { .. } => "invalid_timestamp",
        ProduceError::OutOfOrderSequence { .. } => "out_of_order_sequence",
        ProduceError::FencedProducer { .. } => "fenced_producer",
        ProduceError::NotOwner { .. } => "not_owner",
        ProduceError::NoTransaction => "no_transaction",
        ProduceError::NotEnoughReplicas => "not_enough_replicas",
        ProduceError::Timeout => "timeout",
        ProduceError::Full => "journal_full",
        ProduceError::Storage => "storage",
        ProduceError::Damaged => "journal_damaged",
        ProduceError::ShuttingDown => "shutting_down",
    }
}
