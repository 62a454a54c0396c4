//! Following the catalog: leaderships taken up, partitions opened, deleted ones let go.

use crate::group::{Core, Group, Slots};
use crate::kept::Kept;
use crate::recover::suffices;
use crate::replica::{Recovery, Replica, Settings as ReplicaSettings};
use crate::shell::Shell;
use crate::snapshot::Snapshot;
use millstream_metadata::{
    Actor, GroupPurpose, GroupRow, Heartbeat, Image, PartitionRow, ReportDeleted, TopicRow, TopicState,
};
use millstream_model::{GroupId, KeyId, PartitionId, PartitionIndex, TenantId, TimestampMs, TopicId};
use millstream_partition::{Change, GroupState};
use millstream_replication::{Assignment, Input, Member};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a deletion that failed waits before it is tried again.
const DELETE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What following the catalog remembers.
pub(crate) struct Following {
    /// What a restart found on the disk, by group, until the catalog says what to do with it.
    pub(crate) found: BTreeMap<GroupId, Found>,
    /// The assignment that each group was last told.
    assigned: BTreeMap<GroupId, Assignment>,
    /// Topics whose partitions are being deleted.
    deleting: Arc<Mutex<BTreeSet<TopicId>>>,
    /// Groups that this disk has, but not whole: they are not begun anew, and served only if the store makes them whole.
    pub(crate) broken: BTreeSet<GroupId>,
    /// Groups on their way from the store.
    pub(crate) installing: BTreeSet<GroupId>,
    /// Where they arrive.
    pub(crate) arrivals: mpsc::UnboundedSender<(GroupId, Found)>,
    arrived: mpsc::UnboundedReceiver<(GroupId, Found)>,
    /// Groups of which was said that nobody serves them.
    pub(crate) told_lost: BTreeSet<GroupId>,
}

/// What a restart found of a group.
pub(crate) struct Found {
    pub(crate) recovery: Recovery,
    /// The snapshot that it begins with.
    pub(crate) snapshot: Option<Snapshot>,
    /// Where the journal has its batches.
    pub(crate) kept: Kept,
}

impl Following {
    pub(crate) fn new(found: BTreeMap<GroupId, Found>, broken: BTreeSet<GroupId>) -> Following {
        let (arrivals, arrived) = mpsc::unbounded_channel();
        Following {
            found,
            assigned: BTreeMap::new(),
            deleting: Arc::default(),
            broken,
            installing: BTreeSet::new(),
            arrivals,
            arrived,
            told_lost: BTreeSet::new(),
        }
    }
}

impl Shell {
    /// Follows the catalog until the broker stops.
    pub(crate) async fn follow(self: Arc<Shell>, mut following: Following) {
        let mut watch = self.image.clone();
        loop {
            tokio::select! {
                changed = watch.changed() => match changed {
                    Ok(image) => self.reconcile(&image, &mut following),
                    Err(_) => return,
                },
                Some((group, found)) = following.arrived.recv() => {
                    following.installing.remove(&group);
                    following.broken.remove(&group);
                    following.found.insert(group, found);
                    self.reconcile(&watch.image(), &mut following);
                }
                () = self.stopping.cancelled() => return,
            }
        }
    }

    /// Tells the controller that this node lives, until the broker stops.
    pub(crate) async fn heartbeat(self: Arc<Shell>) {
        let actor = Actor::Node(self.services.node);
        let Some(registration) = self.services.registration.get().copied() else {
            return;
        };
        loop {
            let command = Heartbeat {
                registration,
                version: self.image.image().version(),
            };
            if let Err(refusal) = self.services.commands.submit(actor.clone(), command).await {
                tracing::warn!(%refusal, "the controller did not take the heartbeat");
            }
            tokio::select! {
                () = tokio::time::sleep(self.settings.heartbeat_interval) => {}
                () = self.stopping.cancelled() => return,
            }
        }
    }

    /// Makes this node what the catalog says. Repeating it changes nothing.
    pub(crate) fn reconcile(self: &Arc<Shell>, image: &Arc<Image>, following: &mut Following) {
        for row in image
            .groups()
            .filter(|row| row.members.contains(&self.services.journal))
        {
            let taken_up = self.group(row.id).or_else(|| self.take_up(row, following));
            let Some(group) = taken_up else { continue };
            self.assign(image, row, &group, following);
        }
        self.open_partitions(image);
        for topic in image.topics().filter(|topic| topic.state == TopicState::Deleting) {
            self.delete_topic(image, topic, following);
        }
        self.tell_lost(image, following);
        self.count_troubled(image);
    }

