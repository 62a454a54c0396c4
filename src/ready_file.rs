//! The file that tells scripts and supervisors that every door answers.

use crate::data_folder::write_text;
use millstream_cli::Failure;
use serde_json::json;
use std::path::Path;

/// A key that is shown once.
#[derive(Clone, Debug)]
pub struct ShownKey {
    pub id: String,
    pub secret: String,
}

/// Writes the file whole, readable by its owner only, for it may hold a secret.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, kafka: &str, http: &str, key: Option<&ShownKey>) -> Result<(), Failure> {
    let mut ready = json!({"kafka": kafka, "http": http});
    if let Some(key) = key {
        ready["key"] = json!({"id": key.id, "secret": key.secret});
    }
    let path = std::path::absolute(path)?;
    write_text(&path, &format!("{ready}\n"), 0o600)
        .map_err(|error| Failure::new(format!("cannot write --ready-file {}: {error}", path.display())))
}
