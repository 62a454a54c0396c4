//! Whether a folder that is a store is still the one that it was.
//!
//! A file system that is unmounted, or a folder that is moved, leaves a path at which the next write would make a new
//! folder: objects would go there, what they replace would be given up, and none would be found when the old one is back.
//! Who the cluster is (`cluster.json`) lies in the folder itself; once it was seen there, nothing is done without it.

use futures::stream::{BoxStream, StreamExt};
use object_store::{Error, Result};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What says who a cluster is (the catalog writes it), at the top of its folder.
pub(crate) const CLUSTER_FILE: &str = "cluster.json";

/// A folder that is a store.
#[derive(Clone, Debug)]
pub(crate) struct Presence(Arc<Seen>);

#[derive(Debug)]
struct Seen {
    /// `cluster.json`.
    file: PathBuf,
    /// It was there once.
    seen: AtomicBool,
}

/// The folder is gone, or another one lies in its place.
#[derive(Debug, thiserror::Error)]
#[error(
    "the folder is not the cluster's: {} is missing; is its file system mounted, and is --store right?",
    file.display()
)]
struct Gone {
    file: PathBuf,
}

impl Presence {
    /// Of a folder; `known` says that a cluster was there once, whether it is now or not.
    pub(crate) fn of(folder: &str, known: bool) -> Presence {
        let file = PathBuf::from(folder).join(CLUSTER_FILE);
        let seen = AtomicBool::new(known || file.exists());
        Presence(Arc::new(Seen { file, seen }))
    }

    /// What is answered while nothing is at its path.
    pub(crate) fn gone(&self) -> Error {
        self.0.gone()
    }

    /// Fails when the folder is another one. What else the file system answers is told by whatever is done then.
    #[expect(
        clippy::disallowed_methods,
        reason = "the shell that asks the file system where it may block"
    )]
    pub(crate) async fn check(&self) -> Result<()> {
        let seen = Arc::clone(&self.0);
        let checked = tokio::task::spawn_blocking(move || seen.check()).await;
        checked.unwrap_or_else(|source| {
            Err(Error::Generic {
                store: STORE,
                source: source.into(),
            })
        })
    }

    /// What was done, if the folder was the same one to the end.
    pub(crate) async fn held<T>(&self, done: Result<T>) -> Result<T> {
        let done = done?;
        self.check().await?;
        Ok(done)
    }

    /// What was read; that something is missing is true in the same folder only.
    pub(crate) async fn found<T>(&self, read: Result<T>) -> Result<T> {
        if matches!(read, Err(Error::NotFound { .. })) {
            self.check().await?;
        }
        read
    }

    /// Each one, while the folder is the same one.
    pub(crate) fn each<T: Send + 'static>(
        &self,
        of: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let presence = self.clone();
        let checked = of.then(move |one| {
            let presence = presence.clone();
            async move { presence.held(one).await }
        });
        checked.boxed()
    }

    /// A listing that ends with an error when the folder is another one: nothing may be concluded from what is not in it.
    pub(crate) fn whole<T: Send + 'static>(
        &self,
        listing: BoxStream<'static, Result<T>>,
    ) -> BoxStream<'static, Result<T>> {
        let presence = self.clone();
        let end = futures::stream::once(async move { presence.check().await });
        let end = end.filter_map(async |checked| checked.err().map(Err));
        listing.chain(end).boxed()
    }
}

const STORE: &str = "Folder";

impl Seen {
    fn gone(&self) -> Error {
        Error::Generic {
            store: STORE,
            source: Box::new(Gone {
                file: self.file.clone(),
            }),
        }
    }

    fn check(&self) -> Result<()> {
        match std::fs::metadata(&self.file) {
            Ok(_) => {
                self.seen.store(true, Ordering::Relaxed);
                Ok(())
            }
            Err(error)
                if error.kind() == std::io::ErrorKind::NotFound && self.seen.load(Ordering::Relaxed) =>
            {
                Err(self.gone())
            }
            Err(_) => Ok(()),
        }
    }
}
