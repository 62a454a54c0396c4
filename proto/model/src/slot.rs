//! Slots: the partitions of the service's internal topics, each with a ledger of its own (log.md 29).
//!
//! Everything here is fixed for ever: what a slot keeps lies where these numbers say. A topic of slots has a fixed id, so
//! that a replica knows whose records it has before it knows any catalog; a tag that a release does not know belongs to a
//! newer one.

use crate::id::{PartitionId, PartitionIndex, TopicId};
use uuid::Uuid;

/// Partitions of every topic of slots.
pub const SLOTS: u32 = 64;

macro_rules! kinds {
    ($($(#[doc = $what:literal])* $kind:ident = $tag:literal, $topic:literal;)*) => {
        /// What the slots of an internal topic keep.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum SlotKind {
            $($(#[doc = $what])* $kind,)*
        }

        impl SlotKind {
            /// All that this release knows.
            pub const ALL: &'static [SlotKind] = &[$(SlotKind::$kind,)*];

            /// Its number in stored forms.
            pub const fn tag(self) -> u16 {
                match self {
                    $(SlotKind::$kind => $tag,)*
                }
            }

            /// The topic's name.
            pub const fn topic_name(self) -> &'static str {
                match self {
                    $(SlotKind::$kind => $topic,)*
                }
            }
        }
    };
}

// A tag and a name, for ever. Tag 0 is nobody's, and 1 is a replica group's own state in its snapshots.
kinds! {
    /// Consumer groups and their committed offsets.
    Groups = 2, "__groups";
}

impl SlotKind {
    /// The topic's id, the same in every cluster.
    pub const fn topic(self) -> TopicId {
        TopicId(Uuid::from_u64_pair(0, self.tag() as u64))
    }

    /// One of its slots.
    pub const fn slot(self, index: u32) -> PartitionId {
        PartitionId {
            topic: self.topic(),
            index: PartitionIndex(index),
        }
    }

    /// The kind with this tag, if this release knows it.
    pub fn of_tag(tag: u16) -> Option<SlotKind> {
        SlotKind::ALL.iter().copied().find(|kind| kind.tag() == tag)
    }
}

/// The tag of a topic of slots, known to this release or not; none for all other topics, whose ids are random.
pub fn slot_tag(topic: TopicId) -> Option<u16> {
    match topic.0.as_u64_pair() {
        (0, low) => u16::try_from(low).ok().filter(|tag| *tag > 1),
        _ => None,
    }
}

/// Whether the topic's records belong to a ledger that only a newer release knows.
pub fn is_unknown_slot(topic: TopicId) -> bool {
    slot_tag(topic).is_some_and(|tag| SlotKind::of_tag(tag).is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_names_and_ids_stay_as_they_are() {
        let golden = [("__groups", 2, "00000000000000000000000000000002")];
        let known = SlotKind::ALL
            .iter()
            .map(|kind| (kind.topic_name(), kind.tag(), kind.topic().to_string()));
        let golden = golden.map(|(name, tag, id)| (name, tag, id.to_owned()));
        assert_eq!(known.collect::<Vec<_>>(), golden);
        assert_eq!(SLOTS, 64);
    }

    #[test]
    fn a_topic_of_slots_is_known_by_its_id() {
        for kind in SlotKind::ALL {
            assert_eq!(slot_tag(kind.topic()), Some(kind.tag()));
            assert_eq!(SlotKind::of_tag(kind.tag()), Some(*kind));
            assert!(!is_unknown_slot(kind.topic()));
        }
        let newer = TopicId(Uuid::from_u64_pair(0, 60_000));
        assert_eq!(slot_tag(newer), Some(60_000));
        assert!(is_unknown_slot(newer));
        for other in [
            PartitionId::NONE.topic,
            TopicId(Uuid::from_u64_pair(1, 2)),
            TopicId(Uuid::from_u64_pair(0, 65_536)),
        ] {
            assert_eq!(slot_tag(other), None);
            assert!(!is_unknown_slot(other));
        }
    }
}
