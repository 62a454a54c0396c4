//! The superblock: the journal's id and format, in a small file of its own, written once.
//!
//! ```text
//! byte  0      4       6     8           24
//!       magic  format  zero  journal id  checksum of 0..24
//! ```

use crate::disk::{Disk, DiskFile};
use crate::frame::u32_at;
use crate::journal::OpenError;
use crc_fast::crc32_iscsi;
use millstream_model::JournalId;
use std::io::{self, IoSlice};

const NAME: &str = "superblock";
const NAME_NEW: &str = "superblock.new";
const BYTES: usize = 28;
const MAGIC: u32 = u32::from_le_bytes(*b"MSJS");
const FORMAT: u16 = 1;

/// The id in the superblock, `None` when there is no superblock.
pub(crate) fn read<D: Disk>(disk: &D) -> Result<Option<JournalId>, OpenError> {
    let io = |source| OpenError::Io {
        action: "read its superblock",
        source,
    };
    let file = match disk.open(NAME) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let mut bytes = [0u8; BYTES];
    let read = file.read_at(0, &mut bytes).map_err(io)?;
    if read < BYTES || u32_at(&bytes, 0) != MAGIC || crc32_iscsi(&bytes[..24]) != u32_at(&bytes, 24) {
        return Err(OpenError::Foreign(
            "the journal's superblock is not one, or has rotted".to_owned(),
        ));
    }
    let format = u32_at(&bytes, 4);
    if format != u32::from(FORMAT) {
        return Err(OpenError::Foreign(format!(
            "journal format {format} needs a newer release"
        )));
    }
    let mut id = [0u8; 16];
    id.copy_from_slice(&bytes[8..24]);
    Ok(Some(JournalId::from_bytes(id)))
}

/// Writes the superblock of a new journal, durably.
pub(crate) fn write<D: Disk>(disk: &D, id: JournalId) -> io::Result<()> {
    let mut bytes = [0u8; BYTES];
    bytes[0..4].copy_from_slice(&MAGIC.to_le_bytes());
    bytes[4..6].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[8..24].copy_from_slice(&id.to_bytes());
    let checksum = crc32_iscsi(&bytes[..24]);
    bytes[24..28].copy_from_slice(&checksum.to_le_bytes());
    match disk.remove(NAME_NEW) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(NAME_NEW)?;
    file.write_at(0, &[IoSlice::new(&bytes)])?;
    file.sync_data()?;
    disk.rename(NAME_NEW, NAME)?;
    disk.sync_dir()
}
