//! What an entry does, read from its payload; and the payloads of every kind but appends.
//!
//! ```text
//!   append     one stamped record batch, as Kafka's clients know it
//!   lost       one stamped record batch without records
//!   others     version u8 = 1, then:
//!     trim       log start i64
//!     tiered     count u32, segments
//!     replace    count u32, (base i64, end i64) of those that go; count u32, segments that come
//!     opened     base epoch i32, log start i64
//!     closed     nothing
//!     deleted    nothing
//!     forget     time i64
//!     owned      owner epoch u64
//! ```

use crate::codec::{Reader, Writer};
use crate::gap::Gap;
use crate::payload::{PayloadError, stamped};
use bytes::Bytes;
use millstream_kafka_wire::batch::{BatchHeader, BatchView, ControlRecord};
use millstream_model::entry::{Entry, EntryKind};
use millstream_model::segment::SegmentRef;
use millstream_model::{Offset, OwnerEpoch, ProducerEpoch, ProducerId, TimestampMs};

pub use millstream_kafka_wire::batch::Marker;

/// The version of the payloads that this release writes.
const PAYLOAD_VERSION: u8 = 1;

/// What a batch says about its idempotent producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerFacts {
    /// Who wrote it.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// The first record's sequence.
    pub first_sequence: i32,
    /// The last record's sequence.
    pub last_sequence: i32,
}

/// What a partition needs to know about a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendFacts {
    /// The first record's offset, once stamped.
    pub base_offset: Offset,
    /// One past the last record's offset.
    pub end_offset: Offset,
    /// Bytes of the batch.
    pub bytes: u64,
    /// The largest timestamp.
    pub timestamp_max: TimestampMs,
    /// The idempotent producer, if it has one.
    pub producer: Option<ProducerFacts>,
    /// Whether it belongs to a transaction.
    pub transactional: bool,
    /// Whether it ends one.
    pub marker: Option<Marker>,
}

impl AppendFacts {
    /// Those of a batch with this header; a marker is only known from the record.
    pub fn of(header: &BatchHeader) -> AppendFacts {
        let producer = header.has_producer().then(|| ProducerFacts {
            id: header.producer_id,
            epoch: header.producer_epoch,
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
        });
        AppendFacts {
            base_offset: header.base_offset,
            end_offset: header.next_offset(),
            bytes: header.size() as u64,
            timestamp_max: header.max_timestamp,
            producer,
            transactional: header.attributes.is_transactional(),
            marker: None,
        }
    }

    /// The idempotent producer, if the batch counts in its sequence: a marker does not.
    pub fn sequenced(&self) -> Option<&ProducerFacts> {
        self.producer
            .as_ref()
            .filter(|producer| self.marker.is_none() && producer.first_sequence >= 0)
    }

    /// How many offsets it takes.
    pub fn offsets(&self) -> i64 {
        self.end_offset.0 - self.base_offset.0
    }

    fn read(payload: &Bytes) -> Result<AppendFacts, PayloadError> {
        let header = stamped(payload)?;
        let mut facts = AppendFacts::of(&header);
        if header.attributes.is_control() {
            let records = BatchView::read(payload.clone())?.records()?;
            let first = records.iter().next().transpose()?;
            facts.marker = first
                .and_then(|record| ControlRecord::read(&record))
                .map(|control| control.marker);
        }
        Ok(facts)
    }
}

/// A partition that starts to live in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its leader epoch is this + the group's epoch (log.md 26).
    pub base_epoch: i32,
    /// The first offset; 0 for a new partition.
    pub log_start: Offset,
}

/// Segments in the place of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// The offsets, from and to, of the segments that go; all must be there.
    pub gone: Vec<(Offset, Offset)>,
    /// The segments that take their place.
    pub segments: Vec<SegmentRef>,
}

