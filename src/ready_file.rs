//! The file that tells scripts and supervisors that every door answers.

use millstream_cli::Failure;
use millstream_durable::{Access, replace};
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
