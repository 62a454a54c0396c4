//! Trimming what topics no longer keep, and forgetting producers that are silent: the leader decides by the clock, the
//! log carries it out (log.md 21).

use crate::group::Group;
use crate::shell::Shell;
use crate::topic_config;
use millstream_metadata::TopicState;
use millstream_model::limits::PRODUCER_SILENT_MS_MAX;
use millstream_model::{KeyId, TimestampMs};
use millstream_partition::{Change, plan_forgetting, plan_retention};
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
                if let Some(log_start) = plan_retention(state, now, topic_config::retention(&image, topic)) {
                    due.push((*id, state.tenant(), Change::Trim { log_start }));
                }
                if let Some(silent_since) = plan_forgetting(state, now, PRODUCER_SILENT_MS_MAX) {
                    due.push((*id, state.tenant(), Change::ForgetProducers { silent_since }));
                }
            }
            due.into_iter()
                .filter_map(|(id, tenant, change)| {
                    let by = (tenant, KeyId::NONE);
                    let receiver = core.propose(&self.services, id, by, change.clone())?;
                    Some((id, change, receiver))
                })
                .collect::<Vec<_>>()
        });
        for (partition, change, receiver) in waiting {
            if let Ok(Ok(_)) = receiver.await {
                if matches!(change, Change::Trim { .. }) {
                    self.services.metrics.trims.inc();
                }
                tracing::debug!(%partition, ?change, "no longer kept");
            }
        }
    }
}
