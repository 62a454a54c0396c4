//! What goes wrong, and when it is set right again.

use crate::node::DISK_BYTES;
use crate::seen::Happening;
use crate::world::{Check, Event, GROUP, Mend, NODES, World};
use millstream_journal::Position;
use millstream_model::Lsn;
use rand::Rng;

impl World {
    pub fn fault(&mut self) -> Check {
        if !self.faulty {
            return Ok(());
        }
        self.after(350, Event::Fault);
        let node = self.random.random_range(0..NODES);
        let choice = self.random.random_range(0..38);
        match choice {
            0 => {
                self.store.fail(60);
                self.after(800, Event::Mend(Mend::Store));
            }
            1 => self.disturb_controller(),
            2 => self.nodes[node].clock.0 += self.random.random_range(0..400),
            // While one disk may have lost something, everybody else keeps what it has.
            _ if self.hurt.is_some() => return Ok(()),
            3..=6 => self.kill(node)?,
            7 => {
                self.power_failure(node);
                self.restart(node);
            }
            8..=10 => self.disk_error(node, 24),
            11 => {
                for node in 0..NODES {
                    self.power_failure(node);
                    self.restart(node);
                }
            }
            12..=13 => self.cut_links(node, true),
            14..=15 => self.cut_links(node, false),
            16..=17 => {
                self.nodes[node].slow_ms = self.random.random_range(20..500);
                self.saw(Happening::SlowDisk);
                self.after(1_000, Event::Mend(Mend::Disk(node)));
            }
            18 => self.fill(node),
            19..=24 => self.disk_error(node, choice),
            25 => self.lose_disk(node),
            26 => self.fill(node),
            _ => self.flip(node),
        }
        self.note(|| format!("fault {choice} at {node}"));
        Ok(())
    }

    /// Whether this disk was given a reason to fail.
    pub fn may_fail(&self, node: usize) -> bool {
        self.hurt == Some(node) || self.nodes[node].expects_errors
    }

    /// Nothing more fits on its disk for a while.
    fn fill(&mut self, node: usize) {
        let files = self.nodes[node].disk.files();
        let used: u64 = files.iter().map(|(_, length)| length).sum();
        self.nodes[node].disk.resize(used + 10_000);
        self.nodes[node].full = true;
        self.saw(Happening::FullDisk);
        self.after(1_500, Event::Mend(Mend::Disk(node)));
        if self.chance(40) {
            self.after(1_500, Event::Kill { node });
        }
    }

    fn restart(&mut self, node: usize) {
        self.after(600, Event::Start { node });
    }

    /// A process ends, one way or the other, and starts again.
    pub fn kill(&mut self, node: usize) -> Check {
        if self.chance(20)
            && let Some(running) = self.nodes[node].running.take()
        {
            self.saw(Happening::CleanStop);
            if let Err(error) = running.journal.close()
                && !self.may_fail(node)
            {
                return Err(format!("{node} cannot close its journal: {error}"));
            }
        }
        self.saw(Happening::Kill);
        self.end_process(node);
        self.restart(node);
        Ok(())
    }

    /// The process ends; the page cache stays.
    pub fn end_process(&mut self, node: usize) {
        self.nodes[node].running = None;
        self.nodes[node].joining = None;
        self.nodes[node].disk = self.nodes[node].disk.kill();
    }

    /// What was not synced may be gone, or torn.
    pub fn power_failure(&mut self, node: usize) {
        self.saw(Happening::PowerFailure);
        self.nodes[node].running = None;
        self.nodes[node].joining = None;
        let next = self.nodes[node].disk.crash(&mut self.random);
        self.nodes[node].disk = next;
    }

    /// Links fail to one other or to all, mostly in both directions.
    fn cut_links(&mut self, node: usize, from_all: bool) {
        self.saw(Happening::CutLink);
        let other = self.random.random_range(0..=NODES);
        let (there, back) =
            [(true, true), (true, true), (true, false), (false, true)][self.random.random_range(0..4)];
        for to in (0..=NODES).filter(|to| *to != node && (from_all || *to == other)) {
            self.cut.extend(there.then_some((node, to)));
            self.cut.extend(back.then_some((to, node)));
        }
        self.after(1_200, Event::Mend(Mend::Link));
    }

