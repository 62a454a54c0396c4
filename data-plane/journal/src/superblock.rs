//! The superblock: the journal's id and format, in a small file of its own, written once.
//!
//! ```text
//! byte  0      4       6     8           24
//!       magic  format  zero  journal id  checksum of 0..24
//! ```
//! It stands there twice, at byte 0 and at byte 4096: without the id nothing else of the journal can be believed. Where
//! neither copy is whole, the headers of the files still name the id; only when all of them name the same it is believed.

use crate::disk::{Disk, DiskFile, is_unreadable};
use crate::error::OpenError;
use crate::files::Name;
use crate::frame::u32_at;
use crate::header::id_in;
use crc_fast::crc32_iscsi;
use millstream_model::JournalId;
use std::io::{self, IoSlice};

const NAME: &str = "superblock";
const NAME_NEW: &str = "superblock.new";
const BYTES: usize = 28;
/// Where the copies are: on pages of their own.
const COPIES_AT: [u64; 2] = [0, 4096];
const MAGIC: u32 = u32::from_le_bytes(*b"MSJS");
const FORMAT: u16 = 1;

/// A superblock.
pub(crate) struct Found {
    pub id: JournalId,
    /// Every copy says so.
    pub is_whole: bool,
}

/// The superblock, `None` when there is none.
pub(crate) fn read<D: Disk>(disk: &D) -> Result<Option<Found>, OpenError> {
    let io = |source| OpenError::Io {
        action: "read its superblock",
        source,
    };
    let file = match disk.open(NAME) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    let mut ids = Vec::new();
    for at in COPIES_AT {
        let mut bytes = [0u8; BYTES];
        match file.read_at(at, &mut bytes) {
            Err(error) if is_unreadable(&error) => {}
            read => drop(read.map_err(io)?),
        }
        match decode(&bytes)? {
            Some(id) => ids.push(id),
            None => tracing::warn!(at, "a copy of the journal's superblock has rotted"),
        }
    }
    if let Some(id) = ids.first() {
        return Ok(Some(Found {
            id: *id,
            is_whole: ids.len() == COPIES_AT.len(),
        }));
    }
    let Some(id) = id_of_files(disk).map_err(io)? else {
        return Err(OpenError::Foreign(
            "the journal's superblock is not one, or has rotted".to_owned(),
        ));
    };
    tracing::warn!(%id, "the journal's superblock has rotted; its files say which journal it is");
    Ok(Some(Found { id, is_whole: false }))
}

/// The id that the headers of all files name; `None` when there are none, or they differ.
fn id_of_files<D: Disk>(disk: &D) -> io::Result<Option<JournalId>> {
    let mut found = None;
    for name in disk.list()? {
        let Name::File(_) = Name::of(&name) else { continue };
        match (id_in(&disk.open(&name)?)?, found) {
            (Some(id), None) => found = Some(id),
            (Some(id), Some(known)) if id != known => return Ok(None),
            _ => {}
        }
    }
    Ok(found)
}

/// The id in one copy; `None` when it is none.
fn decode(bytes: &[u8; BYTES]) -> Result<Option<JournalId>, OpenError> {
    if u32_at(bytes, 0) != MAGIC || crc32_iscsi(&bytes[..24]) != u32_at(bytes, 24) {
        return Ok(None);
    }
    let format = u32_at(bytes, 4);
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
    for at in COPIES_AT {
        file.write_at(at, &[IoSlice::new(&bytes)])?;
    }
    file.sync_data()?;
    disk.rename(NAME_NEW, NAME)?;
    disk.sync_dir()
}
