//! A process starts: recover what the disk holds, register, serve; or it fails and starts again.

use crate::node::{Node, Opened, Running};
use crate::seen::Happening;
use crate::tiering::TIERING;
use crate::world::{Check, Event, GROUP, NODES, World};
use millstream_broker::follow::{Following, Local, OnDisk};
use millstream_broker::replica::{Recovery, Replica, Settings, takes_named_snapshot};
use millstream_journal::sim::SimDisk;
use millstream_journal::{Ending, Intake, Journal};
use millstream_model::{Lsn, Registration};
use millstream_partition::GroupState;
use millstream_replication::Input;
use rand::Rng;

const COMMIT_BYTES_MAX: usize = 16 * 1024;

/// Bytes that may wait for the journal.
const WAITING_BYTES_MAX: usize = 12 * 1024;

impl World {
    fn journal_settings(&mut self) -> millstream_journal::Settings {
        millstream_journal::Settings {
            size_bytes: 24 * 64 * 1024,
            file_bytes: 64 * 1024,
            commit_bytes_max: COMMIT_BYTES_MAX,
            prepared_files: 1,
            seed: Some(self.random.random()),
            planted: self.plant.journal(),
        }
    }

    /// An empty disk gets its journal, hence its identity, though the power fails in the middle.
    pub fn make_journal(&mut self, node: usize) -> Check {
        if self.faulty && self.chance(30) {
            self.nodes[node].disk.cut_power(self.random.random_range(1..25));
        }
        loop {
            let settings = self.journal_settings();
            let closed = self.nodes[node].open(settings).and_then(|opened| {
                self.nodes[node].id = opened.journal.id();
                opened.journal.close().map_err(|error| error.to_string())
            });
            match closed {
                Ok(()) => break,
                Err(_) if self.nodes[node].disk.is_off() => {
                    self.saw(Happening::InterruptedBeginning);
                    let next = self.nodes[node].disk.crash(&mut self.random);
                    self.nodes[node].disk = next;
                }
                Err(error) => return Err(format!("{node} cannot make its journal: {error}")),
            }
        }
        self.nodes[node].disk = self.nodes[node].disk.kill();
        Ok(())
    }

    pub fn start(&mut self, node: usize) -> Check {
        let this = &self.nodes[node];
        if this.running.is_some() || this.joining.is_some() || this.damaged {
            return Ok(());
        }
        if self.is_cut(node, NODES) || self.is_cut(NODES, node) || self.controllers.is_away(self.now_ms) {
            self.after(60, Event::Start { node });
            return Ok(());
        }
        if !self.newest_snapshot(node) {
            self.after(60, Event::Start { node });
            return Ok(());
        }
        let Some(opened) = self.opened(node)? else {
            return Ok(());
        };
        self.nodes[node].rotten = false;
        self.check_found(node, &opened)?;
        if opened.found.ending == Ending::Torn {
            self.saw(Happening::TornEnd);
        }
        let last = opened.found.registration;
        if let Some((journal, recovery)) = self.recovered(node, opened)? {
            self.join(node, journal, recovery, last);
        }
        Ok(())
    }

    /// A local copy that could not be replaced may be older than what the journal was recycled below: then the store's
    /// counts, as soon as it can be had. A follower that is merely behind begins with its own: the store's ends behind its
    /// journal, which has records that no object has yet.
    fn newest_snapshot(&mut self, node: usize) -> bool {
        let Some(named) = self.group_row().snapshot.filter(|_| self.nodes[node].copy_failed) else {
            return true;
        };
        let applied = |bytes: &[u8]| GroupState::decode_snapshot(bytes).ok().map(|it| it.applied());
        let local = self.nodes[node].snapshot.as_deref().and_then(applied);
        if takes_named_snapshot(self.plant.replica(), local, named.lsn) {
            let Ok(snapshot) = self.store.wait(self.store.tier.get_snapshot(&named.object)) else {
                return false;
            };
            self.saw(Happening::StoreSnapshot);
            self.nodes[node].snapshot = Some(snapshot);
        }
        self.nodes[node].copy_failed = false;
        true
    }

    /// The journal, if it can be opened and is sound; its failures are those that were asked for.
    fn opened(&mut self, node: usize) -> Result<Option<Opened>, String> {
        let settings = self.journal_settings();
        let opened = match self.nodes[node].open(settings) {
            Ok(opened) => opened,
            // A second start on a full disk may find that the first one took the file that was kept for it.
            Err(error) if self.nodes[node].expects_errors || self.nodes[node].full => {
                self.note(|| format!("{node} cannot open: {error}"));
                self.saw(Happening::FailedOpen);
                self.start_again(node);
                return Ok(None);
            }
            Err(error) => return Err(format!("{node} cannot open its journal: {error}")),
        };
        if Node::is_damaged(&opened.found) {
            self.note(|| format!("{node} is damaged: {:?}", opened.found.ending));
            self.saw(Happening::DamagedJournal);
            if self.hurt != Some(node) {
                return Err(format!(
                    "{node} is damaged, though nothing was done to it: {:?}",
                    opened.found.ending
                ));
            }
            return self.give_up(node).map(|()| None);
        }
        Ok(Some(opened))
    }

