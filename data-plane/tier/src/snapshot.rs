//! Snapshots: a group's state as one object, read whole at restart.
//!
//! ```text
//! object   version u8 = 1 │ zero (3) │ crc32c of the body u32 │ body
//! ```

use crate::error::TierError;
use crate::name::ObjectKind;
use crate::tier::Tier;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, Digest};
use millstream_model::limits::SNAPSHOT_BYTES_MAX;
use millstream_model::segment::ObjectRef;
use object_store::GetRange;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 8;

impl Tier {
    /// Writes a snapshot from pieces. Like every object, it counts only once something committed names it.
    ///
    /// # Errors
    /// When it is larger than a snapshot may be, or the store fails.
    pub async fn put_snapshot(&self, object: &ObjectRef, pieces: &[Bytes]) -> Result<(), TierError> {
        let name = self.name(ObjectKind::Snapshot, object);
        let bytes: usize = pieces.iter().map(Bytes::len).sum();
        if bytes > SNAPSHOT_BYTES_MAX {
            return Err(too_large(name.to_string(), bytes as u64));
        }
        let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
        pieces.iter().for_each(|piece| digest.update(piece));
        let mut header = BytesMut::with_capacity(HEADER_BYTES);
        header.put_u8(VERSION);
        header.put_bytes(0, 3);
        header.put_u32_le((digest.finalize() & u64::from(u32::MAX)) as u32);
        let mut chunks = Vec::with_capacity(pieces.len() + 1);
        chunks.push(header.freeze());
        chunks.extend_from_slice(pieces);
        self.inner.calls.put(&name, &chunks).await
    }

    /// Reads a snapshot.
    ///
    /// # Errors
    /// When it is not there, damaged, or the store fails.
    pub async fn get_snapshot(&self, object: &ObjectRef) -> Result<Bytes, TierError> {
        let name = self.name(ObjectKind::Snapshot, object);
        let corrupt = |what| TierError::Corrupt {
            name: name.to_string(),
            what,
        };
        let size = self.inner.calls.size(&name).await?;
        if size > (SNAPSHOT_BYTES_MAX + HEADER_BYTES) as u64 {
            return Err(too_large(name.to_string(), size));
        }
        let mut bytes = self
            .inner
            .calls
            .get(&name, GetRange::Bounded(0..size))
            .await?
            .bytes;
        if bytes.len() < HEADER_BYTES {
            return Err(corrupt("it is shorter than its header"));
        }
        if bytes.get_u8() != VERSION {
            return Err(corrupt("its version needs a newer release"));
        }
        bytes.advance(3);
        let checksum = bytes.get_u32_le();
        if crc_fast::crc32_iscsi(&bytes) != checksum {
            return Err(corrupt("its checksum does not fit"));
        }
        Ok(bytes)
    }
}

fn too_large(name: String, bytes: u64) -> TierError {
    TierError::TooLarge {
        name,
        bytes,
        bytes_max: SNAPSHOT_BYTES_MAX as u64,
    }
}
