//! What every `Disk` must do; each implementation passes the same suite.
#![allow(clippy::unwrap_used)]

use millstream_journal::sim::SimDisk;
use millstream_journal::{Disk, DiskFile, LockError, RealDisk, SlowDisk};
use std::io::{ErrorKind, IoSlice};
use std::time::Duration;

fn suite<D: Disk>(disk: &D) {
    names(disk);
    bytes(disk);
    many_parts(disk);
    lengths(disk);
}

fn kind<T>(result: std::io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

fn names<D: Disk>(disk: &D) {
    assert_eq!(disk.list().unwrap(), Vec::<String>::new());
    assert_eq!(kind(disk.open("b")), Some(ErrorKind::NotFound));
    assert_eq!(kind(disk.remove("b")), Some(ErrorKind::NotFound));
    assert_eq!(kind(disk.rename("b", "c")), Some(ErrorKind::NotFound));
    let file = disk.create("b").unwrap();
    disk.create("a").unwrap();
    assert_eq!(kind(disk.create("b")), Some(ErrorKind::AlreadyExists));
    assert_eq!(disk.list().unwrap(), ["a", "b"]);
    file.write_at(0, &[IoSlice::new(b"kept")]).unwrap();
    disk.rename("b", "a").unwrap();
    assert_eq!(disk.list().unwrap(), ["a"]);
    let mut four = [0; 4];
    assert_eq!(disk.open("a").unwrap().read_at(0, &mut four).unwrap(), 4);
    assert_eq!(&four, b"kept");
    disk.remove("a").unwrap();
    assert_eq!(
        file.read_at(0, &mut four).unwrap(),
        4,
        "who has a file open keeps it"
    );
    disk.sync_dir().unwrap();
}

fn bytes<D: Disk>(disk: &D) {
    let file = disk.create("bytes").unwrap();
    file.write_at(
        5,
        &[IoSlice::new(b"abc"), IoSlice::new(b""), IoSlice::new(b"defg")],
    )
    .unwrap();
    file.write_at(6, &[IoSlice::new(b"X")]).unwrap();
    file.sync_data().unwrap();
    let mut all = [9; 20];
    assert_eq!(
        file.read_at(0, &mut all).unwrap(),
        12,
        "a read ends at the file's end"
    );
    assert_eq!(&all[..12], b"\0\0\0\0\0aXcdefg");
    assert_eq!(file.read_at(12, &mut all).unwrap(), 0);
    assert_eq!(file.read_at(1 << 40, &mut all).unwrap(), 0);
    let mut two = [0; 2];
    assert_eq!(disk.open("bytes").unwrap().read_at(9, &mut two).unwrap(), 2);
    assert_eq!(&two, b"ef");
    for (offset, length, wanted) in [
        (0, 20, &b"\0\0\0\0\0aXcdefg"[..]),
        (5, 3, b"aXc"),
        (5, 0, b""),
        (12, 1, b""),
        (1 << 40, 9, b""),
    ] {
        assert_eq!(file.read_vec_at(offset, length).unwrap(), wanted);
    }
    disk.remove("bytes").unwrap();
}

/// More parts than the operating system takes at once.
fn many_parts<D: Disk>(disk: &D) {
    let file = disk.create("parts").unwrap();
    let pieces: Vec<[u8; 3]> = (0..3000u32).map(|n| [n as u8, (n >> 8) as u8, 7]).collect();
    let parts: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    file.write_at(100, &parts).unwrap();
    let mut all = vec![0; 9000];
    assert_eq!(file.read_at(100, &mut all).unwrap(), 9000);
    assert_eq!(all, pieces.concat());
    disk.remove("parts").unwrap();
}

fn lengths<D: Disk>(disk: &D) {
    let file = disk.create("length").unwrap();
    assert_eq!(file.length().unwrap(), 0);
    file.write_at(0, &[IoSlice::new(b"head")]).unwrap();
    file.allocate(8192).unwrap();
    assert_eq!(file.length().unwrap(), 8192);
    file.allocate(100).unwrap();
    assert_eq!(file.length().unwrap(), 8192, "allocating never cuts");
    let mut all = vec![1; 8192];
    assert_eq!(file.read_at(0, &mut all).unwrap(), 8192);
    assert_eq!(&all[..4], b"head");
    assert!(all[4..].iter().all(|byte| *byte == 0));
    file.cut(9000).unwrap();
    assert_eq!(file.length().unwrap(), 8192, "cutting never makes longer");
    file.cut(4096).unwrap();
    assert_eq!(file.length().unwrap(), 4096);
    assert_eq!(file.read_at(0, &mut all).unwrap(), 4096);
    file.allocate(8192).unwrap();
    assert_eq!(file.read_at(0, &mut all).unwrap(), 8192);
    assert_eq!(&all[..4], b"head");
    assert!(all[4..].iter().all(|byte| *byte == 0));
    disk.remove("length").unwrap();
}

#[test]
fn the_real_disk() {
    let folder = tempfile::tempdir().unwrap();
    suite(&RealDisk::open(folder.path()).unwrap());
}

#[test]
fn the_simulated_disk() {
    suite(&SimDisk::new(1 << 30));
}

#[test]
fn a_slow_disk() {
    let disk = SlowDisk::new(SimDisk::new(1 << 30), Duration::ZERO);
    suite(&disk);
    assert_eq!(disk.syncs().load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[test]
fn a_folder_has_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let first = RealDisk::open(folder.path()).unwrap();
    let error = RealDisk::open(folder.path()).unwrap_err();
    assert!(matches!(error, LockError::Taken { .. }), "{error}");
    assert!(error.to_string().contains("another process uses the folder"));
    drop(first);
    RealDisk::open(folder.path()).unwrap();

    let disk = SimDisk::new(0);
    disk.lock().unwrap();
    assert_eq!(kind(disk.lock()), Some(ErrorKind::WouldBlock));
    disk.kill().lock().unwrap();
}

#[test]
fn the_simulated_disk_loses_what_is_not_synced() {
    use rand::SeedableRng;
    let mut random = rand::rngs::StdRng::seed_from_u64(1);
    let (mut lost, mut kept, mut nameless) = (0, 0, 0);
    for _ in 0..100 {
        let disk = SimDisk::new(1 << 20);
        let file = disk.create("a").unwrap();
        file.write_at(0, &[IoSlice::new(&[1; 1024])]).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir().unwrap();
        disk.create("b").unwrap();
        file.write_at(0, &[IoSlice::new(&[2; 512])]).unwrap();
        let disk = disk.crash(&mut random);
        assert!(file.sync_data().is_err(), "the old process is dead");
        let bytes = disk.contents("a").unwrap();
        assert!(bytes[512..].iter().all(|byte| *byte == 1));
        lost += usize::from(bytes[0] == 1);
        kept += usize::from(bytes[511] == 2);
        nameless += usize::from(disk.contents("b").is_none());
    }
    assert!(
        lost > 10 && kept > 10 && nameless > 10,
        "{lost} {kept} {nameless}"
    );
}

#[test]
fn the_simulated_disk_forgets_after_a_failed_sync() {
    use rand::SeedableRng;
    let mut random = rand::rngs::StdRng::seed_from_u64(1);
    let disk = SimDisk::new(1 << 20);
    let file = disk.create("a").unwrap();
    file.write_at(0, &[IoSlice::new(&[1; 512])]).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir().unwrap();
    file.write_at(0, &[IoSlice::new(&[2; 512])]).unwrap();
    disk.fail_sync(1);
    file.sync_data().unwrap_err();
    file.sync_data().unwrap();
    assert_eq!(disk.contents("a").unwrap()[0], 2, "the page cache shows it");
    assert_eq!(
        disk.crash(&mut random).contents("a").unwrap()[0],
        1,
        "the disk does not have it"
    );
}

#[test]
fn the_simulated_disk_fills_up() {
    let disk = SimDisk::new(1000);
    let file = disk.create("a").unwrap();
    assert_eq!(kind(file.allocate(1001)), Some(ErrorKind::StorageFull));
    file.allocate(1000).unwrap();
    file.write_at(0, &[IoSlice::new(&[1; 1000])]).unwrap();
    assert_eq!(
        kind(file.write_at(999, &[IoSlice::new(b"xy")])),
        Some(ErrorKind::StorageFull)
    );
}

#[test]
fn the_simulated_disk_has_sectors_that_cannot_be_read() {
    let disk = SimDisk::new(1 << 20);
    let file = disk.create("a").unwrap();
    file.write_at(0, &[IoSlice::new(&[1; 4096])]).unwrap();
    assert!(disk.spoil("a", 1500) && !disk.spoil("a", 4096) && !disk.spoil("b", 0));
    let mut two = [0; 2];
    let reads = |at, two: &mut [u8]| file.read_at(at, two).is_ok();
    assert!(
        reads(1022, &mut two) && !reads(1023, &mut two) && !reads(1535, &mut two) && reads(1536, &mut two)
    );
    file.write_at(1024, &[IoSlice::new(&[2; 512])]).unwrap();
    assert!(reads(1024, &mut two), "a sector that is written can be read");
    assert_eq!(two, [2, 2]);
}
