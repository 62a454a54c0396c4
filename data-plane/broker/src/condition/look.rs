//! Looking at what keeps a broker from serving whole.

use super::Condition;
use crate::shell::Shell;
use millstream_metadata::{GroupRow, Image, TopicState};
use millstream_model::GroupId;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Shell {
    /// What is wrong now. While every write is refused, whoever looks has room tried for, as who is refused does: a balancer
    /// keeps writes away from a node that is not ready.
    pub(crate) fn condition(&self) -> Condition {
        let services = &self.services;
        let space = self.space.look(services);
        let refused_bytes = self.conditions.refused_bytes.load(Ordering::Relaxed);
        let unserved_partitions = self.unserved_partitions();
        let gauge = i64::try_from(unserved_partitions).unwrap_or(i64::MAX);
        services.metrics.unserved_partitions.set(gauge);
        let quarantined = services.metrics.quarantined_partitions.get();
        let is_journal_full = !self.has_room(refused_bytes);
        if is_journal_full {
            self.want_room(refused_bytes);
        }
        Condition {
            journal_damage: services.reader.damage().map(|damage| damage.to_string()),
            is_journal_full,
            is_disk_full: space.disk_full,
            store: self.conditions.trouble(),
            unserved_partitions,
            quarantined_partitions: u64::try_from(quarantined).unwrap_or(0),
            damaged_objects: services.damaged.count(),
        }
    }

    /// Partitions of topics in groups that nobody leads, or a node of which nothing was heard since the controller began.
    fn unserved_partitions(&self) -> u64 {
        let image = self.image.image();
        let leaderless = |row: &&Arc<GroupRow>| !self.is_led(&image, row);
        let groups: BTreeSet<GroupId> = image.groups().filter(leaderless).map(|row| row.id).collect();
        if groups.is_empty() {
            return 0;
        }
        let active = image.topics().filter(|topic| topic.state == TopicState::Active);
        let partitions = active.flat_map(|topic| topic.partitions.iter());
        partitions.filter(|row| groups.contains(&row.group)).count() as u64
    }

    fn is_led(&self, image: &Image, row: &GroupRow) -> bool {
        match row.leader {
            None => false,
            Some(leader) if leader == self.services.journal => self
                .group(row.id)
                .is_some_and(|group| group.read(|core| core.replica.leads())),
            Some(leader) => image
                .node_of(leader)
                .is_some_and(|node| !node.lost && self.services.commands.hears(node.id)),
        }
    }

    /// Somebody was refused for want of room: background work that rests after a failure is tried at once, for what it
    /// waited for may be there again.
    pub(crate) fn want_room(&self, bytes: usize) {
        if self.conditions.refused(&self.services, bytes) {
            self.services.reader.want_room();
            for group in self.all_groups() {
                group.room_wanted.notify_one();
            }
        }
    }
}
