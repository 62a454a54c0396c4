//! The object store: in memory, and at times it errs, or does what it was asked and says that it did not.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use millstream_model::segment::ObjectRef;
use millstream_tier::{Settings, Tier};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The tier on a faulty store, and something to wait for its answers with.
pub struct Store {
    pub tier: Tier,
    faulty: Arc<FaultyStore>,
    runtime: tokio::runtime::Runtime,
}

impl Store {
    pub fn new(seed: u64) -> Store {
        let faulty = Arc::new(FaultyStore {
            inner: InMemory::new(),
            random: Mutex::new(StdRng::seed_from_u64(seed)),
            failing_percent: AtomicU32::new(5),
        });
        let settings = Settings {
            attempts_max: 2,
            backoff: Duration::ZERO,
            cache_bytes: 0,
            footer_cache_bytes: 0,
            block_bytes: 1024,
            ..Settings::default()
        };
        Store {
            tier: Tier::new(faulty.clone(), Path::from("sim"), settings),
            faulty,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap(),
        }
    }

    pub fn wait<T>(&self, call: impl Future<Output = T>) -> T {
        self.runtime.block_on(call)
    }

    /// Whether it has a snapshot, whatever fails.
    pub fn has_snapshot(&self, object: &ObjectRef) -> bool {
        let failing = self.faulty.failing_percent.swap(0, Ordering::Relaxed);
        let found = self.wait(self.tier.get_snapshot(object));
        self.faulty.failing_percent.store(failing, Ordering::Relaxed);
        found.is_ok()
    }

    /// How many calls of a hundred fail from now on.
    pub fn fail(&self, percent: u32) {
        self.faulty.failing_percent.store(percent, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct FaultyStore {
    inner: InMemory,
    random: Mutex<StdRng>,
    failing_percent: AtomicU32,
}

enum Fate {
    Works,
    Fails,
    AnswerIsLost,
}

impl FaultyStore {
    fn fate(&self) -> Fate {
        let mut random = self.random.lock().unwrap();
        let fails = random.random_range(0..100) < self.failing_percent.load(Ordering::Relaxed);
        match (fails, random.random_bool(0.5)) {
            (false, _) => Fate::Works,
            (true, false) => Fate::Fails,
            (true, true) => Fate::AnswerIsLost,
        }
    }
}

fn failure() -> Error {
    Error::Generic {
        store: "simulated",
        source: "it errs".into(),
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a faulty store")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, opts: PutOptions) -> Result<PutResult> {
        match self.fate() {
            Fate::Works => self.inner.put_opts(location, payload, opts).await,
            Fate::Fails => Err(failure()),
            Fate::AnswerIsLost => {
                self.inner.put_opts(location, payload, opts).await?;
                Err(failure())
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        match self.fate() {
            Fate::Works => self.inner.get_opts(location, options).await,
            Fate::Fails | Fate::AnswerIsLost => Err(failure()),
        }
    }

    async fn get_ranges(&self, location: &Path, ranges: &[std::ops::Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
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
