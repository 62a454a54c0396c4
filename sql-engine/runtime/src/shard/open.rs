//! Opening a shard's state at the first need: fence, database, replay. A shard that has push queries only never does, so
//! that they cost neither a table nor a request to the store.

use super::Runner;
use crate::error::ShardError;
use crate::shard_core::OPENING;
use crate::streams::{Changelog, ChangelogError, ChangelogPart};
use bytes::Bytes;
use millstream_model::{Backoff, Offset, Waits};
use millstream_state::{
    Cold, ColdCache, ColdError, CommitInput, CommitOutput, Commits, StopReason, StoreKind,
};
use object_store::ObjectStore;
use object_store::path::Path;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a changelog that has more and brings nothing is asked again.
const READ_PATIENCE: Duration = Duration::from_secs(10);

/// How long a shard that closes waits for its last flush.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// The waits between two reads.
const READ_AGAIN: Waits = Waits::new(Duration::from_millis(20), Duration::from_millis(500));

/// Where a shard's state is, open or not.
pub(crate) struct StateStore {
    pub(crate) changelog: Arc<dyn Changelog>,
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) kind: StoreKind,
    pub(crate) path: Path,
    pub(crate) cache: ColdCache,
    pub(crate) open: Option<Arc<Cold>>,
}

impl From<ChangelogError> for ShardError {
    fn from(error: ChangelogError) -> Self {
        match error {
            ChangelogError::Fenced => Self::Stopped,
            error @ ChangelogError::Unavailable { .. } => Self::State {
                reason: error.to_string(),
            },
            // Whoever puts a good copy of the object back finds it open with the next try.
            error @ ChangelogError::Damaged { .. } => Self::State {
                reason: format!(
                    "{error}; it goes on when the object is whole again (millstream store check names it), or without what is \
                     gone after a start with --recover-groups"
                ),
            },
        }
    }
}

fn not_open() -> ShardError {
    ShardError::State {
        reason: "the shard's state did not open".to_owned(),
    }
}

impl Runner {
    /// Takes the shard over, if this life has not yet: everything that was committed is there when it returns.
    pub(super) async fn open(&mut self) -> Result<Arc<Cold>, ShardError> {
        if let Some(cold) = &self.state.open {
            return Ok(cold.clone());
        }
        let mut commits = Commits::new().accepting_loss(self.settings.accepts_loss);
        let mut outputs = VecDeque::from(commits.step(CommitInput::Open));
        let mut opened = None;
        while let Some(output) = outputs.pop_front() {
            let input = match output {
                CommitOutput::Fence => {
                    let fence = self.state.changelog.fence().await?;
                    CommitInput::Fenced {
                        epoch: fence.epoch,
                        start: fence.start,
                        end: fence.end,
                    }
                }
                CommitOutput::OpenDatabase => {
                    let state = &self.state;
                    let (store, path) = (state.store.clone(), state.path.clone());
                    let pace = self.settings.pace;
                    let cold = Cold::open_at_pace(store, state.kind, path, &state.cache, pace).await?;
                    let tag = cold.tag().await;
                    opened = Some(Arc::new(cold));
                    CommitInput::Opened { tag }
                }
                CommitOutput::Read { from } => match self.read_on(from).await? {
                    Ok(ChangelogPart { pieces, next }) => CommitInput::Read { pieces, next },
                    Err(damage) => CommitInput::Unread { damage },
                },
                CommitOutput::Stop(StopReason::Fenced) => return Err(ShardError::Stopped),
                CommitOutput::Stop(reason @ StopReason::Damaged(_)) => {
                    tracing::error!("the shard does not open: {reason}");
                    return Err(ShardError::Damaged { reason });
                }
                CommitOutput::Accepted { damage } => {
                    tracing::error!(
                        "the shard goes on with what precedes the damage, as the operator asked: {damage}"
                    );
                    continue;
                }
                CommitOutput::Flush { changes, tag } => {
                    let cold = opened.as_ref().ok_or_else(not_open)?;
                    match cold.flush(&changes, tag).await {
                        Ok(()) => CommitInput::Flushed,
                        Err(ColdError::Fenced) => return Err(ShardError::Stopped),
                        Err(error) => {
                            tracing::error!("what is left of the shard cannot be written: {error}");
                            CommitInput::FlushFailed {
                                random: rand::random(),
                            }
                        }
                    }
                }
                CommitOutput::Trim { before } => {
                    if let Err(error) = self.state.changelog.trim(before).await {
                        tracing::debug!("the changelog is trimmed with the next flush: {error}");
                    }
                    continue;
                }
                CommitOutput::Ready => break,
                CommitOutput::Append { .. } | CommitOutput::Committed { .. } => continue,
            };
            outputs.extend(commits.step(input));
        }
        let cold = opened.filter(|_| commits.is_ready()).ok_or_else(not_open)?;
        let mut rows = Vec::new();
        for prefix in OPENING {
            rows.extend(commits.committed(prefix, cold.scan(prefix).await?));
        }
        self.core.open(&rows)?;
        // The clock of the commits begins with the shard.
        commits.step(CommitInput::Tick {
            now_ms: self.now_ms(),
        });
        self.core.commits = commits;
        self.quiet_since = Some(Instant::now());
        self.state.open = Some(cold.clone());
        Ok(cold)
    }

    /// What lies in the changelog from an offset on that is below its end; or what is damaged of it, for an operator who goes
    /// on without.
    async fn read_on(&self, from: Offset) -> Result<Result<ChangelogPart, String>, ShardError> {
        let until = Instant::now() + READ_PATIENCE;
        let mut backoff = Backoff::new(READ_AGAIN);
        loop {
            let missed = match self.state.changelog.read(from).await {
                Ok(part) if part.next > from => return Ok(Ok(part)),
                Ok(_) => ChangelogError::Unavailable {
                    reason: format!("it brings nothing from offset {from} on"),
                },
                Err(ChangelogError::Fenced) => return Err(ShardError::Stopped),
                Err(error) => error,
            };
            if Instant::now() >= until {
                return match missed {
                    ChangelogError::Damaged { reason } if self.settings.accepts_loss => Ok(Err(reason)),
                    missed => Err(missed.into()),
                };
            }
            tokio::time::sleep(backoff.next(rand::random())).await;
        }
    }

    /// Committed rows of a prefix, in key order.
    pub(super) async fn stored(&mut self, prefix: &[u8]) -> Result<Vec<(Bytes, Bytes)>, ShardError> {
        let cold = self.open().await?;
        self.quiet_since = Some(Instant::now());
        let durable = cold.scan(prefix).await?;
        Ok(self.core.commits.committed(prefix, durable))
    }

    /// Closes what is open. What is not flushed is in the changelog: much of it is flushed first, little is left to the
    /// next life.
    pub(super) async fn close(&mut self) -> Result<(), ShardError> {
        let Some(cold) = self.state.open.clone() else {
            return Ok(());
        };
        if !self.fenced {
            let outputs = self.core.commits.step(CommitInput::Close);
            self.execute_all(outputs, &cold);
            // While the store is away, the changelog keeps it all for the next life.
            if tokio::time::timeout(CLOSE_MAX, self.wait_until_flushed())
                .await
                .is_err()
            {
                tracing::warn!(
                    "the shard closes without its last flush; the changelog has what is committed"
                );
            }
        }
        self.state.open = None;
        Ok(cold.close().await?)
    }
}