    /// One of the next operations fails, or the power goes in its middle.
    fn disk_error(&mut self, node: usize, choice: u32) {
        if self.nodes[node].running.is_none() {
            return;
        }
        let nth = self.random.random_range(1..4);
        self.nodes[node].expects_errors = true;
        let disk = &self.nodes[node].disk;
        match choice {
            19 => disk.fail_write(nth),
            20..=22 => disk.fail_sync(nth),
            _ => disk.cut_power(nth),
        }
    }

    /// Whether every replica is in sync on a sound disk, so that one may lose something.
    fn all_is_well(&self) -> bool {
        let sound = |node: &crate::node::Node| {
            node.running.is_some() && !node.expects_errors && self.is_in_sync(node.id)
        };
        self.cut.is_empty() && self.nodes.iter().all(sound)
    }

    /// The whole disk is gone. Nobody says so: the node is silent, and a new one comes when it is out of the ISR.
    fn lose_disk(&mut self, node: usize) {
        if !self.all_is_well() {
            return;
        }
        self.saw(Happening::LostDisk);
        self.end_process(node);
        self.nodes[node].damaged = true;
        self.hurt = Some(node);
    }

    /// A bit flips in an entry that lies before the last commits, where others have it on sound disks. The node goes on
    /// for a while, giving it to nobody, then restarts and finds the damage.
    fn flip(&mut self, node: usize) {
        if !self.all_is_well() {
            return;
        }
        let Some(running) = &self.nodes[node].running else {
            return;
        };
        let reader = running.journal.reader();
        let (Some((_, start)), Some((_, end))) = (reader.start(GROUP), reader.end(GROUP)) else {
            return;
        };
        if end.0 < start.0 + 20 {
            return;
        }
        // Mostly in the file that is being written.
        let first = if self.random.random_bool(0.8) {
            end.0.saturating_sub(40).max(start.0)
        } else {
            start.0
        };
        let lsn = Lsn(self.random.random_range(first + 1..end.0 - 12));
        let (Ok(entry), Some(position)) = (reader.entry(GROUP, lsn), reader.position(GROUP, lsn)) else {
            return;
        };
        // What is written last cannot be told from a tear.
        let place = |position: Position| (position.generation, position.offset);
        if running
            .last_commit
            .is_none_or(|last| place(position) >= place(last))
        {
            return;
        }
        let (from, length) = (position.offset as usize, position.length as usize);
        let header = entry.header.encode();
        let disk = &self.nodes[node].disk;
        let holds = |name: &String| {
            let bytes = disk.contents(name).unwrap_or_default();
            let place = bytes.get(from..from + length);
            place.is_some_and(|place| place.windows(header.len()).any(|window| window == header))
        };
        let Some(name) = disk.files().into_iter().map(|(name, _)| name).find(holds) else {
            return;
        };
        let at = from + self.random.random_range(0..length);
        let bit = self.random.random_range(0..8);
        disk.flip(&name, at as u64, bit);
        self.hurt = Some(node);
        self.nodes[node].rotten = true;
        self.saw(Happening::BitFlip);
        self.note(|| format!("a bit of {lsn} flips on {node}"));
        let at_once = self.chance(80);
        self.after(if at_once { 1 } else { 400 }, Event::Kill { node });
    }

    pub fn mend(&mut self, mend: Mend) {
        self.note(|| format!("mends {mend:?}"));
        match mend {
            Mend::Link => self.cut.clear(),
            Mend::Disk(node) => {
                self.nodes[node].slow_ms = 0;
                self.nodes[node].full = false;
                self.nodes[node].disk.resize(DISK_BYTES);
            }
            Mend::Store => self.store.fail(if self.faulty { 5 } else { 0 }),
        }
    }

    /// Nothing fails from here on.
    pub fn heal(&mut self) {
        self.faulty = false;
        self.cut.clear();
        self.controllers.heal();
        for node in 0..NODES {
            self.mend(Mend::Disk(node));
            self.after(10, Event::Start { node });
        }
        self.store.fail(0);
        self.quiet_from_ms = Some(self.now_ms + 1_200);
    }
}
