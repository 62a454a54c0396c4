//! Who carries plans out: takes groups up, tells them who leads, opens and deletes partitions, until the broker stops.

use super::action::{Action, ToOpen};
use super::deletion;
use super::found::Found;
use super::install;
use super::local::{Held, Local, OnDisk};
use super::plan::Following;
use crate::group::{Core, Group, Services, Slots};
use crate::replica::{Replica, Settings as ReplicaSettings};
use crate::shell::Shell;
use millstream_metadata::{GroupPurpose, GroupRow, Image};
use millstream_model::{GroupId, PartitionId, Registration, TimestampMs, TopicId};
use millstream_replication::{Assignment, Input};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// After what time something that a group did not take is tried again, should nothing else happen before.
const DUE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What the follower's tasks tell it: one thing each.
enum Event {
    /// A group has come from the store.
    Arrived(GroupId, Box<Found>),
    /// Nothing of a topic is left to delete here.
    Deleted(TopicId),
}

/// Follows the catalog.
pub(crate) struct Follower {
    shell: Arc<Shell>,
    following: Following,
    /// What the disk has of groups that are not served yet.
    found: BTreeMap<GroupId, Found>,
    events: mpsc::UnboundedSender<Event>,
    happened: mpsc::UnboundedReceiver<Event>,
}

impl Follower {
    /// One that follows nothing yet, after a restart that found this, and these groups not whole.
    pub(crate) fn new(
        shell: &Arc<Shell>,
        found: BTreeMap<GroupId, Found>,
        broken: BTreeSet<GroupId>,
    ) -> Follower {
        let whole = found
            .iter()
            .map(|(group, found)| (*group, OnDisk::Whole(found.recovery.end().lsn)));
        let broken = broken.into_iter().map(|group| (group, OnDisk::Broken));
        let local = Local::new(shell.services.journal, whole.chain(broken).collect());
        let (events, happened) = mpsc::unbounded_channel();
        Follower {
            shell: Arc::clone(shell),
            following: Following::new(local),
            found,
            events,
            happened,
        }
    }

    /// This start has its number.
    pub(crate) fn registered(&mut self, registration: Registration) {
        self.following.local.registered(registration);
    }

    /// Follows the catalog until the broker stops.
    pub(crate) async fn run(mut self) {
        let mut watch = self.shell.image.clone();
        let stopping = self.shell.stopping.clone();
        loop {
            let is_due = self.following.local.is_due();
            tokio::select! {
                changed = watch.changed() => if changed.is_err() { return },
                event = self.happened.recv() => match event {
                    Some(event) => self.note(event),
                    None => return,
                },
                () = tokio::time::sleep(DUE_AGAIN_AFTER), if is_due => {}
                () = stopping.cancelled() => return,
            }
            self.follow(&watch.image());
        }
    }

    fn note(&mut self, event: Event) {
        let local = &mut self.following.local;
        match event {
            Event::Arrived(group, found) => {
                local.arrived(group, found.recovery.end().lsn);
                self.found.insert(group, *found);
            }
            Event::Deleted(topic) => local.deleted(topic),
        }
    }

    /// Makes this node what the catalog says. Repeating it changes nothing.
    pub(crate) fn follow(&mut self, image: &Arc<Image>) {
        let mut not_taken = BTreeSet::new();
        loop {
            let plan = self.following.plan(image, self.shell.as_ref());
            if plan.actions.is_empty() {
                break;
            }
            for action in plan.actions {
                self.carry_out(image, &action, &mut not_taken);
                self.following.local.did(&action);
            }
        }
        not_taken
            .into_iter()
            .for_each(|topic| self.following.local.again(topic));
    }

    fn carry_out(&mut self, image: &Image, action: &Action, not_taken: &mut BTreeSet<TopicId>) {
        match action {
            Action::TakeUp { row } => self.take_up(row),
            Action::Install { row } => self.install(row),
            Action::Named { group, snapshot } => {
                self.within(*group, |core| core.replica.snapshot_named(*snapshot));
            }
            Action::Assign {
                group,
                assignment,
                is_alone,
            } => self.assign(*group, assignment, *is_alone),
            Action::Open { group, partitions } => self.open(*group, partitions, not_taken),
            Action::Delete { topic } => self.delete(*topic),
            Action::Unknown(partitions) => self.tell_unknown(partitions),
            Action::Lost(groups) => self.tell_lost(image, groups),
        }
    }

    fn within(&self, group: GroupId, act: impl FnOnce(&mut Core)) {
        match self.shell.group(group) {
            Some(group) => group.with(act),
            None => tracing::error!(%group, "bug: a plan names a group that is not served"),
        }
    }

    /// A group that this node has not served yet since it started.
    fn take_up(&mut self, row: &Arc<GroupRow>) {
        let is_internal = row.purpose == GroupPurpose::Internal;
        let found = self.found.remove(&row.id);
        let found = found.unwrap_or_else(|| Found::nothing(row.id, is_internal));
        let slots = slots_of(&self.shell, row, &found);
        let core = core_of(&self.shell, row, found);
        if let Some(tag) = core.replica.unknown() {
            tracing::error!(
                group = %row.id, tag,
                "a newer release has kept something in this group that this one cannot read: it stays as it is, and the group \
                 is not led by this node; start a newer release"
            );
            self.shell.services.metrics.newer_groups.inc();
        }
        let quarantined = i64::try_from(core.quarantined.len()).unwrap_or(i64::MAX);
        self.shell
            .services
            .metrics
            .quarantined_partitions
            .inc_by(quarantined);
        let shell = &self.shell;
        let group = Group::new(row.id, Arc::clone(&shell.services), core, slots);
        shell.groups.write().insert(row.id, Arc::clone(&group));
        shell.spawn_with_store(Arc::clone(shell).work(Arc::clone(&group)));
        if is_internal {
            shell.tasks.spawn(Arc::clone(shell).drive_slots(group));
        }
    }

