//! Trimming what topics no longer keep: the leader decides by the clock, the log carries it out.

use crate::group::Group;
use crate::shell::Shell;
use crate::topic_config;
use millstream_metadata::TopicState;
use millstream_model::{KeyId, TimestampMs};
use millstream_partition::{Change, plan_retention};
use std::sync::Arc;

impl Shell {
    /// Looks at retention again and again, until the broker stops.
    pub(crate) async fn retain(self: Arc<Shell>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.settings.retention_interval) => {}
                () = self.stopping.cancelled() => return,
            }
            for group in self.all_groups() {
                self.trim(&group).await;
            }
        }
    }

    /// Trims every partition of a group that keeps more than it shall.
    pub(crate) async fn trim(&self, group: &Arc<Group>) {
        let (image, now) = (self.image.image(), TimestampMs::now());
        let waiting = group.with(|core| {
            let mut due = Vec::new();
            if !core.replica.leads() {
                return Vec::new();
            }
            for (id, state) in core.state().partitions() {
                let Some(topic) = image.topic_by_id(id.topic) else {
                    continue;
                };
                if topic.state != TopicState::Active || !state.is_open() {
                    continue;
                }
                if let Some(log_start) = plan_retention(state, now, topic_config::retention(topic)) {
                    due.push((*id, state.tenant(), log_start));
                }
            }
            due.into_iter()
                .filter_map(|(id, tenant, log_start)| {
                    let change = Change::Trim { log_start };
                    Some((
                        id,
                        log_start,
                        core.propose(&self.services, id, (tenant, KeyId::NONE), change)?,
                    ))
                })
                .collect::<Vec<_>>()
        });
        for (partition, log_start, receiver) in waiting {
            if let Ok(Ok(_)) = receiver.await {
                self.services.metrics.trims.inc();
                tracing::debug!(%partition, %log_start, "trimmed by retention");
            }
        }
    }
}
