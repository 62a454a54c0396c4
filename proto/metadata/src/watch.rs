//! Following the catalog: the newest image, and waiting for one that is new enough.

use crate::image::Image;
use std::sync::Arc;
use tokio::sync::watch;

/// The other side is gone: no newer image will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the catalog is no longer followed")]
pub struct WatchClosed;

/// The newest image, and a wake-up when there is a newer one. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ImageWatch(watch::Receiver<Arc<Image>>);

impl ImageWatch {
    /// A watch that starts with `image`, and the end that publishes newer ones.
    pub fn channel(image: Image) -> (ImagePublisher, ImageWatch) {
        let (sender, receiver) = watch::channel(Arc::new(image));
        (ImagePublisher(sender), ImageWatch(receiver))
    }

    /// The newest image.
    pub fn image(&self) -> Arc<Image> {
        Arc::clone(&self.0.borrow())
    }

    /// Waits for an image that this handle has not seen yet, and gives it.
    pub async fn changed(&mut self) -> Result<Arc<Image>, WatchClosed> {
        self.0.changed().await.map_err(|_| WatchClosed)?;
        Ok(Arc::clone(&self.0.borrow_and_update()))
    }

    /// Waits until the image is at least at `version`, and gives it. Cancel-safe; the caller sets the time limit.
    pub async fn wait_for_version(&self, version: u64) -> Result<Arc<Image>, WatchClosed> {
        let mut receiver = self.0.clone();
        let image = receiver.wait_for(|image| image.version() >= version).await;
        image.map(|image| Arc::clone(&image)).map_err(|_| WatchClosed)
    }
}

/// Publishes newer images.
#[derive(Debug)]
pub struct ImagePublisher(watch::Sender<Arc<Image>>);

impl ImagePublisher {
    /// Makes this the newest image, unless a newer one is there: who was overthrown says no more (log.md 36).
    pub fn publish(&self, image: Image) {
        let order = |image: &Image| (image.term(), image.version());
        self.0.send_if_modified(|newest| {
            let is_old = order(&image) < order(newest);
            if !is_old {
                *newest = Arc::new(image);
            }
            !is_old
        });
    }

    /// The newest image.
    pub fn image(&self) -> Arc<Image> {
        Arc::clone(&self.0.borrow())
    }

    /// Another watch on the same images.
    pub fn watch(&self) -> ImageWatch {
        ImageWatch(self.0.subscribe())
    }
}
