//! Reading again what is damaged.

use super::Damage;
use crate::shell::Shell;
use std::sync::Arc;

impl Shell {
    /// Reads what is damaged again and again until the broker stops: whoever repairs an object need not tell anybody,
    /// and what was trimmed or deleted is nobody's matter any more.
    pub(crate) async fn recheck_damage(self: Arc<Shell>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.settings.retention_interval) => {}
                () = self.stopping.cancelled() => return,
            }
            for damage in self.services.damaged.all() {
                tokio::select! {
                    () = self.recheck(&damage) => {}
                    () = self.stopping.cancelled() => return,
                }
            }
        }
    }

    async fn recheck(&self, damage: &Damage) {
        let Damage {
            partition,
            segment,
            offset,
            ..
        } = damage;
        let is_named = self.group(damage.group).is_some_and(|group| {
            group.read(|core| {
                let state = core.state().partition(partition);
                state.is_some_and(|state| state.cold().contains(segment))
            })
        });
        if !is_named {
            tracing::info!(%partition, %offset, "damaged records are kept no longer");
            return self.services.damaged.forget(&segment.object);
        }
        if let Ok(run) = self.services.tier.read(segment, *offset, 1).await {
            self.services
                .damaged
                .read(segment, run.base_offset, run.end_offset);
        }
    }
}