    /// A group that this node has not served yet since it started; none while it cannot be served. It begins anew
    /// only when it never had anything.
    fn take_up(self: &Arc<Shell>, row: &GroupRow, following: &mut Following) -> Option<Arc<Group>> {
        if following.broken.contains(&row.id) {
            // The local snapshot may be too old for the journal, and the store may have a newer one.
            self.install(row, following);
            return None;
        }
        if !suffices(following.found.get(&row.id), row) {
            self.install(row, following);
            return None;
        }
        let internal = row.purpose == GroupPurpose::Internal;
        // Without a number yet nobody can appoint this replica.
        let number = self.services.registration.get().copied();
        let found = following.found.remove(&row.id);
        let fresh = || Found {
            recovery: Recovery::new(GroupState::new(row.id), internal),
            snapshot: None,
            kept: Kept::default(),
        };
        let Found {
            mut recovery,
            snapshot,
            kept,
        } = found.unwrap_or_else(fresh);
        if number.is_none() && row.members == [self.services.journal] {
            recovery.commit_all();
        }
        let services = &self.services;
        let slots = internal.then(|| Slots::new(self.settings.groups.clone()));
        if let Some(slots) = &slots {
            let stored = snapshot.into_iter().flat_map(|snapshot| snapshot.slots);
            stored.for_each(|stored| slots.restore(services.now(), &stored));
        }
        let replication =
            millstream_replication::Settings::new(row.id, services.journal, number.unwrap_or_default());
        let settings = ReplicaSettings {
            replication,
            commit_bytes_max: self.settings.journal.commit_bytes_max,
            tiering: self.settings.tiering(),
            planted: Default::default(),
        };
        let mut out = Vec::new();
        let mut replica = Replica::new(settings, recovery, &mut out);
        if let Some((_, start)) = services.reader.start(row.id) {
            // The journal gave all that its files hold; what was released of it can be read no more.
            replica.step(services.now_ms(), Input::Released { up_to: start }, &mut out);
        }
        if let Some(snapshot) = &row.snapshot {
            replica.snapshot_named(snapshot.lsn);
        }
        if let Some(tag) = replica.unknown() {
            tracing::error!(
                group = %row.id, tag,
                "a newer release has kept something in this group that this one cannot read: it stays as it is, and the group \
                 is not led by this node; start a newer release"
            );
        }
        let mut core = Core::new(replica, out, &self.settings);
        core.waits_for_number = number.is_none();
        core.kept = kept;
        let group = Group::new(row.id, Arc::clone(services), core, slots);
        self.groups.write().insert(row.id, Arc::clone(&group));
        self.spawn_with_store(Arc::clone(self).work(Arc::clone(&group)));
        if internal {
            self.tasks.spawn(Arc::clone(self).drive_slots(Arc::clone(&group)));
        }
        Some(group)
    }

    /// Tells a group who leads it, when that has changed.
    fn assign(&self, image: &Image, row: &GroupRow, group: &Arc<Group>, following: &mut Following) {
        let assignment = assignment(image, row);
        if following.assigned.get(&row.id) == Some(&assignment) {
            return;
        }
        following.assigned.insert(row.id, assignment.clone());
        group.with(|core| {
            core.alone = row.members == [self.services.journal];
            core.step(
                &self.services,
                Input::Assign {
                    assignment,
                    time: TimestampMs::now(),
                },
            );
        });
    }

    /// Opens what the catalog has put into groups that lead here.
    fn open_partitions(&self, image: &Image) {
        let mut by_group: BTreeMap<GroupId, Vec<(PartitionId, TenantId, i32)>> = BTreeMap::new();
        for topic in image.topics().filter(|topic| topic.state == TopicState::Active) {
            for (partition, row) in partitions_of(topic) {
                by_group
                    .entry(row.group)
                    .or_default()
                    .push((partition, topic.tenant, row.base_epoch));
            }
        }
        for (group, partitions) in by_group {
            let Some(group) = self.group(group) else { continue };
            group.with(|core| {
                for (partition, tenant, base_epoch) in partitions {
                    core.open(&self.services, partition, tenant, base_epoch);
                }
            });
        }
    }

    /// Starts to delete a topic's partitions, unless that is under way.
    fn delete_topic(self: &Arc<Shell>, image: &Image, topic: &Arc<TopicRow>, following: &Following) {
        let open = |(id, row): (PartitionId, &PartitionRow)| {
            self.group(row.group).is_some() && self.must_delete(id, row)
        };
        if !partitions_of(topic).any(open) || !following.deleting.lock().insert(topic.id) {
            return;
        }
        tracing::info!(topic = %topic.id, tenant = %topic.tenant, version = image.version(), "deletes a topic");
        let (shell, topic, deleting) = (
            Arc::clone(self),
            Arc::clone(topic),
            Arc::clone(&following.deleting),
        );
        self.tasks.spawn(async move {
            while !shell.delete_partitions(&topic).await {
                tokio::select! {
                    () = tokio::time::sleep(DELETE_AGAIN_AFTER) => {}
                    () = shell.stopping.cancelled() => return,
                }
            }
            deleting.lock().remove(&topic.id);
        });
    }

