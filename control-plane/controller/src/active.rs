//! While this process decides: commands in, transactions out.

use crate::handle::{Asked, From, Update, seeds};
use crate::sessions::Sessions;
use millstream_catalog::{Batch, Catalog, Lost};
use millstream_metadata::{
    Actor, Change, Command, Committed, EndSession, ImagePublisher, KeyState, Refusal, Reply, Row,
    SetServiceTopicDefaults, TopicDefaults,
};
use millstream_model::NodeId;
use millstream_model::limits::COMMANDS_BATCH_MAX;
use std::collections::BTreeSet;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// A command that was decided and waits for its transaction.
struct Pending {
    reply: oneshot::Sender<Result<Committed, Refusal>>,
    outcome: Result<Reply, Refusal>,
}

/// The catalog's writer with all that hangs on it.
pub(crate) struct Active<'a> {
    pub catalog: Catalog,
    pub sessions: Sessions,
    pub publisher: &'a ImagePublisher,
    pub updates: &'a broadcast::Sender<Update>,
    /// The version of this node's copy of the catalog.
    pub copied: &'a watch::Receiver<u64>,
    /// The version of the last transaction that the copy must have at once.
    pub urgent: &'a watch::Sender<u64>,
    /// Whom it has heard since it decides.
    pub heard: &'a watch::Sender<Option<BTreeSet<NodeId>>>,
}

impl Active<'_> {
    /// Takes all requests that wait, up to a bound, and carries them out as one transaction.
    pub async fn serve(
        &mut self,
        first: Asked,
        requests: &mut mpsc::Receiver<Asked>,
        now_ms: u64,
    ) -> Result<(), Lost> {
        let mut batch = Batch::new(self.catalog.image());
        let mut pending = Vec::new();
        let mut next = Some(first);
        while let Some(request) = next {
            self.decide(request, &mut batch, &mut pending, now_ms);
            next = if pending.len() < COMMANDS_BATCH_MAX {
                requests.try_recv().ok()
            } else {
                None
            };
        }
        let version = batch.version();
        let committed = self.commit(batch).await;
        for Pending { reply, outcome } in pending {
            let answer = match (&committed, outcome) {
                (Ok(()), Err(refusal)) => Err(refusal),
                (Ok(()), Ok(reply)) => Ok(Committed { version, reply }),
                // Refused on the strength of rows that may be none any more.
                (Err(_), Err(_)) => Err(Refusal::NotController),
                (Err(lost), Ok(_)) => Err(Refusal::Unknown {
                    reason: lost.to_string(),
                }),
            };
            // A caller that no longer waits is none of our business.
            let _ = reply.send(answer);
        }
        committed
    }

    /// Writes what the settings say of topics, if it is not there yet.
    pub async fn set_topic_defaults(&mut self, defaults: TopicDefaults) -> Result<(), Lost> {
        let mut batch = Batch::new(self.catalog.image());
        let set = SetServiceTopicDefaults { defaults };
        if let Err(refusal) = batch.submit(&mut seeds(), &Actor::System, set) {
            tracing::error!(%refusal, "the defaults of topics cannot be what the settings say");
        }
        self.commit(batch).await
    }

    /// Looks at the sessions, and ends those that are over.
    pub async fn tick(&mut self, now_ms: u64) -> Result<(), Lost> {
        if let Some(lost) = self.catalog.lost() {
            return Err(lost);
        }
        let mut batch = Batch::new(self.catalog.image());
        for (journal, registration) in self.sessions.expired(now_ms, self.catalog.image()) {
            tracing::warn!(%journal, %registration, "a node was not heard for a session: its leaderships move");
            let end = EndSession {
                journal,
                registration,
            };
            if let Err(refusal) = batch.submit(&mut seeds(), &Actor::System, end) {
                tracing::info!(%refusal, "the session need not be ended");
            }
        }
        self.commit(batch).await
    }

    /// Shows whether what this node knows of keys may still be believed.
    pub fn believe(&self, is_over: bool) {
        if is_over == self.publisher.image().is_stale() {
            return;
        }
        let image = self.catalog.image();
        self.publisher.publish(match is_over {
            true => image.as_stale(),
            false => image.clone(),
        });
        tracing::warn!(is_over, "how fresh what is known of keys is has changed");
    }

    /// Makes durable, then shows.
    async fn commit(&mut self, batch: Batch) -> Result<(), Lost> {
        if batch.is_empty() {
            return Ok(());
        }
        let changes = self.catalog.commit(batch).await?;
        let image = self.catalog.image();
        let update = Update {
            term: image.term(),
            version: image.version(),
            changes: Some(changes),
        };
        self.publisher.publish(image.clone());
        if changes_revoke(&update) {
            self.urgent.send_replace(update.version);
        }
        // Nobody may be following.
        let _ = self.updates.send(update);
        Ok(())
    }

    fn decide(&mut self, request: Asked, batch: &mut Batch, pending: &mut Vec<Pending>, now_ms: u64) {
        match request {
            Asked::Command {
                from,
                actor,
                command,
                reply,
            } => {
                let outcome = batch.add(&mut seeds(), &actor, &command);
                if outcome.is_ok() {
                    self.hear(from, &actor, &command, now_ms);
                }
                pending.push(Pending { reply, outcome });
            }
            Asked::Unconfirmed { version, reply } => {
                let _ = reply.send(self.sessions.unconfirmed(
                    self.catalog.image(),
                    version,
                    *self.copied.borrow(),
                ));
            }
        }
    }

    /// What a command tells of who is alive.
    fn hear(&mut self, from: From, actor: &Actor, command: &Command, now_ms: u64) {
        match (actor, command) {
            (Actor::Node(node), Command::Heartbeat(beat)) => {
                self.sessions
                    .heard(now_ms, *node, beat.registration, beat.version);
                self.heard
                    .send_if_modified(|heard| heard.as_mut().is_some_and(|heard| heard.insert(*node)));
            }
            (_, Command::RegisterNode(start)) if from == From::Here => self.sessions.add_own(start.journal),
            _ => {}
        }
    }
}

/// Whether a transaction takes a key back: what a restart begins with must know it.
fn changes_revoke(update: &Update) -> bool {
    let revokes = |change: &Change| match change {
        Change::Put(Row::Key(key)) => key.state != KeyState::Active,
        _ => false,
    };
    update
        .changes
        .as_ref()
        .is_some_and(|changes| changes.iter().any(revokes))
}
