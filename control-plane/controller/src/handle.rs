//! The controller as the rest of the process sees it.

use crate::lease::LeaseSeen;
use async_trait::async_trait;
use millstream_catalog::{CatalogError, CatalogReader};
use millstream_metadata::{
    Actor, AuditRow, Bootstrap, Change, Command, Commands, Committed, Image, ImageWatch, KeyRow, Refusal,
    Request,
};
use millstream_model::{NodeId, TimestampMs};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// This process is not the controller.
#[derive(Debug, thiserror::Error)]
pub enum NotActive {
    /// Somebody else is, or nobody.
    #[error("this node is not the controller")]
    Standby,
    /// The controller has been shut down.
    #[error("the controller has been shut down")]
    Stopped,
    /// This process can never be the controller again.
    #[error("{0}")]
    GivenUp(String),
    /// The store failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// One committed transaction, for those who follow.
#[derive(Clone, Debug)]
pub struct Update {
    /// The controller's term.
    pub term: u64,
    /// The version after it.
    pub version: u64,
    /// What changed; none when the controller has just taken over and everything must be sent again.
    pub changes: Option<Arc<[Change]>>,
}

/// Where a command comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// This process.
    Here,
    /// Another one.
    Elsewhere,
}

/// What is asked of the controller's task.
pub(crate) enum Asked {
    Command {
        from: From,
        actor: Actor,
        command: Command,
        reply: oneshot::Sender<Result<Committed, Refusal>>,
    },
    Unconfirmed {
        version: u64,
        reply: oneshot::Sender<Vec<NodeId>>,
    },
}

/// What is known of the controller's task.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    Standby,
    Active {
        term: u64,
        reader: CatalogReader,
    },
    /// For good, and why: the process must end.
    GivenUp(String),
    Stopped,
}

/// A controller: cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) requests: mpsc::Sender<Asked>,
    pub(crate) images: ImageWatch,
    pub(crate) updates: broadcast::Sender<Update>,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) copied: watch::Receiver<u64>,
    pub(crate) urgent: watch::Sender<u64>,
    pub(crate) lease: watch::Receiver<LeaseSeen>,
    /// Whom it has heard since it decides; none while it does not.
    pub(crate) heard: watch::Receiver<Option<BTreeSet<NodeId>>>,
}

impl Handle {
    /// What this process knows of the lease: to be read, or followed.
    pub fn lease(&self) -> watch::Receiver<LeaseSeen> {
        self.lease.clone()
    }

    /// Brings this node's copy of the catalog on its disk to `version` at once.
    pub async fn copy(&self, version: u64) {
        self.urgent.send_if_modified(|urgent| {
            let rises = *urgent < version;
            *urgent = version.max(*urgent);
            rises
        });
        // An error means that the controller is gone, and no newer copy will come.
        let _ = self.copied.clone().wait_for(|copied| *copied >= version).await;
    }

    /// The newest image that this process has.
    pub fn image(&self) -> Arc<Image> {
        self.images.image()
    }

    /// To follow the images.
    pub fn image_watch(&self) -> ImageWatch {
        self.images.clone()
    }

    /// To follow the changes. Who lags too far is told so by the receiver, and begins again from an image.
    pub fn updates(&self) -> broadcast::Receiver<Update> {
        self.updates.subscribe()
    }

    /// Whether this process decides, and in which term.
    pub fn term(&self) -> Option<u64> {
        match &*self.phase.borrow() {
            Phase::Active { term, .. } => Some(*term),
            Phase::Standby | Phase::GivenUp(_) | Phase::Stopped => None,
        }
    }

    /// Waits until this process decides.
    pub async fn active(&self) -> Result<u64, NotActive> {
        let mut phase = self.phase.clone();
        let found = phase.wait_for(|phase| !matches!(phase, Phase::Standby)).await;
        match found.as_deref() {
            Ok(Phase::Active { term, .. }) => Ok(*term),
            Ok(Phase::GivenUp(reason)) => Err(NotActive::GivenUp(reason.clone())),
            Ok(Phase::Standby | Phase::Stopped) | Err(_) => Err(NotActive::Stopped),
        }
    }

