//! Becoming part of the cluster: the registration of this start, and what a node serves that has to wait for it.
//!
//! ```text
//!   registered ─► number fsynced ─► confirmed ─► lost groups taken over ─► groups lead
//! ```
//! A start while the object store is down serves reads first (log.md 30): the only replica of a group has all that is
//! committed on its disk. Nothing is written, and nobody leads, before the number of this start is on disk (13, 14).

use crate::follow::{Follower, Found};
use crate::group::Disk;
use crate::recover;
use crate::settings::Settings;
use crate::shell::Shell;
use crate::standing::Standing;
use crate::start::StartError;
use millstream_journal::{CommitError, Journal, RealDisk, Recovered, SubmitError, Writer, journal_id};
use millstream_metadata::stored::FEATURE_LEVEL_MAX;
use millstream_metadata::{
    Actor, Commands, ConfirmRegistration, Heartbeat, NodeRow, RecoveredGroup, RegisterNode,
};
use millstream_model::backoff::{Backoff, Waits};
use millstream_model::{GroupId, JournalId, Registration, Retry};
use millstream_replication::EntryId;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a controller that cannot be reached is left alone before the next attempt to register.
const REGISTER_WAITS: Waits = Waits::new(Duration::from_millis(250), Duration::from_secs(1));

/// After so many attempts it is said again that the controller cannot be reached.
const ATTEMPTS_PER_WARNING: u32 = 40;

/// The journal in a broker's folder, without opening it; none when there is none yet.
///
/// # Errors
/// When the folder cannot be read, or another process uses it.
pub fn journal_in(data_dir: &Path) -> Result<Option<JournalId>, StartError> {
    let disk = RealDisk::open(&data_dir.join("journal"))?;
    Ok(journal_id(&disk)?)
}

/// What joining needs to know of the disk.
pub(crate) struct Joining {
    command: RegisterNode,
    /// The entries that the groups' logs begin behind.
    bases: Vec<(GroupId, EntryId)>,
}

/// A registration that the controller gave.
pub(crate) struct Registered {
    pub(crate) row: Arc<NodeRow>,
    version: u64,
}

impl Joining {
    pub(crate) fn of(
        settings: &Settings,
        journal: &Journal<Disk>,
        recovered: &Recovered,
        found: &BTreeMap<GroupId, Found>,
    ) -> Joining {
        let bases = found.iter().map(|(group, found)| (*group, found.recovery.base()));
        Joining {
            command: RegisterNode {
                journal: journal.id(),
                registration_last: recovered.registration,
                kafka: settings.kafka.clone(),
                http: settings.http.clone(),
                feature_level_max: FEATURE_LEVEL_MAX,
                damaged: journal.damage().is_some(),
            },
            bases: bases.collect(),
        }
    }

    fn journal(&self) -> JournalId {
        self.command.journal
    }

    /// Registers this start, trying again while the controller is away.
    pub(crate) async fn register(&self, commands: &dyn Commands) -> Result<Registered, StartError> {
        let mut attempts = 0u32;
        let mut backoff = Backoff::new(REGISTER_WAITS);
        loop {
            match commands.submit(Actor::System, self.command.clone()).await {
                Ok(committed) => {
                    return Ok(Registered {
                        row: committed.reply,
                        version: committed.version,
                    });
                }
                Err(refusal) if refusal.retry() == Retry::Never => return Err(refusal.into()),
                Err(refusal) => {
                    if attempts.is_multiple_of(ATTEMPTS_PER_WARNING) {
                        tracing::warn!(%refusal, "cannot register yet");
                    }
                    attempts = attempts.wrapping_add(1);
                    tokio::time::sleep(backoff.next(rand::random())).await;
                }
            }
        }
    }
}

impl Shell {
    /// Begins to serve: as a part of the cluster when this start was registered, else reads, and the rest later. Gives the
    /// groups that were taken over.
    pub(crate) async fn begin(
        self: &Arc<Shell>,
        joining: Joining,
        registered: Option<Registered>,
        mut follower: Follower,
    ) -> Result<Vec<RecoveredGroup>, StartError> {
        if let Some(registered) = registered {
            let recovered = self.joined(&joining, registered).await?;
            self.serve(follower);
            return Ok(recovered);
        }
        follower.follow(&self.image.image());
        tracing::warn!(
            "serves reads from this disk until the controller can be reached; everything else waits"
        );
        self.tasks.spawn(Arc::clone(self).join_later(joining, follower));
        Ok(Vec::new())
    }

