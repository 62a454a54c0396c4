//! The tier's handle: uploads, reads, the caches between.

use crate::calls::Calls;
use crate::error::TierError;
use crate::files::Files;
use crate::flush::Flush;
use crate::footer::Footer;
use crate::name::{self, ObjectKind};
use crate::settings::Settings;
use bytes::{Bytes, BytesMut};
use millstream_model::segment::ObjectRef;
use moka::future::Cache;
use object_store::ObjectStore;
use object_store::path::Path;
use std::sync::Arc;

/// Objects of one cluster in one store. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tier {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) calls: Calls,
    pub(crate) prefix: Path,
    /// Blocks by object and position.
    pub(crate) blocks: Cache<(ObjectRef, u64), Bytes>,
    pub(crate) footers: Cache<ObjectRef, Arc<Footer>>,
    pub(crate) files: Files,
}

impl Tier {
    /// Objects under `prefix` of `store` ([`crate::open_store`]).
    pub fn new(store: Arc<dyn ObjectStore>, prefix: Path, settings: Settings) -> Tier {
        let blocks = Cache::builder()
            .max_capacity(settings.cache_bytes)
            .weigher(|_, block: &Bytes| u32::try_from(block.len()).unwrap_or(u32::MAX))
            .build();
        let footers = Cache::builder()
            .max_capacity(settings.footer_cache_bytes)
            .weigher(|_, footer: &Arc<Footer>| u32::try_from(footer.weight()).unwrap_or(u32::MAX))
            .build();
        let calls = Calls { store, settings };
        Tier {
            inner: Arc::new(Inner {
                calls,
                prefix,
                blocks,
                footers,
                files: Files::new(),
            }),
        }
    }

    /// Bytes of objects that are kept in memory for readers.
    pub fn cached_bytes(&self) -> u64 {
        self.inner.blocks.weighted_size() + self.inner.footers.weighted_size()
    }

    /// How it behaves.
    pub fn settings(&self) -> &Settings {
        &self.inner.calls.settings
    }

    /// Uploads an object. It counts only once a committed entry names its segments; it may be uploaded again.
    ///
    /// # Errors
    /// When the store fails or hangs for longer than the settings allow.
    pub async fn put(&self, flush: &Flush) -> Result<(), TierError> {
        let name = self.name(ObjectKind::Segment, &flush.object);
        self.inner.calls.put(&name, &flush.chunks).await?;
        self.remember(flush).await;
        Ok(())
    }

    pub(crate) fn name(&self, kind: ObjectKind, object: &ObjectRef) -> Path {
        name::path(&self.inner.prefix, kind, object)
    }

    /// Keeps what was just flushed, as much of its end as fits: its readers are near.
    async fn remember(&self, flush: &Flush) {
        self.inner
            .footers
            .insert(flush.object, Arc::new(flush.footer.clone()))
            .await;
        let mut chunks = flush.chunks.iter();
        for run in &flush.footer.runs {
            let mut position = run.position;
            for block in &run.blocks {
                let Some(bytes) = take_block(&mut chunks, block.length as usize) else {
                    return;
                };
                self.inner.blocks.insert((flush.object, position), bytes).await;
                position += u64::from(block.length);
            }
        }
    }
}

/// The next block of an object: the piece that it is, or the copy of several in one.
fn take_block<'a>(chunks: &mut impl Iterator<Item = &'a Bytes>, length: usize) -> Option<Bytes> {
    let first = chunks.next()?;
    if first.len() == length {
        return Some(first.clone());
    }
    let mut bytes = BytesMut::with_capacity(length);
    bytes.extend_from_slice(first);
    while bytes.len() < length {
        bytes.extend_from_slice(chunks.next()?);
    }
    Some(bytes.freeze())
}