    /// Waits until this process has no place in the cluster any more, and says why: it must end.
    pub async fn given_up(&self) -> String {
        let mut phase = self.phase.clone();
        let found = phase.wait_for(|phase| matches!(phase, Phase::GivenUp(_))).await;
        if let Ok(Phase::GivenUp(reason)) = found.as_deref() {
            return reason.clone();
        }
        // It ends anyway.
        std::future::pending().await
    }

    /// Waits until the controller has been shut down and the catalog is closed.
    pub async fn stopped(&self) {
        let mut phase = self.phase.clone();
        // An error means that the task is gone, which is what was waited for.
        let _ = phase.wait_for(|phase| matches!(phase, Phase::Stopped)).await;
    }

    /// The nodes whose image has not come to `version` yet.
    pub async fn unconfirmed(&self, version: u64) -> Result<Vec<NodeId>, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(Asked::Unconfirmed { version, reply })?;
        answer.await.map_err(|_| Refusal::NotController)
    }

    /// The latest audit events for which `wanted` holds, oldest first.
    pub async fn audit(
        &self,
        limit: usize,
        wanted: impl Fn(&AuditRow) -> bool,
    ) -> Result<Vec<Arc<AuditRow>>, NotActive> {
        let reader = match &*self.phase.borrow() {
            Phase::Active { reader, .. } => reader.clone(),
            Phase::Standby => return Err(NotActive::Standby),
            Phase::GivenUp(reason) => return Err(NotActive::GivenUp(reason.clone())),
            Phase::Stopped => return Err(NotActive::Stopped),
        };
        Ok(reader.audit(limit, wanted).await?)
    }

    /// On an empty catalog: makes the first organisation, environment and virtual cluster, and an operator's key,
    /// whose secret the caller derives and shows once. None if the catalog was not empty.
    pub async fn bootstrap(&self, root_version: u32) -> Result<Option<Arc<KeyRow>>, Refusal> {
        let bootstrap = Bootstrap { root_version };
        Ok(self.submit(Actor::System, bootstrap).await?.reply)
    }

    /// Has something of this process carried out, or says why not. The reply comes once the decision is durable.
    pub async fn submit<R: Request>(&self, actor: Actor, request: R) -> Result<Committed<R::Reply>, Refusal> {
        let commands: &dyn Commands = self;
        commands.submit(actor, request).await
    }

    /// A command of another process, which the caller has authenticated as one of the cluster's nodes.
    pub async fn submit_for_node(&self, actor: Actor, command: Command) -> Result<Committed, Refusal> {
        self.ask(From::Elsewhere, actor, command).await
    }

    async fn ask(&self, from: From, actor: Actor, command: Command) -> Result<Committed, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.send(Asked::Command {
            from,
            actor,
            command,
            reply,
        })?;
        // The task answers every request, or it ended: then the command may have been under way.
        answer.await.unwrap_or_else(|_| {
            Err(Refusal::Unknown {
                reason: "the controller stopped".to_owned(),
            })
        })
    }

    fn send(&self, request: Asked) -> Result<(), Refusal> {
        self.requests.try_send(request).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refusal::Overloaded,
            mpsc::error::TrySendError::Closed(_) => Refusal::NotController,
        })
    }
}

/// Commands of this process; a node that registers this way lives as long as the controller.
#[async_trait]
impl Commands for Handle {
    async fn carry_out(&self, actor: Actor, command: Command) -> Result<Committed, Refusal> {
        self.ask(From::Here, actor, command).await
    }

    fn hears(&self, node: NodeId) -> bool {
        self.heard
            .borrow()
            .as_ref()
            .is_none_or(|heard| heard.contains(&node))
    }
}

/// Fresh time and randomness for one decision.
pub(crate) fn seeds() -> millstream_catalog::Seeds {
    millstream_catalog::Seeds::new(TimestampMs::now(), rand::random())
}
