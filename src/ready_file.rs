//! The file that tells scripts and supervisors that every door answers.

use millstream_cli::Failure;
use millstream_durable::{Access, can_replace, replace};
use serde_json::json;
use std::io::ErrorKind;
use std::path::Path;

/// The addresses of the doors.
#[derive(Clone, Debug)]
pub struct Doors {
    /// As clients reach it.
    pub kafka: String,
    /// gRPC and HTTP.
    pub http: String,
    /// Metrics and health with its reasons.
    pub admin: String,
}

/// A key that is shown once.
#[derive(Clone, Debug)]
pub struct ShownKey {
    pub id: String,
    pub secret: String,
}

/// Removes the file of an earlier run, so that nobody takes its word; finds out early whether it can be written.
///
/// # Errors
/// When there is no folder for it, or the old file stays.
pub fn clear(path: &Path) -> Result<(), Failure> {
    let path = std::path::absolute(path)?;
    let refuse = |why: &dyn std::fmt::Display| {
        Failure::new(format!("cannot write --ready-file {}: {why}", path.display()))
    };
    if !path.parent().is_some_and(Path::is_dir) {
        return Err(refuse(&"there is no such folder"));
    }
    match std::fs::symlink_metadata(&path) {
        // `/dev/null` and `/dev/stdout` would be gone for everybody.
        Ok(found) if !found.is_file() => return Err(refuse(&"it is there and is no file")),
        Ok(_) | Err(_) => {}
    }
    // The key of a first start is shown there alone: where nothing can be written, none is made.
    can_replace(&path).map_err(|error| refuse(&error))?;
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(refuse(&error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes the file whole, readable by its owner only, for it may hold a secret.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, doors: &Doors, key: Option<&ShownKey>) -> Result<(), Failure> {
    let mut ready = json!({"kafka": doors.kafka, "http": doors.http, "admin": doors.admin});
    if let Some(key) = key {
        ready["key"] = json!({"id": key.id, "secret": key.secret});
    }
    let path = std::path::absolute(path)?;
    replace(&path, format!("{ready}\n").as_bytes(), Access::Owner)
        .map_err(|error| Failure::new(format!("cannot write --ready-file {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::clear;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    #[test]
    fn what_is_no_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| clear(path).unwrap_err().text().to_owned();
        // As `/dev/stdout` is: a link.
        let link = folder.path().join("link");
        symlink("/dev/null", &link).unwrap();
        assert!(refused(&link).contains("is no file"));
        assert!(link.is_symlink());
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(refused(&socket).contains("is no file"));
        assert!(socket.exists());
        assert!(refused(folder.path()).contains("is no file"));
    }

    #[test]
    fn an_old_file_goes_and_nothing_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ready");
        clear(&file).unwrap();
        std::fs::write(&file, "old").unwrap();
        clear(&file).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_found_at_once() {
        let told = clear(Path::new("/proc/ready")).unwrap_err();
        assert!(told.text().contains("/proc/ready"), "{}", told.text());
    }
}