/// What an entry does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing to any partition.
    EpochStart,
    /// Appends a batch.
    Append(AppendFacts),
    /// Moves the log's start.
    Trim {
        /// Where it now starts.
        log_start: Offset,
    },
    /// Says what is now in the object store.
    Tiered(Vec<SegmentRef>),
    /// Changes how it lies there.
    Replace(Replacement),
    /// Opens the partition.
    Opened(Opened),
    /// Closes it.
    Closed,
    /// Deletes it.
    Deleted,
    /// Puts a batch without records in the place of records that are gone.
    Lost(Gap),
    /// Forgets the idempotent producers that have written nothing since then.
    ForgetProducers {
        /// The time of the last entry of the youngest that goes.
        silent_since: TimestampMs,
    },
    /// Gives it a new owner, whose batches alone it takes from here on.
    Owned {
        /// Its epoch, higher than every earlier owner's.
        epoch: OwnerEpoch,
    },
}

impl Change {
    /// Reads what an entry does.
    ///
    /// # Errors
    /// When its payload is not of the form of its kind.
    pub fn of(entry: &Entry) -> Result<Change, PayloadError> {
        Self::read(entry.header.kind, &entry.payload)
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// When it is not of the form of its kind.
    pub fn read(kind: EntryKind, payload: &Bytes) -> Result<Change, PayloadError> {
        match kind {
            EntryKind::EpochStart => return Ok(Change::EpochStart),
            EntryKind::Append => return AppendFacts::read(payload).map(Change::Append),
            EntryKind::Lost => return Gap::read(payload).map(Change::Lost),
            _ => {}
        }
        let mut from = Reader::new(payload);
        let version = from.u8()?;
        if version != PAYLOAD_VERSION {
            return Err(PayloadError::Version { version });
        }
        let change = match kind {
            EntryKind::Trim => Change::Trim {
                log_start: from.offset()?,
            },
            EntryKind::TieredUpTo => Change::Tiered(from.segments()?),
            EntryKind::ReplaceSegments => Change::Replace(Replacement {
                gone: from.list(16, |from| Ok((from.offset()?, from.offset()?)))?,
                segments: from.segments()?,
            }),
            EntryKind::Opened => Change::Opened(Opened {
                base_epoch: from.i32()?,
                log_start: from.offset()?,
            }),
            EntryKind::Closed => Change::Closed,
            EntryKind::Deleted => Change::Deleted,
            EntryKind::ForgetProducers => Change::ForgetProducers {
                silent_since: from.time()?,
            },
            EntryKind::Owned => Change::Owned {
                epoch: OwnerEpoch(from.u64()?),
            },
            EntryKind::EpochStart | EntryKind::Append | EntryKind::Lost => {
                unreachable!("bug: returned above")
            }
        };
        from.end()?;
        Ok(change)
    }

    /// The entry kind and payload that say it; `None` for an append, whose payload is the batch itself, and for the
    /// start of an epoch, which replication writes.
    pub fn payload(&self) -> Option<(EntryKind, Bytes)> {
        let mut out = Writer::new();
        out.u8(PAYLOAD_VERSION);
        let kind = match self {
            Change::EpochStart | Change::Append(_) => return None,
            Change::Lost(gap) => return Some((EntryKind::Lost, gap.batch())),
            Change::Trim { log_start } => {
                out.offset(*log_start);
                EntryKind::Trim
            }
            Change::Tiered(segments) => {
                out.segments(segments);
                EntryKind::TieredUpTo
            }
            Change::Replace(Replacement { gone, segments }) => {
                out.count(gone.len());
                for (base, end) in gone {
                    out.offset(*base);
                    out.offset(*end);
                }
                out.segments(segments);
                EntryKind::ReplaceSegments
            }
            Change::Opened(opened) => {
                out.i32(opened.base_epoch);
                out.offset(opened.log_start);
                EntryKind::Opened
            }
            Change::Closed => EntryKind::Closed,
            Change::Deleted => EntryKind::Deleted,
            Change::ForgetProducers { silent_since } => {
                out.time(*silent_since);
                EntryKind::ForgetProducers
            }
            Change::Owned { epoch } => {
                out.u64(epoch.0);
                EntryKind::Owned
            }
        };
        Some((kind, out.finish().into()))
    }
}
