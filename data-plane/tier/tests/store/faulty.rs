//! A store that errs, hangs and lies, around one that does not.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, stream};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Error,
    Hang,
    Denied,
    /// Bytes that were read have one bit flipped, the one at this place.
    Flip(usize),
    /// Bytes that were read end early.
    Short,
}

/// Goes wrong for so many calls, then not any more.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn ObjectStore>,
    pub fault: Fault,
    pub left: AtomicU32,
    pub calls: AtomicU32,
}

impl Faulty {
    pub fn new(inner: Arc<dyn ObjectStore>, fault: Fault, times: u32) -> Arc<Faulty> {
        Arc::new(Faulty {
            inner,
            fault,
            left: AtomicU32::new(times),
            calls: AtomicU32::new(0),
        })
    }

    /// Whether this call goes wrong.
    fn strikes(&self) -> bool {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .is_ok()
    }

    async fn strike(&self, location: &Path) -> Result<()> {
        match self.fault {
            Fault::Error => Err(object_store::Error::Generic {
                store: "faulty",
                source: "503 Slow Down".into(),
            }),
            Fault::Denied => {
                let path = location.to_string();
                Err(object_store::Error::PermissionDenied {
                    path,
                    source: "403".into(),
                })
            }
            Fault::Hang => std::future::pending().await,
            Fault::Flip(_) | Fault::Short => Ok(()),
        }
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        if self.strikes() {
            self.strike(location).await?;
        }
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        if self.strikes() {
            self.strike(location).await?;
        }
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let strikes = self.strikes();
        if strikes {
            self.strike(location).await?;
        }
        let found = self.inner.get_opts(location, options).await?;
        if !strikes {
            return Ok(found);
        }
        let (meta, range, attributes) = (found.meta.clone(), found.range.clone(), found.attributes.clone());
        let extensions = found.extensions.clone();
        let mut bytes = found.bytes().await?.to_vec();
        match self.fault {
            Fault::Flip(at) if !bytes.is_empty() => {
                let at = at % bytes.len();
                bytes[at] ^= 4;
            }
            Fault::Short => bytes.truncate(bytes.len() / 2),
            _ => {}
        }
        let payload = GetResultPayload::Stream(stream::once(async { Ok(Bytes::from(bytes)) }).boxed());
        Ok(GetResult {
            payload,
            meta,
            range,
            attributes,
            extensions,
        })
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
