//! An object on its way into a folder, part by part.

use crate::presence::Presence;
use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt;
use millstream_direct::{ALIGN, Buffers, DirectFile};
use object_store::{Error, MultipartUpload, PutPayload, PutResult, Result, UploadPart};
use parking_lot::Mutex;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An upload. Dropped before it is completed, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct FolderUpload {
    staged: Arc<Staged>,
    destination: PathBuf,
    presence: Presence,
    /// Where the next part goes.
    offset: u64,
}

/// The file beside the destination.
#[derive(Debug)]
struct Staged {
    file: File,
    direct: DirectFile,
    path: PathBuf,
    /// Parts take turns: each has a buffer while it is written.
    turn: Mutex<Turn>,
}

#[derive(Debug, PartialEq, Eq)]
enum Turn {
    Open,
    /// Renamed or removed.
    Ended,
}

impl FolderUpload {
    pub(crate) async fn begin(
        destination: PathBuf,
        buffers: Arc<Buffers>,
        presence: Presence,
    ) -> Result<FolderUpload> {
        let place = destination.clone();
        let staged = blocking(move || {
            let (file, path) = stage(&place)?;
            Ok(Staged {
                direct: DirectFile::open(&path, &buffers),
                file,
                path,
                turn: Mutex::new(Turn::Open),
            })
        });
        Ok(FolderUpload {
            staged: Arc::new(staged.await?),
            destination,
            presence,
            offset: 0,
        })
    }
}

#[async_trait]
impl MultipartUpload for FolderUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (staged, offset) = (Arc::clone(&self.staged), self.offset);
        self.offset += data.content_length() as u64;
        blocking(move || staged.write(offset, &data)).boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let (staged, destination) = (Arc::clone(&self.staged), self.destination.clone());
        self.presence.check().await?;
        let published = blocking(move || staged.publish(&destination)).await;
        self.presence.held(published).await?;
        Ok(PutResult {
            e_tag: None,
            version: None,
            extensions: Default::default(),
        })
    }

    async fn abort(&mut self) -> Result<()> {
        let staged = Arc::clone(&self.staged);
        blocking(move || staged.remove()).await
    }
}

impl Staged {
    fn write(&self, offset: u64, data: &PutPayload) -> io::Result<()> {
        let turn = self.turn.lock();
        if *turn == Turn::Ended {
            return Err(io::Error::other("the upload has ended"));
        }
        // Whole pages go past the cache; what a part shares with its neighbours does not.
        let before = (offset.next_multiple_of(ALIGN as u64) - offset) as usize;
        let before = before.min(data.content_length());
        let pages = (data.content_length() - before) / ALIGN * ALIGN;
        let aligned = offset + before as u64;
        write_plainly(&self.file, offset, slice(data, 0, before))?;
        if !self
            .direct
            .write(aligned, pages, slice(data, before, before + pages))?
        {
            write_plainly(&self.file, aligned, slice(data, before, before + pages))?;
        }
        let after = slice(data, before + pages, data.content_length());
        write_plainly(&self.file, aligned + pages as u64, after)
    }

    fn publish(&self, destination: &Path) -> io::Result<()> {
        let mut turn = self.turn.lock();
        if *turn == Turn::Ended {
            return Err(io::Error::other("the upload has ended"));
        }
        self.file.sync_all()?;
        std::fs::rename(&self.path, destination)?;
        *turn = Turn::Ended;
        destination.parent().map_or(Ok(()), sync_folder)
    }

    fn remove(&self) -> io::Result<()> {
        let mut turn = self.turn.lock();
        match std::mem::replace(&mut *turn, Turn::Ended) {
            Turn::Open => std::fs::remove_file(&self.path),
            Turn::Ended => Ok(()),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(path = %self.path.display(), %error, "an unfinished upload was left behind");
        }
    }
}

/// The bytes of a payload from `from` to `to`, as they lie.
fn slice(data: &PutPayload, from: usize, to: usize) -> impl Iterator<Item = &[u8]> {
    let mut at = 0;
    data.iter().filter_map(move |chunk: &Bytes| {
        let (start, end) = (from.max(at) - at, to.max(at) - at);
        at += chunk.len();
        chunk
            .get(start..end.min(chunk.len()))
            .filter(|part| !part.is_empty())
    })
}

fn write_plainly<'a>(file: &File, mut offset: u64, parts: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
    for part in parts {
        file.write_all_at(part, offset)?;
        offset += part.len() as u64;
    }
    Ok(())
}

/// A new file beside the destination, whose folder is made when there is none.
fn stage(destination: &Path) -> io::Result<(File, PathBuf)> {
    let mut number = 1;
    loop {
        let mut path = destination.as_os_str().to_owned();
        path.push(format!("#{number}"));
        let path = PathBuf::from(path);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => return Ok((file, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let Some(folder) = destination.parent() else {
                    return Err(error);
                };
                make_folder(folder)?;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Makes a folder and those above it, each durably.
fn make_folder(folder: &Path) -> io::Result<()> {
    let Some(above) = folder.parent() else {
        return Ok(());
    };
    if !above.exists() {
        make_folder(above)?;
    }
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_folder(above),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Runs file work where it may block.
#[expect(
    clippy::disallowed_methods,
    reason = "the shell that writes files where it may block"
)]
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|lost| Err(io::Error::other(lost)))
        .map_err(|source| Error::Generic {
            store: "folder",
            source: source.into(),
        })
}
