//! A store that errs, or takes calls and never answers, when it is told to.

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    None,
    /// As when it is not reached: the caller may ask again.
    Errs,
    /// Takes nothing, for good as far as it says; what is there can be read.
    Refuses,
    /// Calls wait until the fault is another one.
    Hangs,
}

/// A store in memory behind a fault.
#[derive(Debug)]
pub struct Faults {
    store: InMemory,
    fault: AtomicU8,
    met: AtomicUsize,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            store: InMemory::new(),
            fault: AtomicU8::new(Fault::None as u8),
            met: AtomicUsize::new(0),
        }
    }
}

impl Faults {
    pub fn set(&self, fault: Fault) {
        self.met.store(0, Ordering::Relaxed);
        self.fault.store(fault as u8, Ordering::Relaxed);
    }

    /// Calls that have met the fault.
    pub fn met(&self) -> usize {
        self.met.load(Ordering::Relaxed)
    }

    async fn read(&self) -> Result<()> {
        match self.fault.load(Ordering::Relaxed) == Fault::Refuses as u8 {
            true => Ok(()),
            false => self.write().await,
        }
    }

    async fn write(&self) -> Result<()> {
        let fault = self.fault.load(Ordering::Relaxed);
        if fault == Fault::None as u8 {
            return Ok(());
        }
        self.met.fetch_add(1, Ordering::Relaxed);
        if fault == Fault::Hangs as u8 {
            while self.fault.load(Ordering::Relaxed) == fault {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            return Ok(());
        }
        let source = "on purpose".into();
        Err(if fault == Fault::Refuses as u8 {
            Error::NotSupported { source }
        } else {
            let store = "faults";
            Error::Generic { store, source }
        })
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
        self.write().await?;
        self.store.put_opts(name, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        name: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.write().await?;
        self.store.put_multipart_opts(name, options).await
    }

    async fn get_opts(&self, name: &Path, options: GetOptions) -> Result<GetResult> {
        self.read().await?;
        self.store.get_opts(name, options).await
    }

    fn delete_stream(&self, names: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(names)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.read().await?;
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.write().await?;
        self.store.copy_opts(from, to, options).await
    }
}
