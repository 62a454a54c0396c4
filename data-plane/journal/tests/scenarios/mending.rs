//! Going on behind damage: what is whole stays, in one step or not at all.

use crate::mender::{Plan, plan};
use crate::{FILE_BYTES, GROUP, commit, entry, file_of, generations, lsns, open};
use millstream_journal::sim::SimDisk;
use millstream_journal::{Behind, Disk, Ending, Framed, Journal, OpenError, Record};
use millstream_model::{Lsn, Registration};
use rand::SeedableRng;
use rand::rngs::StdRng;

/// A journal with the entries 1 to `last` in several files and a registration at its end, closed.
fn written(last: u64) -> (SimDisk, Vec<millstream_journal::Position>) {
    let disk = SimDisk::new(u64::MAX);
    let (mut journal, _) = open(&disk).unwrap();
    let mut places = commit(&mut journal, 1..=last / 3);
    drop(journal);
    let disk = disk.kill();
    let (mut journal, _) = open(&disk).unwrap();
    places.extend(commit(&mut journal, last / 3 + 1..=last));
    let registration = Registration(7);
    journal
        .commit(&[Framed::new(Record::Registered { registration })])
        .unwrap();
    journal.close().unwrap();
    (disk.kill(), places)
}

fn mended(disk: &SimDisk) -> (Journal<SimDisk>, Plan) {
    let (mut journal, recovered) = open(disk).unwrap();
    assert!(matches!(recovered.ending, Ending::Damaged(_)), "{recovered:?}");
    let plan = plan(&journal).unwrap();
    plan.carry_out(&mut journal).unwrap();
    assert_eq!(journal.damage(), None);
    (journal, plan)
}

/// LSNs whose entry is one of those that were written, and the last LSN.
fn kept(journal: &Journal<SimDisk>, last: u64) -> (Vec<u64>, u64) {
    let reader = journal.reader();
    let real = |lsn: &u64| {
        reader
            .entry(GROUP, Lsn(*lsn))
            .is_ok_and(|found| !found.payload.is_empty())
    };
    ((1..=last).filter(real).collect(), reader.end(GROUP).unwrap().1.0)
}

fn all_but(last: u64, lost: &[u64]) -> Vec<u64> {
    (1..=last).filter(|lsn| !lost.contains(lsn)).collect()
}

#[test]
fn several_places_cost_what_they_hold() {
    // The first entry of the journal, one in the middle of each file, one that cannot be read.
    let (disk, places) = written(45);
    for lsn in [1u64, 12, 27] {
        let place = places[lsn as usize - 1];
        assert!(disk.flip(
            &file_of(&disk, place.generation),
            u64::from(place.offset + 120),
            2
        ));
    }
    let place = places[32];
    assert!(disk.spoil(&file_of(&disk, place.generation), u64::from(place.offset)));
    let (mut journal, plan) = mended(&disk);
    assert_eq!(plan.filled, 4);
    let expected = (all_but(45, &[1, 12, 27, 33]), 45);
    assert_eq!(kept(&journal, 45), expected);
    assert_eq!(journal.reader().registration(), Some(Registration(7)));
    commit(&mut journal, 46..=48);
    drop(journal);
    let (journal, recovered) = open(&disk.kill()).unwrap();
    assert_eq!(recovered.ending, Ending::Torn);
    assert_eq!(recovered.registration, Some(Registration(7)));
    assert_eq!(lsns(&journal).len(), 48, "also those that were put in");
}

/// A record with other sums of its own is whole though its block is not.
#[test]
fn a_block_is_not_lost_with_one_record() {
    // Where in the record, and whether it is known which one was lost.
    for (at, is_known) in [(20, false), (4, false), (8, false), (100, true)] {
        let disk = SimDisk::new(u64::MAX);
        let (mut journal, _) = open(&disk).unwrap();
        let records: Vec<Framed> = (1..=6).map(|lsn| entry(lsn, 1000)).collect();
        let places = journal.commit(&records).unwrap().positions;
        commit(&mut journal, 7..=8);
        journal.close().unwrap();
        let disk = disk.kill();
        assert!(disk.flip(&file_of(&disk, 1), u64::from(places[2].offset) + at, 0));
        let (journal, _) = open(&disk).unwrap();
        let mut lost = Vec::new();
        let salvage = journal.salvage().unwrap();
        let seen = salvage.each(|behind| {
            match behind {
                Behind::Lost(header) => lost.push(Some(header.lsn)),
                Behind::Hole => lost.push(None),
                Behind::Record(_) => {}
            }
            Ok::<(), OpenError>(())
        });
        seen.unwrap();
        assert_eq!(lost, [is_known.then_some(Lsn(3))], "byte {at}");
        drop(journal);
        let (journal, plan) = mended(&disk.kill());
        // Without the length nothing behind it in the block is looked for.
        let expected: &[u64] = if at == 4 { &[3, 4, 5, 6] } else { &[3] };
        assert_eq!(plan.filled, expected.len(), "byte {at}");
        assert_eq!(kept(&journal, 8), (all_but(8, expected), 8), "byte {at}");
    }
}

