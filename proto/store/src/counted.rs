//! A store whose requests are counted; everything else of it stays as it is.

use crate::metrics::{Request, StoreMetrics, outcome};
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};
use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A store whose requests are counted.
#[derive(Debug)]
pub(crate) struct Counted {
    inner: Arc<dyn ObjectStore>,
    metrics: StoreMetrics,
    client: &'static str,
}

impl StoreMetrics {
    /// The same store, whose requests are counted as those of `client`.
    pub fn counted(&self, client: &'static str, store: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        Arc::new(Counted::new(store, self.clone(), client))
    }
}

impl Counted {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, metrics: StoreMetrics, client: &'static str) -> Counted {
        Counted {
            inner,
            metrics,
            client,
        }
    }

    fn begin(&self, operation: &'static str) -> Request {
        self.metrics.begin(self.client, operation)
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(out)
    }
}

#[async_trait]
impl ObjectStore for Counted {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let request = self.begin("put");
        request.ended(self.inner.put_opts(location, payload, options).await)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let request = self.begin("upload");
        let inner = request.ended(self.inner.put_multipart_opts(location, options).await)?;
        Ok(Box::new(CountedUpload {
            inner,
            metrics: self.metrics.clone(),
            client: self.client,
        }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let request = self.begin(if options.head { "head" } else { "get" });
        let found = request.ended(self.inner.get_opts(location, options).await)?;
        let payload = match found.payload {
            GetResultPayload::Stream(bytes) => {
                // The bytes come behind the answer and may fail by themselves.
                let (metrics, client) = (self.metrics.clone(), self.client);
                let bytes = bytes.inspect(move |piece| {
                    if let Err(error) = piece {
                        metrics.begin(client, "body").count(outcome(Some(error)));
                    }
                });
                GetResultPayload::Stream(bytes.boxed())
            }
            payload => payload,
        };
        Ok(GetResult { payload, ..found })
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let request = self.begin("get");
        request.ended(self.inner.get_ranges(location, ranges).await)
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let (metrics, client) = (self.metrics.clone(), self.client);
        let deleted = self.inner.delete_stream(locations);
        let counted = deleted.inspect(move |deleted| {
            metrics
                .begin(client, "delete")
                .count(outcome(deleted.as_ref().err()));
        });
        counted.boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        Listing::boxed(self.inner.list(prefix), self.begin("list"))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        Listing::boxed(self.inner.list_with_offset(prefix, offset), self.begin("list"))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let request = self.begin("list");
        request.ended(self.inner.list_with_delimiter(prefix).await)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let request = self.begin("copy");
        request.ended(self.inner.copy_opts(from, to, options).await)
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let request = self.begin("rename");
        request.ended(self.inner.rename_opts(from, to, options).await)
    }
}

/// An upload in parts, each a request.
#[derive(Debug)]
struct CountedUpload {
    inner: Box<dyn MultipartUpload>,
    metrics: StoreMetrics,
    client: &'static str,
}

#[async_trait]
impl MultipartUpload for CountedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part = self.inner.put_part(data);
        let (metrics, client) = (self.metrics.clone(), self.client);
        let counted: BoxFuture<'static, Result<()>> = async move {
            let request = metrics.begin(client, "part");
            request.ended(part.await)
        }
        .boxed();
        counted
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let request = self.metrics.begin(self.client, "complete");
        request.ended(self.inner.complete().await)
    }

    async fn abort(&mut self) -> Result<()> {
        let request = self.metrics.begin(self.client, "abort");
        request.ended(self.inner.abort().await)
    }
}

/// A listing, counted once, when it has ended or failed.
struct Listing {
    inner: BoxStream<'static, Result<ObjectMeta>>,
    request: Request,
}

impl Listing {
    fn boxed(
        inner: BoxStream<'static, Result<ObjectMeta>>,
        request: Request,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        Listing { inner, request }.boxed()
    }
}

impl Stream for Listing {
    type Item = Result<ObjectMeta>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.inner.poll_next_unpin(context);
        match &next {
            Poll::Ready(None) => self.request.count("ok"),
            Poll::Ready(Some(Err(error))) => self.request.count(outcome(Some(error))),
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {}
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use crate::StoreMetrics;
    use futures::TryStreamExt;
    use object_store::memory::InMemory;
    use object_store::path::Path;
    use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload};
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;
    use std::sync::Arc;

    fn payload() -> PutPayload {
        PutPayload::from_static(b"bytes")
    }

    #[tokio::test]
    async fn every_request_is_counted_by_who_made_it_and_how_it_ended() {
        let mut registry = Registry::default();
        let metrics = StoreMetrics::register(&mut registry);
        let shared: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let (tier, sql) = (
            metrics.counted("tier", Arc::clone(&shared)),
            metrics.counted("sql", shared),
        );
        let (one, two) = (Path::from("one"), Path::from("two"));
        tier.put(&one, payload()).await.unwrap();
        let only_new = PutOptions::from(PutMode::Create);
        assert!(sql.put_opts(&one, payload(), only_new).await.is_err());
        assert_eq!(
            sql.get(&one).await.unwrap().bytes().await.unwrap(),
            "bytes".as_bytes()
        );
        sql.head(&one).await.unwrap();
        assert!(sql.get(&two).await.is_err());
        let mut upload = tier.put_multipart(&two).await.unwrap();
        upload.put_part(payload()).await.unwrap();
        upload.complete().await.unwrap();
        let listed: Vec<_> = tier.list(None).try_collect().await.unwrap();
        assert_eq!(listed.len(), 2);
        tier.delete(&one).await.unwrap();
        // Begun and given up: a caller's time limit.
        drop(metrics.begin("lease", "put"));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for (client, operation, outcome, count) in [
            ("tier", "put", "ok", 1),
            ("sql", "put", "conflict", 1),
            ("sql", "get", "ok", 1),
            ("sql", "head", "ok", 1),
            ("sql", "get", "not_found", 1),
            ("tier", "upload", "ok", 1),
            ("tier", "part", "ok", 1),
            ("tier", "complete", "ok", 1),
            ("tier", "list", "ok", 1),
            ("tier", "delete", "ok", 1),
            ("lease", "put", "given_up", 1),
        ] {
            let line = format!(
                "store_requests_total{{client=\"{client}\",operation=\"{operation}\",outcome=\"{outcome}\"}} {count}"
            );
            assert!(text.contains(&line), "{line} in\n{text}");
        }
        assert!(
            text.contains("store_request_seconds_count{client=\"sql\",operation=\"get\"} 2"),
            "{text}"
        );
    }
}
