//! A store that errs, or takes calls and never answers, when it is told to.

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    None,
    Errs,
    Hangs,
    /// Calls wait until the fault is another one.
    Holds,
}

#[derive(Debug)]
pub struct Faults {
    store: Arc<dyn ObjectStore>,
    fault: AtomicU8,
    hanging: AtomicUsize,
}

impl Faults {
    pub fn over(store: Arc<dyn ObjectStore>) -> Faults {
        Faults {
            store,
            fault: AtomicU8::new(Fault::None as u8),
            hanging: AtomicUsize::new(0),
        }
    }

    pub fn set(&self, fault: Fault) {
        self.fault.store(fault as u8, Ordering::Relaxed);
    }

    /// Calls that never got an answer, or waited for it.
    pub fn hanging(&self) -> usize {
        self.hanging.load(Ordering::Relaxed)
    }

    async fn pass(&self) -> Result<()> {
        match self.fault.load(Ordering::Relaxed) {
            fault if fault == Fault::None as u8 => Ok(()),
            fault if fault == Fault::Holds as u8 => {
                self.hanging.fetch_add(1, Ordering::Relaxed);
                while self.fault.load(Ordering::Relaxed) == fault {
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
                Ok(())
            }
            fault if fault == Fault::Errs as u8 => Err(object_store::Error::Generic {
                store: "faults",
                source: "on purpose".into(),
            }),
            _ => {
                self.hanging.fetch_add(1, Ordering::Relaxed);
                std::future::pending().await
            }
        }
    }
}

impl std::fmt::Display for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "faults over {}", self.store)
    }
}

#[async_trait]
impl ObjectStore for Faults {
    async fn put_opts(&self, name: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.pass().await?;
        self.store.put_opts(name, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        name: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.pass().await?;
        self.store.put_multipart_opts(name, options).await
    }

    async fn get_opts(&self, name: &Path, options: GetOptions) -> Result<GetResult> {
        self.pass().await?;
        self.store.get_opts(name, options).await
    }

    fn delete_stream(&self, names: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(names)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.pass().await?;
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.pass().await?;
        self.store.copy_opts(from, to, options).await
    }
}
