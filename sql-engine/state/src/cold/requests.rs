//! What a shard's database asks of the object store: counted, with a clock that goes 400 times faster.

use super::{Cold, ColdCache, StoreKind};
use crate::{Layer, RunId, Tag};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use millstream_model::{Offset, OwnerEpoch};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Of the clock.
const PACE: u32 = 400;

/// Counts requests, and those that write.
#[derive(Debug, Default)]
struct Counting {
    inner: InMemory,
    puts: AtomicUsize,
    reads: AtomicUsize,
}

impl fmt::Display for Counting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Counting({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for Counting {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        // It is begun, has a part at least, and is completed.
        self.puts.fetch_add(3, Ordering::SeqCst);
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        self.inner.copy_opts(from, to, options).await
    }
}

/// So long on the fast clock.
#[expect(clippy::disallowed_methods, reason = "the database works in its own time")]
async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds) / PACE).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trickle_costs_at_most_six_puts_a_minute_and_a_tenant_at_rest_none() {
    let store: Arc<Counting> = Arc::default();
    let cache = ColdCache::new(1 << 20);
    let opened = Cold::open_at_pace(
        store.clone(),
        StoreKind::Objects,
        Path::from("sql/1"),
        &cache,
        PACE,
    );
    let cold = opened.await.unwrap();
    let puts = || store.puts.load(Ordering::SeqCst);
    // Twenty minutes of a trickle: a flush every half minute.
    let (minutes, before) = (20, puts());
    for flush in 0..2 * minutes {
        let key = Bytes::from(format!("key {}", flush % 7));
        let changes = Layer::from([(key, Some(Bytes::from(vec![7; 100])))]);
        let tag = Tag {
            end: Offset(i64::try_from(flush).unwrap()),
            last: RunId {
                epoch: OwnerEpoch(1),
                number: u64::try_from(flush).unwrap(),
            },
        };
        cold.flush(&changes, tag).await.unwrap();
        pass(30).await;
    }
    let counted = puts() - before;
    assert!(counted >= 2 * 2 * minutes, "a flush writes: {counted}");
    assert!(counted <= 6 * minutes, "{counted} PUTs in {minutes} minutes");
    // What is under way ends, then nothing more is written.
    let mut last = puts();
    for _ in 0..10 {
        pass(300).await;
        if std::mem::replace(&mut last, puts()) == puts() {
            break;
        }
    }
    pass(900).await;
    assert_eq!(puts(), last, "a database at rest writes nothing");
    // At rest nothing is asked for at all; closing writes no table, and it goes on with what was flushed.
    cold.rest().await.unwrap();
    assert!(puts() <= last + 1, "{} PUTs to close", puts() - last);
    let requests = || puts() + store.reads.load(Ordering::SeqCst);
    let asked = requests();
    pass(900).await;
    assert_eq!(requests(), asked, "a tenant at rest asks for nothing");
    assert_eq!(cold.scan(b"key").await.unwrap().len(), 7);
    cold.close().await.unwrap();
}
