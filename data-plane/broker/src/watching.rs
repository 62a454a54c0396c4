//! Following partitions' bounds: a stream that looks when something has changed, and says what.

use crate::interface::{OffsetError, WatchStream, WatchUpdate};
use crate::shell::Shell;
use millstream_access::{Operation, Principal};
use millstream_model::{Offset, PartitionId};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::sync::Notify;

/// What a stream remembers between looks.
struct Watching {
    shell: Arc<Shell>,
    who: Principal,
    waiter: Arc<Notify>,
    /// Each partition with what was said of it last.
    partitions: Vec<(PartitionId, Option<(Offset, Offset)>)>,
    due: VecDeque<WatchUpdate>,
}

impl Shell {
    pub(crate) fn watch(
        self: &Arc<Shell>,
        who: &Principal,
        partitions: Vec<PartitionId>,
    ) -> Result<WatchStream, OffsetError> {
        let mut watching = Watching {
            shell: Arc::clone(self),
            who: who.clone(),
            waiter: Arc::new(Notify::new()),
            partitions: partitions
                .into_iter()
                .map(|partition| (partition, None))
                .collect(),
            due: VecDeque::new(),
        };
        watching.look()?;
        let updates = futures::stream::unfold(watching, |mut watching| async move {
            let update = watching.next().await?;
            Some((update, watching))
        });
        Ok(WatchStream(Box::pin(updates)))
    }
}

impl Watching {
    async fn next(&mut self) -> Option<WatchUpdate> {
        loop {
            if let Some(update) = self.due.pop_front() {
                return Some(update);
            }
            tokio::select! {
                () = self.waiter.notified() => {}
                () = self.shell.stopping.cancelled() => return None,
            }
            self.look().ok()?;
        }
    }

    /// Notes what has changed, and asks to be woken at the next change of each partition.
    fn look(&mut self) -> Result<(), OffsetError> {
        let image = self.shell.image.image();
        for (partition, said) in &mut self.partitions {
            let served = self
                .shell
                .find(&image, &self.who, Operation::Describe, *partition)?;
            let bounds = served.group.with(|core| {
                if !core.serves_reads() {
                    return Err(OffsetError::NotLeader);
                }
                core.open(
                    &served.group.services,
                    *partition,
                    served.topic.tenant,
                    served.row.base_epoch,
                );
                core.waiters.register(*partition, &self.waiter);
                let state = core.state().partition(partition);
                Ok(state.map_or((Offset(0), Offset(0)), |state| {
                    (state.next_offset(), state.log_start())
                }))
            })?;
            if *said != Some(bounds) {
                *said = Some(bounds);
                let (high_watermark, log_start) = bounds;
                self.due.push_back(WatchUpdate {
                    partition: *partition,
                    high_watermark,
                    log_start,
                });
            }
        }
        Ok(())
    }
}
