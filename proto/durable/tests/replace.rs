//! The last file or the new one, whole, and nothing beside it.

#![allow(clippy::unwrap_used)]

use millstream_durable::{Access, read_named, replace};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn the_new_one_stands_in_the_place_of_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.b");
    // What a crash in the middle of an earlier one left behind.
    std::fs::write(folder.path().join("a.b.new"), "longer than all that follows").unwrap();
    for bytes in ["one", "another one", ""] {
        replace(&path, bytes.as_bytes(), Access::Everybody).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), bytes);
        assert_eq!(names(folder.path()), ["a.b"]);
    }
}

#[test]
fn a_secret_is_the_owners() {
    let folder = tempfile::tempdir().unwrap();
    for (name, access, group_and_others_write_or_read) in
        [("secret", Access::Owner, 0), ("plain", Access::Everybody, 0o044)]
    {
        let path = folder.path().join(name);
        replace(&path, b"x", access).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        // The umask may take more away.
        assert_eq!(mode & 0o077 & !group_and_others_write_or_read, 0, "{mode:o}");
    }
}

#[test]
fn what_fails_leaves_the_last_one_and_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    assert!(replace(&folder.path().join("no/such/folder"), b"x", Access::Everybody).is_err());
    // A folder in the way: it cannot be replaced by a file.
    let in_the_way = folder.path().join("in-the-way");
    std::fs::create_dir_all(in_the_way.join("full")).unwrap();
    assert!(replace(&in_the_way, b"x", Access::Everybody).is_err());
    assert_eq!(names(folder.path()), ["in-the-way"]);
    // A full disk: writing to the device fails, and what stood in the place is still there.
    let path = folder.path().join("kept");
    replace(&path, b"kept", Access::Everybody).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.path().join("kept.new")).unwrap();
    assert!(replace(&path, b"lost", Access::Everybody).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"kept");
    assert_eq!(names(folder.path()), ["in-the-way", "kept"]);
}

/// A path that somebody typed may name anything.
#[test]
fn what_was_named_is_read_to_its_bound() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "four").unwrap();
    assert_eq!(read_named(file.path(), 4).unwrap(), b"four");
    for path in [file.path(), Path::new("/dev/zero")] {
        let error = read_named(path, 3).unwrap_err().to_string();
        assert!(error.contains("more than 3 bytes"), "{error}");
    }
}
