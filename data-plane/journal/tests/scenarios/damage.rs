//! Rot, sectors that cannot be read, and what another release wrote.

use crate::{FILE_BYTES, GROUP, commit, entry, file_of, generations, lsns, open};
use crc_fast::crc32_iscsi;
use millstream_journal::sim::SimDisk;
use millstream_journal::{Disk, DiskFile, Ending, OpenError, Position, ReadError};
use millstream_model::Lsn;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::io::IoSlice;

fn is_damaged(ending: &Ending) -> bool {
    matches!(ending, Ending::Damaged(_))
}

/// Flips a bit of the payload at this place.
fn rot(disk: &SimDisk, place: Position) {
    let name = file_of(disk, place.generation);
    assert!(disk.flip(&name, u64::from(place.offset + place.length - 1), 3));
}

/// log.md 5: it serves what precedes, says what is missing, touches nothing, and goes on when the operator says so.
#[test]
fn a_sector_that_cannot_be_read_is_damage() {
    let disk = SimDisk::new(u64::MAX);
    let (mut journal, _) = open(&disk).unwrap();
    let places = commit(&mut journal, 1..=9);
    drop(journal);
    let disk = disk.kill();
    assert!(disk.spoil(&file_of(&disk, 1), u64::from(places[4].offset)));
    let (journal, recovered) = open(&disk).unwrap();
    let Ending::Damaged(damage) = &recovered.ending else {
        panic!("{recovered:?}");
    };
    assert_eq!(damage.lost.get(&GROUP), Some(&Lsn(9)), "{damage}");
    assert_eq!(lsns(&journal), [1, 2, 3, 4]);
    drop(journal);
    let disk = disk.kill();
    let (mut journal, again) = open(&disk).unwrap();
    assert_eq!(again.ending, recovered.ending);
    journal.accept_loss().unwrap();
    commit(&mut journal, 5..=5);
    drop(journal);
    let (journal, recovered) = open(&disk.kill()).unwrap();
    assert_eq!(
        (lsns(&journal), recovered.ending),
        (vec![1, 2, 3, 4, 5], Ending::Torn)
    );
}

/// Nobody can say that what cannot be read was torn, so it is not cut.
#[test]
fn a_last_commit_that_cannot_be_read_is_not_cut() {
    let disk = SimDisk::new(u64::MAX);
    let (mut journal, _) = open(&disk).unwrap();
    let places = commit(&mut journal, 1..=3);
    drop(journal);
    let disk = disk.kill();
    assert!(disk.spoil(&file_of(&disk, 1), u64::from(places[2].offset) - 64));
    let (journal, recovered) = open(&disk).unwrap();
    assert!(is_damaged(&recovered.ending), "{recovered:?}");
    assert_eq!(lsns(&journal), [1, 2]);
}

/// A torn commit is cut only when all that follows says that nothing did.
#[test]
fn a_bad_block_before_what_cannot_be_read_is_damage() {
    let disk = SimDisk::new(u64::MAX);
    let (mut journal, _) = open(&disk).unwrap();
    let places = commit(&mut journal, 1..=3);
    drop(journal);
    let disk = disk.kill();
    rot(&disk, places[1]);
    assert!(disk.spoil(&file_of(&disk, 1), u64::from(places[2].offset)));
    let (_, recovered) = open(&disk).unwrap();
    assert!(is_damaged(&recovered.ending), "{recovered:?}");
}

/// A sector that went bad while the file was free says nothing about a commit: nobody began one there.
#[test]
fn a_sector_behind_the_end_that_cannot_be_read_is_no_damage() {
    let disk = SimDisk::new(u64::MAX);
    let (mut journal, _) = open(&disk).unwrap();
    commit(&mut journal, 1..=3);
    drop(journal);
    let disk = disk.kill();
    for page in 6..16 {
        assert!(disk.spoil(&file_of(&disk, 1), page * 4096));
    }
    let (journal, recovered) = open(&disk).unwrap();
    assert_eq!((lsns(&journal), recovered.ending), (vec![1, 2, 3], Ending::Torn));
}

/// Either copy of a header is enough; with neither, the blocks behind it are not taken for nothing.
#[test]
fn a_header_that_cannot_be_read_is_judged_by_what_follows_it() {
    let all = Vec::from_iter((0..u64::from(FILE_BYTES)).step_by(2048));
    for (spoilt, sound) in [
        (&[0][..], true),
        (&[2048], true),
        (&[0, 2048], false),
        (&all, false),
    ] {
        for by_rot in [false, true] {
            let disk = SimDisk::new(u64::MAX);
            let (mut journal, _) = open(&disk).unwrap();
            commit(&mut journal, 1..=3);
            drop(journal);
            let disk = disk.kill();
            let name = file_of(&disk, 1);
            if by_rot && spoilt.len() > 2 {
                continue;
            }
            for at in spoilt {
                assert!(if by_rot {
                    disk.flip(&name, at + 25, 1)
                } else {
                    disk.spoil(&name, *at)
                });
            }
            let (journal, recovered) = open(&disk).unwrap();
            assert_eq!(is_damaged(&recovered.ending), !sound, "{spoilt:?} {recovered:?}");
            if sound {
                assert_eq!(lsns(&journal), [1, 2, 3]);
            }
        }
    }
}