#[test]
fn the_beginning_of_a_file_and_a_whole_file_can_be_gone() {
    let (disk, places) = written(45);
    let middle = {
        let mut all: Vec<u64> = generations(&disk)
            .into_iter()
            .map(|(_, generation)| generation)
            .collect();
        all.sort_unstable();
        all.retain(|generation| places.iter().any(|place| place.generation == *generation));
        assert!(all.len() >= 3, "{all:?}");
        all[1]
    };
    let within = |place: &&millstream_journal::Position| place.generation == middle;
    let of_middle = places.iter().filter(within).count();
    for how in ["first block", "header", "header page", "header and more", "file"] {
        let (disk, _) = written(45);
        let name = file_of(&disk, middle);
        match how {
            "first block" => assert!(disk.flip(&name, 4096 + 70, 1)),
            "header" => assert!(disk.flip(&name, 30, 1) && disk.flip(&name, 2048 + 30, 1)),
            "header page" => assert!(disk.spoil(&name, 0) && disk.spoil(&name, 2048)),
            "header and more" => {
                // Behind the last block, where nothing ever was.
                let end = u64::from(FILE_BYTES) - 4096;
                assert!(disk.spoil(&name, 0) && disk.spoil(&name, 2048) && disk.spoil(&name, end));
            }
            _ => disk.remove(&name).unwrap(),
        }
        let disk = disk.kill();
        let (journal, plan) = mended(&disk);
        let expected = if how == "file" { of_middle } else { 0 };
        assert_eq!(plan.filled, expected, "{how}");
        assert_eq!(kept(&journal, 45).1, 45, "{how}");
        assert_eq!(kept(&journal, 45).0.len(), 45 - expected, "{how}");
        drop(journal);
        let (journal, recovered) = open(&disk.kill()).unwrap();
        assert!(
            !matches!(recovered.ending, Ending::Damaged(_)),
            "{how} {recovered:?}"
        );
        assert_eq!(kept(&journal, 45).0.len(), 45 - expected, "{how}");
    }
}

/// Wherever the process dies, the next one finds the damage as it was, or all of it mended.
#[test]
fn a_process_that_dies_while_it_mends_leaves_all_or_nothing() {
    let (mut nothing, mut all) = (0, 0);
    for operations in 1.. {
        let (disk, places) = written(45);
        let place = places[9];
        assert!(disk.flip(
            &file_of(&disk, place.generation),
            u64::from(place.offset + 120),
            2
        ));
        let (mut journal, _) = open(&disk).unwrap();
        let plan = plan(&journal).unwrap();
        disk.cut_power(operations);
        let done = plan.carry_out(&mut journal).is_ok();
        drop(journal);
        let disk = disk.crash(&mut StdRng::seed_from_u64(operations));
        let (journal, recovered) = open(&disk).unwrap();
        let is_damaged = matches!(recovered.ending, Ending::Damaged(_));
        assert!(!(done && is_damaged), "{operations}: it was said to be sound");
        let journal = match is_damaged {
            true => {
                nothing += 1;
                drop(journal);
                mended(&disk.kill()).0
            }
            false => {
                all += 1;
                journal
            }
        };
        assert_eq!(kept(&journal, 45), (all_but(45, &[10]), 45), "{operations}");
        if done {
            break;
        }
    }
    assert!(nothing > 20 && all > 0, "{nothing} {all}");
}

/// What is needed is the room for what is written again: without it nothing is lost, and nothing changed.
#[test]
fn a_full_disk_is_said_and_tried_again() {
    let (disk, places) = written(45);
    let place = places[9];
    assert!(disk.flip(
        &file_of(&disk, place.generation),
        u64::from(place.offset + 120),
        2
    ));
    let room: u64 = disk.files().iter().map(|(_, length)| length).sum();
    let mut disk = disk;
    for files in 0..2 {
        disk.resize(room + files * u64::from(FILE_BYTES) + 100);
        let (mut journal, recovered) = open(&disk).unwrap();
        assert!(matches!(recovered.ending, Ending::Damaged(_)));
        let refused = plan(&journal).unwrap().carry_out(&mut journal);
        assert_eq!(refused, Err(millstream_journal::CommitError::Full));
        drop(journal);
        disk = disk.kill();
    }
    disk.resize(u64::MAX);
    let (journal, _) = mended(&disk);
    assert_eq!(kept(&journal, 45), (all_but(45, &[10]), 45));
    // Drafts of what was given up do not stay, nor more files than there may be.
    drop(journal);
    let names = disk
        .files()
        .into_iter()
        .filter(|(name, _)| name.starts_with("file-"));
    assert!(names.count() <= 6 + 1);
}
