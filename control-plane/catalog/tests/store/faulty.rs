//! An object store whose writes fail: before they happen, after they happened, or without an answer.

#![expect(clippy::disallowed_methods, reason = "a store that answers late")]

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Some writes fail, and nothing was written.
    Before,
    /// Some writes fail, though they were written.
    After,
    /// No request is answered while it lasts.
    Hang,
}

#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    state: Mutex<(Fault, u64)>,
}

impl Faulty {
    pub fn new(inner: Arc<dyn ObjectStore>, seed: u64) -> Faulty {
        Faulty {
            inner,
            state: Mutex::new((Fault::None, seed)),
        }
    }

    pub fn set(&self, fault: Fault) {
        self.state.lock().0 = fault;
    }

    /// What happens to the next write: three in four fail while there is a fault.
    fn next(&self) -> Fault {
        let mut state = self.state.lock();
        state.1 = state
            .1
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let spared = (state.1 >> 33).is_multiple_of(4) && state.0 != Fault::Hang;
        if spared { Fault::None } else { state.0 }
    }

    async fn answer(&self) {
        while self.state.lock().0 == Fault::Hang {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Faulty({})", self.inner)
    }
}

fn failure() -> Error {
    Error::Generic {
        store: "faulty",
        source: "connection reset".into(),
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.answer().await;
        match self.next() {
            Fault::Before => Err(failure()),
            Fault::After => {
                self.inner.put_opts(location, payload, opts).await?;
                Err(failure())
            }
            Fault::None | Fault::Hang => self.inner.put_opts(location, payload, opts).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.answer().await;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.answer().await;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.answer().await;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.answer().await;
        self.inner.copy_opts(from, to, options).await
    }
}
