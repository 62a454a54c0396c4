//! A folder as object store: `object_store`'s own, but large objects are written past the page cache.
//!
//! An object is written once and read from the caches or not for long: pages that the kernel had to find for it, write
//! out and drop again cost more CPU than the rest of the flush (decision 009). An upload of several parts goes into a file beside its
//! destination (`name#number`, which no listing shows), is synced and then renamed, as the inner store does it. Nothing is
//! written to a folder that has taken the place of this one, nor believed to be missing there.

use crate::presence::Presence;
use crate::upload::FolderUpload;
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use millstream_direct::{Buffers, write_buffers};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};
use std::ops::Range;
use std::sync::{Arc, OnceLock};

/// As many as uploads are usually under way.
const BUFFERS_IDLE_MAX: usize = 4;

/// A folder.
#[derive(Debug)]
pub(crate) struct Folder {
    path: String,
    /// As soon as something is at the path.
    inner: OnceLock<LocalFileSystem>,
    buffers: Arc<Buffers>,
    presence: Presence,
}

impl Folder {
    /// The folder at `path`; what is put into it is durable. With `known` it may be away for now, and is not made: a cluster
    /// was there once.
    pub(crate) fn open(path: &str, known: bool) -> Result<Folder> {
        let folder = Folder {
            path: path.to_owned(),
            inner: OnceLock::new(),
            buffers: write_buffers(BUFFERS_IDLE_MAX),
            presence: Presence::of(path, known),
        };
        if !known {
            folder.inner()?;
        }
        Ok(folder)
    }

    fn inner(&self) -> Result<&LocalFileSystem> {
        if let Some(inner) = self.inner.get() {
            return Ok(inner);
        }
        let opened = match LocalFileSystem::new_with_prefix(&self.path) {
            Ok(opened) => opened.with_fsync(true),
            Err(_) if !std::path::Path::new(&self.path).exists() => return Err(self.presence.gone()),
            Err(error) => return Err(error),
        };
        Ok(self.inner.get_or_init(|| opened))
    }
}

impl std::fmt::Display for Folder {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "file://{}", self.path)
    }
}

/// A stream that begins and ends with an error.
fn failed<T: Send + 'static>(error: Error) -> BoxStream<'static, Result<T>> {
    futures::stream::once(async move { Err(error) }).boxed()
}

#[async_trait]
impl ObjectStore for Folder {
    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.presence.check().await?;
        if !options.attributes.is_empty() {
            return self.inner()?.put_multipart_opts(location, options).await;
        }
        let destination = self.inner()?.path_to_filesystem(location)?;
        let upload =
            FolderUpload::begin(destination, Arc::clone(&self.buffers), self.presence.clone()).await?;
        Ok(Box::new(upload))
    }

    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.presence.check().await?;
        let put = self.inner()?.put_opts(location, payload, options).await;
        self.presence.held(put).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let read = self.inner()?.get_opts(location, options).await;
        self.presence.found(read).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let read = self.inner()?.get_ranges(location, ranges).await;
        self.presence.found(read).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        match self.inner() {
            Ok(inner) => self
                .presence
                .each(inner.delete_stream(self.presence.each(locations))),
            Err(error) => failed(error),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.inner() {
            Ok(inner) => self.presence.whole(inner.list(prefix)),
            Err(error) => failed(error),
        }
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.inner() {
            Ok(inner) => self.presence.whole(inner.list_with_offset(prefix, offset)),
            Err(error) => failed(error),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let listed = self.inner()?.list_with_delimiter(prefix).await;
        self.presence.held(self.presence.found(listed).await).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.presence.check().await?;
        let copied = self.inner()?.copy_opts(from, to, options).await;
        self.presence.held(self.presence.found(copied).await).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.presence.check().await?;
        let renamed = self.inner()?.rename_opts(from, to, options).await;
        self.presence.held(self.presence.found(renamed).await).await
    }
}
