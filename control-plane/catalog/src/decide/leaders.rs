//! What leaders report of their groups: in-sync replicas, snapshots, deletions (log.md 14, 30, 34).

use crate::authorise::authorise_node;
use crate::decide::command::{Decide, Subject};
use crate::decide::nodes::{incarnation, live_member, next};
use crate::draft::Draft;
use crate::seeds::Seeds;
use millstream_metadata::{
    Actor, GroupRow, Image, ProposeIsr, Refusal, ReportDeleted, ReportSnapshot, Resign, Row, RowKey,
    TopicRow, TopicState,
};
use millstream_model::{Epoch, GroupId};
use std::sync::Arc;

impl Decide for ProposeIsr {
    fn decide(&self, draft: &mut Draft, _seeds: &mut Seeds, actor: &Actor) -> Result<(), Refusal> {
        let &ProposeIsr {
            group,
            epoch,
            base_version,
            ref isr,
        } = self;
        let row = led(draft, actor, group, epoch)?;
        if row.version != base_version {
            return Err(Refusal::VersionConflict {
                kind: "group",
                name: group.to_string(),
                expected: base_version,
                found: row.version,
            });
        }
        let mut isr = isr.to_vec();
        isr.sort();
        isr.dedup_by_key(|replica| replica.journal);
        if isr.len() < usize::from(row.class.minimum) {
            let reason = format!("group {group} must keep {} in-sync replicas", row.class.minimum);
            return Err(Refusal::InvalidRequest { reason });
        }
        if !isr.iter().any(|replica| Some(replica.journal) == row.leader) {
            let reason = format!("the leader of group {group} is in sync by definition");
            return Err(Refusal::InvalidRequest { reason });
        }
        for replica in &isr {
            if !row.members.contains(&replica.journal) {
                let reason = format!("journal {} is no member of group {group}", replica.journal);
                return Err(Refusal::InvalidRequest { reason });
            }
            incarnation(draft, replica.journal, replica.registration)?;
        }
        draft.put_group(GroupRow {
            isr,
            ..row.as_ref().clone()
        });
        Ok(())
    }

    fn subject(&self, _image: &Image, _reply: &()) -> Option<Subject> {
        None
    }
}

impl Decide for Resign {
    fn decide(&self, draft: &mut Draft, _seeds: &mut Seeds, actor: &Actor) -> Result<(), Refusal> {
        let row = led(draft, actor, self.group, self.epoch)?;
        let Some(leader) = row.leader else { return Ok(()) };
        if let Some(successor) = live_member(draft, &row, leader) {
            draft.put_group(GroupRow {
                epoch: next(row.epoch),
                leader: Some(successor),
                ..row.as_ref().clone()
            });
        }
        Ok(())
    }

    fn subject(&self, _image: &Image, _reply: &()) -> Option<Subject> {
        None
    }
}

impl Decide for ReportSnapshot {
    fn decide(&self, draft: &mut Draft, _seeds: &mut Seeds, actor: &Actor) -> Result<(), Refusal> {
        let ReportSnapshot {
            group,
            epoch,
            snapshot,
        } = *self;
        let row = led(draft, actor, group, epoch)?;
        if snapshot.object.group != group || snapshot.epoch > epoch {
            let reason = format!("the snapshot is not one of group {group} up to epoch {epoch}");
            return Err(Refusal::InvalidRequest { reason });
        }
        match &row.snapshot {
            // The answer to an earlier report was lost. The state after an entry is one, whatever the object is called, and
            // who is told no would report the same again and again without ever giving its journal's space back.
            Some(last) if (last.lsn, last.epoch) == (snapshot.lsn, snapshot.epoch) => return Ok(()),
            Some(last) if last.lsn >= snapshot.lsn => {
                let reason = format!("group {group} has a snapshot at {} already", last.lsn);
                return Err(Refusal::Fenced { reason });
            }
            Some(_) | None => {}
        }
        let mut next = row.as_ref().clone();
        next.snapshot_previous = row.snapshot;
        next.snapshot = Some(snapshot);
        draft.put(Row::Group(Arc::new(next)));
        Ok(())
    }

    fn subject(&self, _image: &Image, _reply: &()) -> Option<Subject> {
        None
    }
}

impl Decide for ReportDeleted {
    fn decide(&self, draft: &mut Draft, _seeds: &mut Seeds, actor: &Actor) -> Result<(), Refusal> {
        let &ReportDeleted {
            group,
            topic,
            ref partitions,
        } = self;
        let leader = draft.image().group(group).and_then(|row| row.leader);
        let node = leader
            .and_then(|journal| draft.image().node_of(journal))
            .map(|node| node.id);
        authorise_node(actor, node)?;
        // Gone already: the report was repeated.
        let Some(row) = draft.image().topic_by_id(topic).cloned() else {
            return Ok(());
        };
        if row.state != TopicState::Deleting {
            let reason = format!("topic {topic} is not being deleted");
            return Err(Refusal::InvalidRequest { reason });
        }
        let mut row: TopicRow = row.as_ref().clone();
        for index in partitions {
            let index = usize::try_from(index.0).unwrap_or(usize::MAX);
            if let Some(partition) = row
                .partitions
                .get_mut(index)
                .filter(|partition| partition.group == group)
            {
                partition.deleted = true;
            }
        }
        if row.partitions.iter().all(|partition| partition.deleted) {
            draft.remove(RowKey::Topic(topic));
        } else {
            draft.put(Row::Topic(Arc::new(row)));
        }
        Ok(())
    }

    fn subject(&self, _image: &Image, _reply: &()) -> Option<Subject> {
        None
    }
}

/// The group, for a report of the one who leads it in this epoch.
fn led(draft: &Draft, actor: &Actor, group: GroupId, epoch: Epoch) -> Result<Arc<GroupRow>, Refusal> {
    let unknown = || Refusal::NotFound {
        kind: "group",
        name: group.to_string(),
    };
    let row = draft.image().group(group).cloned().ok_or_else(unknown)?;
    if row.epoch != epoch {
        let reason = format!("group {group} is in epoch {}, not {epoch}", row.epoch);
        return Err(Refusal::Fenced { reason });
    }
    let leader = row
        .leader
        .and_then(|journal| draft.image().node_of(journal))
        .map(|node| node.id);
    authorise_node(actor, leader)?;
    Ok(row)
}