    /// Whether a partition of a topic that is being deleted is still to be: its group has not said that it is, or has said so
    /// and lost it with a part of its log.
    fn must_delete(&self, id: PartitionId, row: &PartitionRow) -> bool {
        let has = |group: Arc<Group>| group.read(|core| core.state().partition(&id).is_some());
        !row.deleted || self.group(row.group).is_some_and(has)
    }

    /// Deletes a topic's partitions from the groups that lead here, and reports it; whether all went well.
    async fn delete_partitions(&self, topic: &TopicRow) -> bool {
        let mut by_group: BTreeMap<GroupId, Vec<PartitionId>> = BTreeMap::new();
        for (partition, row) in partitions_of(topic).filter(|(id, row)| self.must_delete(*id, row)) {
            by_group.entry(row.group).or_default().push(partition);
        }
        let mut done = true;
        for (id, partitions) in by_group {
            let Some(group) = self.group(id) else { continue };
            done &= self.delete_from(&group, topic, &partitions).await;
        }
        self.forget_topics(&BTreeSet::from([topic.id]));
        done
    }

    async fn delete_from(&self, group: &Arc<Group>, topic: &TopicRow, partitions: &[PartitionId]) -> bool {
        let proposed = group.with(|core| {
            if !core.replica.leads() {
                return None;
            }
            let mut waiting = Vec::new();
            for partition in partitions {
                // One that was never opened is deleted all the same: its opening may still be undecided.
                let by = (topic.tenant, KeyId::NONE);
                waiting.push(core.propose(&self.services, *partition, by, Change::Deleted)?);
            }
            Some(waiting)
        });
        let Some(waiting) = proposed else { return false };
        for receiver in waiting {
            if !matches!(receiver.await, Ok(Ok(_))) {
                return false;
            }
        }
        let partitions: Vec<PartitionIndex> = partitions.iter().map(|partition| partition.index).collect();
        let command = ReportDeleted {
            group: group.id,
            topic: topic.id,
            partitions,
        };
        let reported = self
            .services
            .commands
            .submit(Actor::Node(self.services.node), command)
            .await;
        if let Err(refusal) = &reported {
            tracing::warn!(topic = %topic.id, %refusal, "a deletion could not be reported");
        }
        reported.is_ok()
    }

    /// Counts partitions that a person should look at: those in quarantine, and those that groups have and the
    /// catalog does not, which are kept and not served (log.md 34).
    fn count_troubled(&self, image: &Image) {
        let (mut unknown, mut quarantined, mut newer) = (0, 0, 0);
        for group in self.all_groups() {
            group.read(|core| {
                newer += i64::from(core.replica.unknown().is_some());
                for (id, state) in core.state().partitions() {
                    unknown += i64::from(image.topic_by_id(id.topic).is_none());
                    quarantined += i64::from(state.quarantine().is_some());
                }
            });
        }
        let metrics = &self.services.metrics;
        metrics.quarantined_partitions.set(quarantined);
        metrics.newer_groups.set(newer);
        if metrics.unknown_partitions.set(unknown) == 0 && unknown > 0 {
            tracing::warn!(
                unknown,
                "partitions that the catalog does not know are kept and not served"
            );
        }
    }
}

/// A topic's partitions with their rows.
fn partitions_of(topic: &TopicRow) -> impl Iterator<Item = (PartitionId, &PartitionRow)> {
    let id = topic.id;
    (0u32..).zip(&topic.partitions).map(move |(index, row)| {
        (
            PartitionId {
                topic: id,
                index: PartitionIndex(index),
            },
            row,
        )
    })
}

/// A group's row as its log sees it.
fn assignment(image: &Image, row: &GroupRow) -> Assignment {
    let incarnation = |journal| {
        let accepted = row
            .isr
            .iter()
            .find(|replica| replica.journal == journal)
            .map(|replica| replica.registration);
        let newest = image.node_of(journal).map(|node| node.registration);
        Member {
            journal,
            registration: newest.or(accepted).unwrap_or_default(),
        }
    };
    let leader = row.leader.map(|journal| {
        let accepted = row.isr.iter().find(|replica| replica.journal == journal);
        accepted.map_or_else(
            || incarnation(journal),
            |replica| Member {
                journal,
                registration: replica.registration,
            },
        )
    });
    Assignment {
        epoch: row.epoch,
        version: row.version,
        leader,
        members: row.members.iter().copied().map(incarnation).collect(),
        isr: row.isr.iter().map(|replica| replica.journal).collect(),
        minimum: usize::from(row.class.minimum),
    }
}