    fn install(&self, row: &Arc<GroupRow>) {
        let (shell, row, events) = (Arc::clone(&self.shell), Arc::clone(row), self.events.clone());
        self.shell.spawn_with_store(async move {
            if let Some(found) = install::install(&shell, &row).await {
                // Nobody follows the catalog any more when the broker stops.
                let _ = events.send(Event::Arrived(row.id, Box::new(found)));
            }
        });
    }

    fn assign(&self, group: GroupId, assignment: &Assignment, is_alone: bool) {
        let services = &self.shell.services;
        self.within(group, |core| {
            core.alone = is_alone;
            let assignment = assignment.clone();
            let time = TimestampMs::now();
            core.step(services, Input::Assign { assignment, time });
        });
    }

    fn open(&self, group: GroupId, partitions: &[ToOpen], not_taken: &mut BTreeSet<TopicId>) {
        let services = &self.shell.services;
        self.within(group, |core| {
            for (partition, tenant, base_epoch) in partitions {
                if !core.open(services, *partition, *tenant, *base_epoch) {
                    not_taken.insert(partition.topic);
                }
            }
        });
    }

    fn delete(&self, topic: TopicId) {
        let (shell, events) = (Arc::clone(&self.shell), self.events.clone());
        self.shell.tasks.spawn(async move {
            deletion::delete(&shell, topic).await;
            let _ = events.send(Event::Deleted(topic));
        });
    }

    /// Counts partitions that a person should look at: they are kept and not served (log.md 34).
    fn tell_unknown(&self, partitions: &BTreeSet<PartitionId>) {
        let unknown = i64::try_from(partitions.len()).unwrap_or(i64::MAX);
        let before = self.shell.services.metrics.unknown_partitions.set(unknown);
        if before == 0 && unknown > 0 {
            tracing::warn!(
                unknown,
                "partitions that the catalog does not know are kept and not served"
            );
        }
    }

    /// Says of groups that nobody serves them, and what an operator can do.
    fn tell_lost(&self, image: &Image, groups: &BTreeSet<GroupId>) {
        let fresh = groups.difference(self.following.local.lost());
        let fresh: Vec<_> = fresh.filter_map(|id| image.group(*id)).collect();
        let Some(first) = fresh.first() else { return };
        let partitions: usize = fresh.iter().map(|row| image.partitions_in(row.id)).sum();
        let unsaved = fresh.iter().filter(|row| row.snapshot.is_none()).count();
        tracing::error!(
            groups = fresh.len(), partitions, without_snapshot = unsaved, journals = ?first.members,
            "no node has the journals of these groups, and their partitions are not served; if those journals are \
             lost for good, restart with --recover-groups to go on from the groups' last snapshots in the store"
        );
    }
}

/// The slots of an internal group, as its snapshot has them.
fn slots_of(shell: &Shell, row: &GroupRow, found: &Found) -> Option<Slots> {
    let is_internal = row.purpose == GroupPurpose::Internal;
    let slots = is_internal.then(|| Slots::new(shell.settings.groups.clone()))?;
    let stored = found.snapshot.iter().flat_map(|snapshot| &snapshot.slots);
    stored.for_each(|stored| slots.restore(shell.services.now(), stored));
    Some(slots)
}

/// A replica that goes on with what was found of it.
fn core_of(shell: &Shell, row: &GroupRow, found: Found) -> Core {
    let services: &Services = &shell.services;
    // Without a number yet nobody can appoint this replica.
    let number = services.registration.get().copied();
    let Found {
        mut recovery, kept, ..
    } = found;
    if number.is_none() && row.members == [services.journal] {
        recovery.commit_all();
    }
    let replication =
        millstream_replication::Settings::new(row.id, services.journal, number.unwrap_or_default());
    let settings = ReplicaSettings {
        replication,
        commit_bytes_max: shell.settings.journal.commit_bytes_max,
        tiering: shell.settings.tiering(),
        planted: Default::default(),
    };
    let mut out = Vec::new();
    let mut replica = Replica::new(settings, recovery, &mut out);
    if let Some((_, start)) = services.reader.start(row.id) {
        // The journal gave all that its files hold; what was released of it can be read no more.
        replica.step(services.now_ms(), Input::Released { up_to: start }, &mut out);
    }
    let mut core = Core::new(replica, out, &shell.settings);
    core.waits_for_number = number.is_none();
    core.kept = kept;
    core
}

impl Held for Shell {
    fn partitions(&self, group: GroupId) -> BTreeSet<PartitionId> {
        let group = self.group(group);
        let held =
            group.map(|group| group.read(|core| core.state().partitions().map(|(id, _)| *id).collect()));
        held.unwrap_or_default()
    }

    fn has(&self, group: GroupId, partition: PartitionId) -> bool {
        self.group(group)
            .is_some_and(|group| group.read(|core| core.state().partition(&partition).is_some()))
    }
}
