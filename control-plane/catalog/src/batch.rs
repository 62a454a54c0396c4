//! Several commands as one transaction: each decided on what the ones before it would leave.

use crate::decide::decide;
use crate::seeds::Seeds;
use millstream_metadata::{Actor, Change, Command, Image, Refusal, Reply, Request, Row};
use millstream_model::Retry;

/// A transaction that is being put together.
#[derive(Debug)]
pub struct Batch {
    before: u64,
    image: Image,
    changes: Vec<Change>,
    /// Somebody is turned away for good.
    refuses: bool,
}

impl Batch {
    /// Starts one on top of the committed image.
    pub fn new(image: &Image) -> Batch {
        let mut image = image.clone();
        let before = image.version();
        let mut cluster = image.cluster().clone();
        cluster.version += 1;
        image.apply(&Change::Put(Row::Cluster(cluster.into())));
        Batch {
            before,
            image,
            changes: Vec::new(),
            refuses: false,
        }
    }

    /// Decides one more command. A refused one changes no row; but a node that is turned away for good is lost, and a
    /// controller that was overthrown without noticing would do so on the strength of rows that are none any more. So
    /// that is a decision, too, to be answered when the transaction is durable (log.md 36).
    pub fn add(&mut self, seeds: &mut Seeds, actor: &Actor, command: &Command) -> Result<Reply, Refusal> {
        let decision = decide(&self.image, seeds, actor, command);
        if let (Err(refusal), Actor::Node(_) | Actor::System) = (&decision, actor) {
            self.refuses |= refusal.retry() == Retry::Never;
        }
        let decision = decision?;
        for change in &decision.changes {
            self.image.apply(change);
        }
        self.changes.extend(decision.changes);
        Ok(decision.reply)
    }

    /// The same for who knows what is asked, and so what the reply is.
    pub fn submit<R: Request>(
        &mut self,
        seeds: &mut Seeds,
        actor: &Actor,
        request: R,
    ) -> Result<R::Reply, Refusal> {
        self.add(seeds, actor, &request.into_command()).map(R::reply_of)
    }

    /// Raises the term (log.md 36).
    pub fn raise_term(&mut self) {
        let mut cluster = self.image.cluster().clone();
        cluster.term += 1;
        let change = Change::Put(Row::Cluster(cluster.into()));
        self.image.apply(&change);
        self.changes.push(change);
    }

    /// The version at which every command of this transaction shows.
    pub fn version(&self) -> u64 {
        if self.is_empty() {
            self.before
        } else {
            self.image.version()
        }
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && !self.refuses
    }

    /// The image after it, and the changes to be made durable first. The cluster's row is always the last.
    pub fn finish(mut self) -> (Image, Vec<Change>) {
        let cluster = |change: &Change| matches!(change, Change::Put(Row::Cluster(_)));
        self.changes.retain(|change| !cluster(change));
        self.changes
            .push(Change::Put(Row::Cluster(self.image.cluster().clone().into())));
        (self.image, self.changes)
    }
}
