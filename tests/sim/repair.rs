//! Replicas whose disks have not what they need: rebuilt from a peer and the store, or replaced.

use crate::asking::{Asked, Wanted};
use crate::node::{Ledger, Node};
use crate::seen::Happening;
use crate::world::{Check, Event, GROUP, World};
use millstream_journal::{Framed, Record};
use millstream_metadata::Actor;
use millstream_model::Lsn;
use millstream_model::entry::Entry;

impl World {
    /// A replica that lacks what its leader has released is rebuilt from the reported snapshot and the leader's
    /// journal, and starts again.
    pub fn rebuild(&mut self, node: usize) -> Check {
        let leader = (0..self.nodes.len()).find(|other| *other != node && self.nodes[*other].leads());
        let (Some(leader), Some(named)) = (leader, self.group_row().snapshot) else {
            return Ok(());
        };
        let lsn = named.lsn;
        let Ok(snapshot) = self.store.wait(self.store.tier.get_snapshot(&named.object)) else {
            return Ok(());
        };
        let Some(source) = &self.nodes[leader].running else {
            return Ok(());
        };
        let reader = source.journal.reader();
        let (epoch, start) = reader.start(GROUP).unwrap_or_default();
        if start > lsn {
            return Err(format!(
                "{leader} has released up to {start}, the snapshot ends at {lsn}"
            ));
        }
        let mut entries: Vec<Entry> = Vec::new();
        while let next = Lsn(start.0 + 1 + entries.len() as u64)
            && next <= lsn
        {
            match reader.entries(GROUP, next, 8 * 1024) {
                Ok(more) if !more.is_empty() => entries.extend(more),
                _ => return Ok(()), // The leader is not that far, or hurt: it will ask again.
            }
        }
        entries.retain(|entry| entry.header.lsn <= lsn);
        self.note(|| format!("{node} is rebuilt from {leader}: snapshot {lsn}, entries after {start}"));
        let Some(running) = &mut self.nodes[node].running else {
            return Ok(());
        };
        let mut records = Vec::new();
        if let Some((epoch, lsn)) = running.journal.reader().start(GROUP) {
            records.push(Framed::new(Record::Truncate {
                group: GROUP,
                epoch,
                lsn,
            }));
        }
        records.push(Framed::new(Record::Released {
            group: GROUP,
            epoch,
            lsn: start,
        }));
        records.extend(
            entries
                .into_iter()
                .map(|entry| Framed::checked(Record::Entry(entry))),
        );
        let written = records
            .chunks(8)
            .try_for_each(|chunk| running.journal.commit(chunk).map(drop));
        self.nodes[node].running = None;
        self.nodes[node].disk = self.nodes[node].disk.kill();
        if let Err(error) = written {
            self.note(|| format!("{node} cannot be rebuilt: {error}"));
            return self.give_up(node);
        }
        self.saw(Happening::Rebuild);
        self.nodes[node].snapshot = Some(snapshot);
        self.nodes[node].copy_failed = false;
        self.nodes[node].ledger = Ledger::default();
        self.after(20, Event::Start { node });
        Ok(())
    }

    /// The node's disk cannot be trusted: it is silent until it has left the ISR, then gets an empty one.
    pub fn give_up(&mut self, node: usize) -> Check {
        self.nodes[node].running = None;
        self.nodes[node].damaged = true;
        self.hurt = Some(node);
        Ok(())
    }

    pub fn recover_hurt(&mut self, node: usize) -> Check {
        let id = self.nodes[node].id;
        let in_sync = self.is_in_sync(id);
        if self.nodes[node].damaged && !in_sync {
            let clock = self.nodes[node].clock;
            self.nodes[node] = Node::new(clock);
            self.saw(Happening::EmptyDisk);
            self.make_journal(node)?;
            let new = self.nodes[node].id;
            self.note(|| format!("{node} gets an empty disk: {new} in the place of {id}"));
            self.nodes[node].replaces = Some(id);
            self.after(20, Event::Start { node });
            return Ok(());
        }
        self.ask_for_place(node);
        if self.hurt == Some(node)
            && self.nodes[node].running.is_some()
            && in_sync
            && !self.nodes[node].rotten
        {
            self.hurt = None;
        }
        Ok(())
    }

    /// A journal that has registered is put in the place of the one before it.
    fn ask_for_place(&mut self, node: usize) {
        let new = self.nodes[node].id;
        let Some(gone) = self.nodes[node].replaces else {
            return;
        };
        if self.group_row().members.contains(&new) {
            self.nodes[node].replaces = None;
        } else if self.durable().node_of(new).is_some() {
            let wanted = Wanted::Place { gone, new };
            self.ask(node, Asked::Nothing, Actor::System, wanted);
        }
    }
}
