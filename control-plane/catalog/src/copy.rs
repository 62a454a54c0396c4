//! A node's copy of the catalog on its own disk: what a restart begins with while the object store is down (log.md 30).
//!
//! ```text
//!   magic "MSCC" | version u16 = 1 | name length u16 | cluster id 16 | name
//!   | row count u32, rows (length u32, row as it is sent to nodes) | CRC-32C u32 of what precedes
//! ```
//! All integers of this frame are little-endian. One file, replaced by rename. It is a copy and decides nothing: who
//! has it serves what it knows, and changes nothing before the catalog itself was opened.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use millstream_durable::{Access, replace};
use millstream_metadata::{Change, Image, StoredError};
use std::io;
use std::path::Path;
use uuid::Uuid;

const MAGIC: u32 = u32::from_le_bytes(*b"MSCC");
const VERSION: u16 = 1;

/// The catalog as a node last knew it.
#[derive(Clone, Debug, PartialEq)]
pub struct CatalogCopy {
    /// The cluster's id.
    pub cluster: Uuid,
    /// Its name.
    pub name: String,
    /// The rows.
    pub image: Image,
}

/// A copy that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The disk failed.
    #[error("the local copy of the catalog cannot be read or written: {0}")]
    Io(#[from] io::Error),
    /// It is not one, or its bytes have changed.
    #[error("the local copy of the catalog is damaged: {0}")]
    Damaged(&'static str),
    /// Written by a newer release.
    #[error("the local copy of the catalog has version {version}: start a newer release")]
    Version {
        /// The version found.
        version: u16,
    },
    /// A row that this release cannot read.
    #[error(transparent)]
    Row(#[from] StoredError),
}

impl CatalogCopy {
    /// Its stored form.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u32_le(MAGIC);
        out.put_u16_le(VERSION);
        out.put_u16_le(u16::try_from(self.name.len()).expect("bug: the catalog bounds names"));
        out.put_slice(self.cluster.as_bytes());
        out.put_slice(self.name.as_bytes());
        let count_at = out.len();
        out.put_u32_le(0);
        let mut count = 0u32;
        for row in self.image.rows() {
            let row = Change::Put(row).to_bytes();
            out.put_u32_le(u32::try_from(row.len()).expect("bug: the catalog bounds rows"));
            out.put_slice(&row);
            count += 1;
        }
        out[count_at..count_at + 4].copy_from_slice(&count.to_le_bytes());
        let checksum = crc_fast::crc32_iscsi(&out);
        out.put_u32_le(checksum);
        out.freeze()
    }

    /// Reads a stored copy.
    ///
    /// # Errors
    /// When the bytes are not one, or not whole.
    pub fn decode(bytes: &[u8]) -> Result<CatalogCopy, CopyError> {
        let (body, checksum) = bytes.split_last_chunk::<4>().ok_or(SHORT)?;
        let mut rest = body;
        if rest.try_get_u32_le().ok() != Some(MAGIC) {
            return Err(CopyError::Damaged("it does not begin like one"));
        }
        let version = rest.try_get_u16_le().map_err(|_| SHORT)?;
        if version != VERSION {
            return Err(CopyError::Version { version });
        }
        if crc_fast::crc32_iscsi(body) != u32::from_le_bytes(*checksum) {
            return Err(CopyError::Damaged("its checksum is wrong"));
        }
        let name_length = usize::from(rest.try_get_u16_le().map_err(|_| SHORT)?);
        let (cluster, rows) = rest.split_first_chunk::<16>().ok_or(SHORT)?;
        let (name, mut rest) = rows.split_at_checked(name_length).ok_or(SHORT)?;
        let name = std::str::from_utf8(name).map_err(|_| CopyError::Damaged("its name is no text"))?;
        let mut image = Image::new();
        for _ in 0..rest.try_get_u32_le().map_err(|_| SHORT)? {
            let length = rest.try_get_u32_le().map_err(|_| SHORT)? as usize;
            let (row, after) = rest.split_at_checked(length).ok_or(SHORT)?;
            image.apply(&Change::from_bytes(row)?);
            rest = after;
        }
        if !rest.is_empty() {
            return Err(CopyError::Damaged("bytes follow its end"));
        }
        Ok(CatalogCopy {
            cluster: Uuid::from_bytes(*cluster),
            name: name.to_owned(),
            image,
        })
    }

    /// Keeps it at `path` in the place of the last one, durably; blocks.
    ///
    /// # Errors
    /// When the disk fails or is full; the last one is then still there.
    pub fn save(&self, path: &Path) -> Result<(), CopyError> {
        Ok(replace(path, &self.encode(), Access::Everybody)?)
    }

    /// Reads the copy at `path`; none when there is none. Blocks.
    ///
    /// # Errors
    /// When it cannot be read, or is not whole.
    pub fn load(path: &Path) -> Result<Option<CatalogCopy>, CopyError> {
        match std::fs::read(path) {
            Ok(bytes) => CatalogCopy::decode(&bytes).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

const SHORT: CopyError = CopyError::Damaged("it ends early");