/// A crash in the middle of opening a file leaves a header that names the end of the chain: that end was durable, so it is
/// no torn tail when it is gone.
#[test]
fn the_end_that_a_half_opened_file_names_is_not_cut() {
    let (mut named, mut unnamed) = (0, 0);
    for operations in 1..60 {
        let disk = SimDisk::new(u64::MAX);
        let (mut journal, _) = open(&disk).unwrap();
        let places = commit(&mut journal, 1..=3);
        drop(journal);
        let disk = disk.kill();
        disk.cut_power(operations);
        if open(&disk).is_ok() {
            break;
        }
        let disk = disk.crash(&mut StdRng::seed_from_u64(operations));
        let is_named = generations(&disk).iter().any(|(_, generation)| *generation == 2);
        rot(&disk, places[2]);
        let (journal, recovered) = open(&disk).unwrap();
        assert_eq!(
            is_damaged(&recovered.ending),
            is_named,
            "{operations} {recovered:?}"
        );
        assert_eq!(lsns(&journal), [1, 2]);
        *(if is_named { &mut named } else { &mut unnamed }) += 1;
    }
    assert!(named > 0 && unnamed > 0, "{named} {unnamed}");
}

/// log.md 12: the identity of the replicas survives a flipped bit, and with both copies gone the files still know it; where
/// nothing does the journal is refused, not made anew. What rotted is written anew.
#[test]
fn the_superblock_survives_a_bad_copy() {
    for (at, is_spoilt) in [(0, false), (9, false), (27, false), (0, true)] {
        let disk = SimDisk::new(u64::MAX);
        let id = open(&disk).unwrap().0.id();
        let disk = disk.kill();
        let damage = |at| {
            if is_spoilt {
                disk.spoil("superblock", at)
            } else {
                disk.flip("superblock", at, 0)
            }
        };
        assert!(damage(at));
        assert_eq!(millstream_journal::journal_id(&disk).unwrap(), Some(id));
        assert!(damage(4096 + at));
        assert_eq!(millstream_journal::journal_id(&disk).unwrap(), Some(id));
        assert_eq!(open(&disk).unwrap().0.id(), id);
        let disk = disk.kill();
        for name in disk
            .list()
            .unwrap()
            .iter()
            .filter(|name| name.starts_with("file-"))
        {
            disk.remove(name).unwrap();
        }
        assert_eq!(
            millstream_journal::journal_id(&disk).unwrap(),
            Some(id),
            "it was mended"
        );
        assert!(disk.flip("superblock", 9, 0) && disk.flip("superblock", 4096 + 9, 0));
        let refused = open(&disk).err();
        assert!(matches!(refused, Some(OpenError::Foreign(_))), "{refused:?}");
    }
}

/// log.md 41: what a newer release wrote is neither torn nor damaged; this one stops and says so.
#[test]
fn what_a_newer_release_wrote_is_refused_and_kept() {
    // The kind of a record, the version and kind of an entry, the format of a block, and of a file.
    for (what, at) in [
        ("record", 64 + 8),
        ("entry", 64 + 16),
        ("entry kind", 64 + 17),
        ("block", 4),
    ] {
        let disk = SimDisk::new(u64::MAX);
        let (mut journal, recovered) = open(&disk).unwrap();
        let places = commit(&mut journal, 1..=3);
        drop(journal);
        let disk = disk.kill();
        let name = file_of(&disk, 1);
        let from = places[2].offset as usize - 64;
        let mut block = disk.contents(&name).unwrap()[from..][..64 + places[2].length as usize].to_vec();
        block[at] = 77;
        seal(
            &mut block,
            &recovered.id.to_bytes(),
            if at == 72 { None } else { Some(80) },
        );
        let file = disk.open(&name).unwrap();
        file.write_at(from as u64, &[IoSlice::new(&block)]).unwrap();
        let before = disk.contents(&name);
        match open(&disk).map(|(_, recovered)| recovered) {
            Err(OpenError::Foreign(text)) => assert!(text.contains("newer release"), "{what}: {text}"),
            other => panic!("{what}: {other:?}"),
        }
        assert_eq!(disk.contents(&name), before);
    }
}

/// Puts right the checksums of a block with one record.
fn seal(block: &mut [u8], id: &[u8], entry_header: Option<usize>) {
    let head_end = entry_header.map_or(block.len(), |length| 64 + 16 + length);
    let record = crc32_iscsi(&block[64 + 4..head_end]).to_le_bytes();
    block[64..68].copy_from_slice(&record);
    block[44..48].copy_from_slice(&crc32_iscsi(&record).to_le_bytes());
    let head = crc32_iscsi(&[id, &block[..60]].concat()).to_le_bytes();
    block[60..64].copy_from_slice(&head);
}

/// log.md 11: rot under a running journal, and sectors that give nothing, are errors to the reader of that entry alone.
#[test]
fn what_rotted_is_never_given_as_data() {
    let disk = SimDisk::new(u64::MAX);
    let (mut journal, _) = open(&disk).unwrap();
    let places = commit(&mut journal, 1..=4);
    let reader = journal.reader();
    let name = file_of(&disk, 1);
    for at in 0..places[1].length {
        assert!(disk.flip(&name, u64::from(places[1].offset + at), 5));
        let read = reader.entry(GROUP, Lsn(2));
        assert!(matches!(read, Err(ReadError::Damaged)), "byte {at}: {read:?}");
        let read = reader.entries(GROUP, Lsn(1), FILE_BYTES as usize);
        assert!(matches!(read, Err(ReadError::Damaged)), "byte {at}: {read:?}");
        disk.flip(&name, u64::from(places[1].offset + at), 5);
    }
    disk.spoil(&name, u64::from(places[2].offset));
    assert!(matches!(reader.entry(GROUP, Lsn(3)), Err(ReadError::Io(_))));
    assert_eq!(lsns(&journal), [1, 2, 4]);
    journal.commit(&[entry(5, 10)]).unwrap();
}
