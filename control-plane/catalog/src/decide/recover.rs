//! The operator's `group recover`: groups whose journals are all gone go on from their last snapshots (log.md 5, 17).

use crate::authorise::{Need, authorise};
use crate::decide::command::{Decide, Subject};
use crate::draft::Draft;
use crate::seeds::Seeds;
use millstream_metadata::{
    Actor, Class, GroupRow, GroupsRecovered, Image, RecoverGroups, RecoveredGroup, Refusal, Replica,
};
use millstream_model::Epoch;
use std::sync::Arc;

impl Decide for RecoverGroups {
    fn decide(
        &self,
        draft: &mut Draft,
        _seeds: &mut Seeds,
        actor: &Actor,
    ) -> Result<GroupsRecovered, Refusal> {
        let journal = self.journal;
        authorise(draft.image(), actor, Need::Service)?;
        let node = draft.image().node_of(journal).cloned();
        let node = node.filter(|node| !node.lost).ok_or_else(|| Refusal::Fenced {
            reason: format!("journal {journal} has no living node: it cannot take groups over"),
        })?;
        let mut recovered = GroupsRecovered::default();
        let groups: Vec<Arc<GroupRow>> = draft.image().groups().cloned().collect();
        for group in groups {
            if group.members.contains(&journal) {
                continue;
            }
            if !draft.image().is_gone(&group) {
                recovered.alive.extend(&group.members);
                continue;
            }
            let epoch = Epoch(group.epoch.0 + 1);
            recovered.groups.push(RecoveredGroup {
                group: group.id,
                purpose: group.purpose,
                epoch,
                lost: group.members.clone(),
                snapshot: group.snapshot,
                partitions: draft.image().partitions_in(group.id),
            });
            draft.put_group(GroupRow {
                epoch,
                // One member cannot be a majority of more; the placement adds others later.
                class: Class::ONE,
                leader: Some(journal),
                isr: vec![Replica {
                    journal,
                    registration: node.registration,
                }],
                members: vec![journal],
                ..group.as_ref().clone()
            });
        }
        recovered.alive.sort_unstable();
        recovered.alive.dedup();
        Ok(recovered)
    }

    fn subject(&self, _image: &Image, _reply: &GroupsRecovered) -> Option<Subject> {
        Subject::service(self.journal)
    }
}