    /// What a disk holds after a restart must be at least what was said to be on it.
    fn check_found(&self, node: usize, opened: &Opened) -> Check {
        let Node {
            ledger, registered, ..
        } = &self.nodes[node];
        if !ledger.allows(opened.end) {
            return Err(format!(
                "{node} comes back with {:?} after it said that {:?} is durable",
                opened.end,
                ledger.durable_end()
            ));
        }
        if opened.found.registration < *registered {
            return Err(format!(
                "{node} served as {registered:?} and comes back as {:?}",
                opened.found.registration
            ));
        }
        Ok(())
    }

    /// What the replica goes on with; none when this start ends here.
    fn recovered(
        &mut self,
        node: usize,
        opened: Opened,
    ) -> Result<Option<(Journal<SimDisk>, Recovery)>, String> {
        let in_sync = self.is_in_sync(self.nodes[node].id);
        match opened.recovery {
            Ok(recovery) if recovery.end() == opened.end => Ok(Some((opened.journal, recovery))),
            Ok(recovery) if in_sync => Err(format!(
                "{node} is in sync, its snapshot ends at {:?} and its journal at {:?}",
                recovery.end(),
                opened.end
            )),
            // The store's snapshot has left its journal behind.
            Ok(_) => self.give_up(node).map(|()| None),
            Err(error) => Err(format!("{node}'s journal is sound, but {error}")),
        }
    }

    pub fn serve(
        &mut self,
        node: usize,
        journal: Journal<SimDisk>,
        recovery: Recovery,
        registration: Registration,
    ) -> Check {
        let end = recovery.end();
        let start = journal.reader().start(GROUP).unwrap_or_default().1;
        self.note(|| format!("{node} starts as {registration} with {end:?}"));
        self.nodes[node].ledger.start(end);
        let following = self.following(node, end.lsn, registration);
        let mut out = Vec::new();
        let replica = Replica::new(self.replica_settings(node, registration), recovery, &mut out);
        self.nodes[node].running = Some(Running {
            preparer: journal.preparer(),
            intake: Intake::new(&journal, WAITING_BYTES_MAX),
            journal,
            replica,
            following,
            registration,
            disk_is_busy: false,
            waiters: Vec::new(),
            work: 0,
            saved: Default::default(),
            last_commit: None,
        });
        // A second power failure soon after the first is where a journal that goes on carelessly shows.
        let again = self.faulty && self.hurt.is_none() && self.chance(30);
        if again {
            self.nodes[node].disk.cut_power(self.random.random_range(1..12));
        }
        self.nodes[node].expects_errors = again;
        if self.hurt == Some(node) && self.is_in_sync(self.nodes[node].id) {
            self.hurt = None;
        }
        self.carry_out(node, out)?;
        self.step(node, Input::Released { up_to: start })?;
        // The local copy of the catalog: the newest image comes later.
        self.follow(node)
    }

    fn following(&self, node: usize, end: Lsn, registration: Registration) -> Following {
        let on_disk = [(GROUP, OnDisk::Whole(end))].into();
        let local = Local::new(self.nodes[node].id, on_disk);
        let mut local = local.with_planted(self.plant.follow());
        local.registered(registration);
        Following::new(local)
    }

    fn replica_settings(&self, node: usize, registration: Registration) -> Settings {
        let replication = millstream_replication::Settings {
            heartbeat_ms: 40,
            retry_ms: 100,
            session_ms: 300 + node as u64,
            window_bytes: 16 * 1024,
            message_bytes_max: 4 * 1024,
            tail_bytes_max: 4 * 1024,
            uncommitted_bytes_max: 64 * 1024,
            planted: self.plant.replication(),
            ..millstream_replication::Settings::new(GROUP, self.nodes[node].id, registration)
        };
        Settings {
            replication,
            commit_bytes_max: COMMIT_BYTES_MAX,
            tiering: TIERING,
            planted: self.plant.replica(),
        }
    }

    /// A process that failed starts again: on a machine that stayed up, whose page cache shows what was written, or
    /// after the power has failed.
    pub fn start_again(&mut self, node: usize) {
        if self.nodes[node].disk.is_off() || self.chance(40) {
            self.power_failure(node);
        } else {
            self.saw(Happening::RestartOnCachedDisk);
            self.end_process(node);
        }
        self.after(100, Event::Start { node });
    }

    /// The journal takes nothing more from this process.
    pub fn journal_failed(&mut self, node: usize, why: &str) -> Check {
        self.excuse(node, why)?;
        self.step(node, Input::Damaged)?;
        self.start_again(node);
        Ok(())
    }

    /// A journal that fails must have been given a reason.
    pub fn excuse(&mut self, node: usize, why: &str) -> Check {
        if !self.nodes[node].expects_errors {
            return Err(format!("{node}'s journal fails: {why}"));
        }
        self.note(|| format!("{node}'s journal fails: {why}"));
        self.saw(Happening::FailedJournal);
        Ok(())
    }
}
