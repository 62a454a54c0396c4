//! Deleting a topic's partitions from their groups, and reporting it (log.md 34).

use super::local::must_delete;
use super::plan::partitions_of;
use crate::group::Group;
use crate::shell::Shell;
use millstream_metadata::{Actor, Image, ReportDeleted, TopicRow, TopicState};
use millstream_model::backoff::{Backoff, Waits};
use millstream_model::{GroupId, KeyId, PartitionId, PartitionIndex, TopicId};
use millstream_partition::Change;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How long a deletion that failed waits before it is tried again.
const DELETE_WAITS: Waits = Waits::new(Duration::from_millis(500), Duration::from_secs(5));

/// What became of one attempt.
enum Attempt {
    /// Nothing is left to delete here.
    Done,
    /// What was deleted is reported; the catalog shows it from this version on.
    Reported {
        version: u64,
    },
    Failed,
}

/// Deletes a topic's partitions from the groups that lead here, until the catalog says that nothing of it is left here; it
/// ends early when the broker stops.
pub(super) async fn delete(shell: &Shell, topic: TopicId) {
    let mut backoff = Backoff::new(DELETE_WAITS);
    loop {
        let image = shell.image.image();
        let wait = match attempt(shell, &image, topic).await {
            Attempt::Done => return,
            Attempt::Reported { version } => {
                tokio::select! {
                    _ = shell.image.wait_for_version(version) => {}
                    () = shell.stopping.cancelled() => return,
                }
                continue;
            }
            Attempt::Failed => backoff.next(rand::random()),
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shell.stopping.cancelled() => return,
        }
    }
}

async fn attempt(shell: &Shell, image: &Image, topic: TopicId) -> Attempt {
    let row = image.topic_by_id(topic);
    let Some(topic) = row.filter(|topic| topic.state == TopicState::Deleting) else {
        return Attempt::Done;
    };
    let mut by_group: BTreeMap<GroupId, (Arc<Group>, Vec<PartitionId>)> = BTreeMap::new();
    for (partition, row) in partitions_of(topic) {
        let Some(group) = shell.group(row.group) else {
            continue;
        };
        let is_held = || group.read(|core| core.state().partition(&partition).is_some());
        if must_delete(row, is_held) {
            let (_, partitions) = by_group
                .entry(row.group)
                .or_insert_with(|| (Arc::clone(&group), Vec::new()));
            partitions.push(partition);
        }
    }
    if by_group.is_empty() {
        return Attempt::Done;
    }
    tracing::info!(topic = %topic.id, tenant = %topic.tenant, version = image.version(), "deletes a topic");
    let mut reported = Some(image.version());
    for (group, partitions) in by_group.values() {
        let version = delete_from(shell, group, topic, partitions).await;
        reported = reported.and_then(|newest| Some(newest.max(version?)));
    }
    shell.forget_topics(&BTreeSet::from([topic.id]));
    match reported {
        Some(version) => Attempt::Reported { version },
        None => Attempt::Failed,
    }
}

/// Deletes them from one group, and gives the version at which the catalog shows it; none when it could not be done.
async fn delete_from(
    shell: &Shell,
    group: &Arc<Group>,
    topic: &TopicRow,
    partitions: &[PartitionId],
) -> Option<u64> {
    let services = &shell.services;
    let waiting = group.with(|core| {
        if !core.replica.leads() {
            return None;
        }
        let mut waiting = Vec::new();
        for partition in partitions {
            // One that was never opened is deleted all the same: its opening may still be undecided.
            let by = (topic.tenant, KeyId::NONE);
            waiting.push(core.propose(services, *partition, by, Change::Deleted)?);
        }
        Some(waiting)
    })?;
    for receiver in waiting {
        receiver.await.ok()?.ok()?;
    }
    let partitions: Vec<PartitionIndex> = partitions.iter().map(|partition| partition.index).collect();
    let command = ReportDeleted {
        group: group.id,
        topic: topic.id,
        partitions,
    };
    let reported = services
        .commands
        .submit(Actor::Node(services.node), command)
        .await;
    match reported {
        Ok(committed) => Some(committed.version),
        Err(refusal) => {
            tracing::warn!(topic = %topic.id, %refusal, "a deletion could not be reported");
            None
        }
    }
}
