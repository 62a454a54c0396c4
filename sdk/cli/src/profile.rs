//! Profiles: named addresses and keys in one TOML file that only its owner can read.

use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// The file's content.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profiles {
    /// The profile used when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<String>,
    /// All profiles, by name.
    #[serde(default)]
    pub profile: BTreeMap<String, Profile>,
}

/// One service and how to be let in.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// `HOST:PORT` or a URL of the HTTP port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The certificate authority to trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_certificate: Option<PathBuf>,
    /// The key's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The key's secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// Where the file lies: `$MILLSTREAM_CONFIG`, or `millstream/config.toml` in the user's configuration folder.
pub(crate) fn path() -> Result<PathBuf, Failure> {
    if let Some(path) = std::env::var_os("MILLSTREAM_CONFIG") {
        return Ok(path.into());
    }
    let base = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))
        .ok_or_else(|| {
            Failure::new("neither HOME nor MILLSTREAM_CONFIG is set, so there is no place for profiles")
        })?;
    Ok(base.join("millstream/config.toml"))
}

impl Profiles {
    /// What the file says; nothing when there is none.
    pub(crate) fn load() -> Result<Profiles, Failure> {
        let path = path()?;
        match fs::read_to_string(&path) {
            Ok(text) => toml::from_str(&text).map_err(|error| {
                Failure::new(format!(
                    "{} is not a profile file: {}",
                    path.display(),
                    error.message()
                ))
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Profiles::default()),
            Err(error) => Err(Failure::new(format!("cannot read {}: {error}", path.display()))),
        }
    }

    /// Writes the file anew, readable by its owner only.
    pub(crate) fn save(&self) -> Result<PathBuf, Failure> {
        let path = path()?;
        let refuse =
            |error: std::io::Error| Failure::new(format!("cannot write {}: {error}", path.display()));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(refuse)?;
        }
        let text = toml::to_string(self).map_err(|error| Failure::new(error.to_string()))?;
        let fresh = path.with_extension("toml.new");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&fresh)
            .map_err(refuse)?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(refuse)?;
        fs::rename(&fresh, &path).map_err(refuse)?;
        Ok(path)
    }
}
