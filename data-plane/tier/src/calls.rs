//! Calls to the object store: each with a time limit, repeated a few times when that can help.

use crate::error::{TierError, is_final};
use crate::files::OpenFile;
use crate::settings::Settings;
use bytes::Bytes;
use futures::{StreamExt, TryFutureExt, TryStreamExt};
use millstream_model::{Backoff, Waits};
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, GetResult, GetResultPayload, ObjectStore, ObjectStoreExt, PutPayload,
};
use std::future::Future;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The most that one backoff waits.
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Parts of one upload in flight.
const PARTS_IN_FLIGHT: usize = 4;

/// A store with limits on time and attempts.
#[derive(Debug)]
pub(crate) struct Calls {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) settings: Settings,
}

/// Some bytes of an object, and how many it has in all.
pub(crate) struct Fetched {
    pub(crate) bytes: Bytes,
    pub(crate) object_bytes: u64,
}

/// An object that was asked for some of its bytes.
pub(crate) enum Opened {
    /// It is a file of this machine; nothing of it was read yet.
    File(OpenFile),
    /// The bytes.
    Bytes(Bytes),
}

impl Calls {
    /// Writes a whole object from chunks, none of which is copied.
    pub(crate) async fn put(&self, name: &Path, chunks: &[Bytes]) -> Result<(), TierError> {
        let total: usize = chunks.iter().map(Bytes::len).sum();
        if total <= self.settings.single_put_bytes_max {
            let payload: PutPayload = chunks.iter().cloned().collect();
            return self
                .attempt("put", name, || async {
                    self.store.put(name, payload.clone()).await.map(drop)
                })
                .await;
        }
        let parts = split(chunks, self.settings.part_bytes);
        // A part that times out fails the upload, which is then repeated whole: completing twice is not defined.
        let limit = self.settings.call_timeout * u32::try_from(parts.len().max(1)).unwrap_or(u32::MAX);
        self.attempt_within("upload", name, limit, || self.upload(name, &parts))
            .await
    }

    /// Reads a range of an object.
    pub(crate) async fn get(&self, name: &Path, range: GetRange) -> Result<Fetched, TierError> {
        self.attempt("get", name, || async {
            let options = GetOptions {
                range: Some(range.clone()),
                ..GetOptions::default()
            };
            let found = self.store.get_opts(name, options).await?;
            let object_bytes = found.meta.size;
            Ok(Fetched {
                bytes: found.bytes().await?,
                object_bytes,
            })
        })
        .await
    }

    /// Reads a range of an object, or opens it where objects are files.
    pub(crate) async fn open(&self, name: &Path, range: Range<u64>) -> Result<Opened, TierError> {
        self.attempt("get", name, || async {
            let options = GetOptions {
                range: Some(GetRange::Bounded(range.clone())),
                ..GetOptions::default()
            };
            let found = self.store.get_opts(name, options).await?;
            match found.payload {
                GetResultPayload::File(file, path) => Ok(Opened::File(OpenFile::new(file, path))),
                payload => GetResult { payload, ..found }.bytes().await.map(Opened::Bytes),
            }
        })
        .await
    }

    /// Reads from an object that is an open file, within the same limits as everything else.
    pub(crate) async fn read_file<F>(
        &self,
        name: &Path,
        mut read: impl FnMut() -> F,
    ) -> Result<Bytes, TierError>
    where
        F: Future<Output = io::Result<Bytes>>,
    {
        self.attempt("read", name, || {
            read().map_err(|error| object_store::Error::Generic {
                store: "file",
                source: Box::new(error),
            })
        })
        .await
    }

    /// How many bytes the object has.
    pub(crate) async fn size(&self, name: &Path) -> Result<u64, TierError> {
        self.attempt("head", name, || async { Ok(self.store.head(name).await?.size) })
            .await
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the shell that bounds calls to the store"
    )]
    async fn upload(&self, name: &Path, parts: &[PutPayload]) -> Result<(), object_store::Error> {
        let mut upload = self.store.put_multipart(name).await?;
        let sent: Vec<_> = parts.iter().map(|part| upload.put_part(part.clone())).collect();
        let sent = futures::stream::iter(sent)
            .buffer_unordered(PARTS_IN_FLIGHT)
            .try_collect::<Vec<()>>()
            .await;
        let done = match sent {
            Ok(_) => upload.complete().await.map(drop),
            Err(error) => Err(error),
        };
        if done.is_err() {
            // What an abort cannot reach, the bucket's own rule for unfinished uploads removes.
            let _ = tokio::time::timeout(self.settings.call_timeout, upload.abort()).await;
        }
        done
    }

    async fn attempt<T, F>(
        &self,
        call: &'static str,
        name: &Path,
        run: impl FnMut() -> F,
    ) -> Result<T, TierError>
    where
        F: Future<Output = Result<T, object_store::Error>>,
    {
        self.attempt_within(call, name, self.settings.call_timeout, run)
            .await
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the shell that bounds and repeats calls to the store"
    )]
    async fn attempt_within<T, F>(
        &self,
        call: &'static str,
        name: &Path,
        within: Duration,
        mut run: impl FnMut() -> F,
    ) -> Result<T, TierError>
    where
        F: Future<Output = Result<T, object_store::Error>>,
    {
        let mut backoff = Backoff::new(Waits::new(self.settings.backoff, BACKOFF_MAX));
        let mut attempt = 1;
        loop {
            let error = match tokio::time::timeout(within, run()).await {
                Ok(Ok(done)) => return Ok(done),
                Ok(Err(object_store::Error::NotFound { .. })) => {
                    return Err(TierError::NotFound {
                        name: name.to_string(),
                    });
                }
                Ok(Err(source)) if is_final(&source) => {
                    return Err(TierError::Store {
                        call,
                        name: name.to_string(),
                        source: Arc::new(source),
                    });
                }
                Ok(Err(source)) => TierError::Store {
                    call,
                    name: name.to_string(),
                    source: Arc::new(source),
                },
                Err(_) => TierError::Timeout {
                    call,
                    name: name.to_string(),
                    within,
                },
            };
            if attempt >= self.settings.attempts_max {
                return Err(error);
            }
            tracing::debug!(call, %name, attempt, %error, "the object store failed; trying again");
            tokio::time::sleep(backoff.next(rand::random())).await;
            attempt += 1;
        }
    }
}

/// Cuts chunks into payloads of exactly `part_bytes`, but for the last: some stores want equal parts.
fn split(chunks: &[Bytes], part_bytes: usize) -> Vec<PutPayload> {
    let mut parts = Vec::new();
    let mut part: Vec<Bytes> = Vec::new();
    let mut room = part_bytes;
    for chunk in chunks {
        let mut chunk = chunk.clone();
        while !chunk.is_empty() {
            let piece = chunk.split_to(chunk.len().min(room));
            room -= piece.len();
            part.push(piece);
            if room == 0 {
                parts.push(part.drain(..).collect());
                room = part_bytes;
            }
        }
    }
    if !part.is_empty() {
        parts.push(part.into_iter().collect());
    }
    parts
}