    /// The controller has given this start its number: makes it count, and gives the groups that were taken over.
    pub(crate) async fn joined(
        &self,
        joining: &Joining,
        registered: Registered,
    ) -> Result<Vec<RecoveredGroup>, StartError> {
        let services = &self.services;
        let registration = registered.row.registration;
        if keep_registration(&services.writer, registration).await? == Kept::OnDisk {
            confirm(services.commands.as_ref(), &registered.row).await?;
        }
        for (group, base) in &joining.bases {
            recover::skip_to(&services.reader, &services.writer, *group, *base).await?;
        }
        let _ = self.image.wait_for_version(registered.version).await;
        let mut recovered = Vec::new();
        if self.settings.recover_groups {
            let commands = services.commands.as_ref();
            let (groups, version) = recover::take_over(&self.settings, commands, joining.journal()).await?;
            let _ = self.image.wait_for_version(version).await;
            recovered = groups;
        }
        // Set once: there is one registration per start.
        let _ = services.registration.set(registration);
        Ok(recovered)
    }

    /// Serves as a part of the cluster, what the catalog says, until the broker stops.
    pub(crate) fn serve(self: &Arc<Shell>, mut follower: Follower) {
        if let Some(registration) = self.services.registration.get() {
            follower.registered(*registration);
        }
        follower.follow(&self.image.image());
        self.tasks.spawn(follower.run());
        self.tasks.spawn(Arc::clone(self).heartbeat());
        self.tasks.spawn(Arc::clone(self).retain());
        self.spawn_with_store(Arc::clone(self).recheck_damage());
        self.standing.send_replace(Standing::Member);
    }

    /// Tells the controller that this node lives, until the broker stops.
    async fn heartbeat(self: Arc<Shell>) {
        let actor = Actor::Node(self.services.node);
        let Some(registration) = self.services.registration.get().copied() else {
            return;
        };
        loop {
            let command = Heartbeat {
                registration,
                version: self.image.image().version(),
            };
            if let Err(refusal) = self.services.commands.submit(actor.clone(), command).await {
                tracing::warn!(%refusal, "the controller did not take the heartbeat");
            }
            tokio::select! {
                () = tokio::time::sleep(self.settings.heartbeat_interval) => {}
                () = self.stopping.cancelled() => return,
            }
        }
    }

    /// Joins the cluster once the controller can be reached; until then this node serves reads.
    pub(crate) async fn join_later(self: Arc<Shell>, joining: Joining, follower: Follower) {
        let registering = async {
            let registered = joining.register(self.services.commands.as_ref()).await?;
            self.joined(&joining, registered).await
        };
        let joined = tokio::select! {
            joined = registering => joined,
            () = self.stopping.cancelled() => return,
        };
        if let Err(error) = joined {
            tracing::error!(%error, "this node is refused and serves nothing any more; an operator must look");
            self.standing.send_replace(Standing::Refused);
            let groups = std::mem::take(&mut *self.groups.write());
            groups
                .values()
                .for_each(|group| group.with(|core| core.wake_all()));
            return;
        }
        if let Some(registration) = self.services.registration.get() {
            for group in self.all_groups() {
                group.with(|core| core.registered(*registration));
            }
        }
        tracing::info!("the controller was reached: this node serves everything from here on");
        self.serve(follower);
    }
}

/// Where the number of this start is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    OnDisk,
    /// The journal is damaged.
    Nowhere,
}

/// The number must be on disk before anything is served (log.md 13). A damaged journal keeps nothing; it serves what
/// precedes the damage.
async fn keep_registration(writer: &Writer, registration: Registration) -> Result<Kept, StartError> {
    match writer.register(registration).await {
        Err(SubmitError::Commit(CommitError::Damaged(damage))) => {
            tracing::error!(
                %damage,
                "the journal is damaged: it serves what precedes the damage and takes nothing; start with --recover-groups \
                 to go on with all that is whole, and to be told what is lost"
            );
            Ok(Kept::Nowhere)
        }
        other => Ok(other.map(|()| Kept::OnDisk)?),
    }
}

/// Tells the controller that the number is on disk: from here on an older one proves a rollback. Nothing may be served
/// before the controller knows, or a journal that is rolled back to before this start would pass.
async fn confirm(commands: &dyn Commands, node: &NodeRow) -> Result<(), StartError> {
    let mut backoff = Backoff::new(REGISTER_WAITS);
    loop {
        let command = ConfirmRegistration {
            journal: node.journal,
            registration: node.registration,
        };
        match commands.submit(Actor::Node(node.id), command).await {
            Ok(_) => return Ok(()),
            Err(refusal) if refusal.retry() == Retry::Never => return Err(refusal.into()),
            Err(refusal) => {
                tracing::warn!(%refusal, "cannot confirm the registration yet");
                tokio::time::sleep(backoff.next(rand::random())).await;
            }
        }
    }
}
