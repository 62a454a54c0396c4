//! What a query holds in memory, and how it gives that up.

use super::{Parking, RunningQuery, Task, TaskInput};
use millstream_operators::Pipeline;

impl RunningQuery {
    fn tasks(&self) -> impl Iterator<Item = &Task> {
        self.stages.iter().flat_map(|stage| &stage.tasks)
    }

    /// About how many bytes of memory its state takes once what has changed is committed: stores, and rows behind
    /// repartitions.
    pub(crate) fn settled_bytes(&self) -> usize {
        let settled = |task: &Task| {
            let waiting = match &task.input {
                TaskInput::Inbox(inbox) => inbox.held_bytes(),
                TaskInput::Topic(_) => 0,
            };
            waiting + task.pipeline.settled_bytes()
        };
        self.tasks().map(settled).sum()
    }

    /// About how many bytes what has changed takes until then, beside the committed state.
    pub(crate) fn overlay_bytes(&self) -> usize {
        self.tasks().map(|task| task.pipeline.overlay_bytes()).sum()
    }

    /// What has changed becomes its state, without a commit: for those that have none.
    pub(crate) fn fold_state(&mut self) {
        for task in self.stages.iter_mut().flat_map(|stage| &mut stage.tasks) {
            task.pipeline.fold();
        }
    }

    /// Its tenant's state would grow beyond its limit: it is parked, and what it holds is given up, so that the
    /// tenant's other queries have room. It can be made again from its checkpoint.
    pub(crate) fn evict(&mut self, total: usize, bytes_max: usize) {
        let wanted = self.settled_bytes();
        self.wait_for_room(
            wanted,
            format!("the state of the tenant's queries would take {total} bytes, {bytes_max} are allowed"),
        );
        let topology = self
            .spec
            .as_ref()
            .map(|spec| spec.topology.sub_topologies.clone());
        for (stage, sub) in self.stages.iter_mut().zip(topology.unwrap_or_default()) {
            for task in &mut stage.tasks {
                task.pipeline = Pipeline::new(&sub);
                if let TaskInput::Inbox(inbox) = &mut task.input {
                    inbox.clear();
                }
            }
        }
    }

    /// Parks it, with nothing loaded, until there is room for what its state would take.
    pub(crate) fn wait_for_room(&mut self, wanted: usize, why: String) {
        let reason = format!(
            "{why}; this query's would take {wanted}: terminate queries, or have the limit raised (--sql-state-bytes)"
        );
        self.park(reason, Parking::UntilRoom);
        (self.loaded, self.counted) = (false, 0);
        (self.evicted, self.outgrew) = (Some(wanted), true);
    }
}
