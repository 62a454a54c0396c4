//! The root key, from which every secret is derived (log.md 43).
//!
//! Text form, one line per version, the highest is the current one: `<version>:<64 or more hex digits>`.
//! Blank lines and lines that start with `#` are skipped.

use aws_lc_rs::{constant_time, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use millstream_model::{KeyId, TenantId};
use std::collections::BTreeMap;
use std::fmt;

/// The fewest bytes a root key may have: as many as the HMAC's output.
pub const ROOT_KEY_BYTES_MIN: usize = 32;

/// The most bytes a root key may have: more adds nothing.
pub const ROOT_KEY_BYTES_MAX: usize = 128;

/// Bytes of a derived secret: 30 make 40 characters, the length of an AWS secret access key.
const SECRET_BYTES: usize = 30;

/// A text that is not a root key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootKeyError {
    /// No line holds a key.
    #[error("the root key is empty: expected a line `<version>:<at least 64 hex digits>`")]
    Empty,
    /// A line does not read.
    #[error("line {line} of the root key does not read: expected `<version>:<at least 64 hex digits>`")]
    Line {
        /// The line, from 1.
        line: usize,
    },
    /// A key is too short or too long.
    #[error("line {line} of the root key has {found} bytes: a root key has 32 to 128")]
    Length {
        /// The line, from 1.
        line: usize,
        /// Its bytes.
        found: usize,
    },
    /// Two lines have the same version.
    #[error("the root key has version {version} twice")]
    Twice {
        /// The version.
        version: u32,
    },
}

/// Every version of the root key that is still in use.
#[derive(Clone)]
pub struct RootKeys {
    current: u32,
    keys: BTreeMap<u32, Vec<u8>>,
}

impl fmt::Debug for RootKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RootKeys")
            .field("current", &self.current)
            .finish_non_exhaustive()
    }
}

impl RootKeys {
    /// From 32 random bytes, as version 1.
    pub fn from_random(bytes: [u8; ROOT_KEY_BYTES_MIN]) -> RootKeys {
        RootKeys {
            current: 1,
            keys: BTreeMap::from([(1, bytes.to_vec())]),
        }
    }

    /// From their text form.
    pub fn parse(text: &str) -> Result<RootKeys, RootKeyError> {
        let mut keys = BTreeMap::new();
        for (index, line) in text.lines().enumerate() {
            let text = line.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let line = index + 1;
            let malformed = || RootKeyError::Line { line };
            let (version, digits) = text.split_once(':').ok_or_else(malformed)?;
            let version: u32 = version.trim().parse().map_err(|_| malformed())?;
            let key = hex::decode(digits.trim()).map_err(|_| malformed())?;
            if !(ROOT_KEY_BYTES_MIN..=ROOT_KEY_BYTES_MAX).contains(&key.len()) {
                return Err(RootKeyError::Length {
                    line,
                    found: key.len(),
                });
            }
            if keys.insert(version, key).is_some() {
                return Err(RootKeyError::Twice { version });
            }
        }
        let current = *keys.keys().next_back().ok_or(RootKeyError::Empty)?;
        Ok(RootKeys { current, keys })
    }

    /// Their text form: to be written where only the service's user can read it.
    pub fn to_text(&self) -> String {
        let mut text = String::from(
            "# Millstream's root key. Every secret is derived from it: keep it, show it to nobody.\n",
        );
        for (version, key) in &self.keys {
            text.push_str(&format!("{version}:{}\n", hex::encode(key)));
        }
        text
    }

    /// The version that new secrets are derived from.
    pub fn current(&self) -> u32 {
        self.current
    }

    /// What `cluster.json` keeps of each version, so that a node with another root key is refused.
    pub fn check_values(&self) -> BTreeMap<u32, String> {
        let value = |key: &[u8]| hex::encode(&mac(key, &[b"millstream root key check"])[..16]);
        self.keys
            .iter()
            .map(|(version, key)| (*version, value(key)))
            .collect()
    }

    /// The secret by which nodes know one another.
    pub fn cluster_key(&self) -> Secret {
        self.labelled(self.current, b"millstream cluster key")
            .unwrap_or_else(|| Secret(String::new()))
    }

    /// Whether this is the cluster key of any version. Constant time.
    pub fn is_cluster_key(&self, presented: &str) -> bool {
        let versions = self
            .keys
            .keys()
            .filter_map(|version| self.labelled(*version, b"millstream cluster key"));
        versions.fold(false, |found, secret| found | secret.matches(presented))
    }

    /// The key with which tokens are signed.
    pub(crate) fn token_key(&self, version: u32) -> Option<Vec<u8>> {
        let key = self.keys.get(&version)?;
        Some(mac(key, &[b"millstream token key"]).to_vec())
    }

    /// What makes numbers of ours opaque to one tenant: sixteen bytes for each input, which nobody else foresees.
    pub fn veil(&self, tenant: TenantId, input: u64) -> [u8; 16] {
        let key = self.keys.get(&self.current).map_or(&[][..], Vec::as_slice);
        let whole = mac(
            key,
            &[b"millstream veil", &tenant.0.to_be_bytes(), &input.to_be_bytes()],
        );
        let mut half = [0; 16];
        half.copy_from_slice(&whole[..16]);
        half
    }

    fn labelled(&self, version: u32, label: &[u8]) -> Option<Secret> {
        let key = self.keys.get(&version)?;
        Some(Secret::of(&mac(key, &[label])))
    }
}

/// A secret in clear. Never printed by `Debug`.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    fn of(mac: &[u8; 32]) -> Secret {
        Secret(URL_SAFE_NO_PAD.encode(&mac[..SECRET_BYTES]))
    }

    /// The secret itself: to show it once, or to check a signature or a SCRAM proof.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the presented text is this secret. Constant time for texts of the same length.
    pub fn matches(&self, presented: &str) -> bool {
        constant_time::verify_slices_are_equal(self.0.as_bytes(), presented.as_bytes()).is_ok()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A key's secret: 40 characters of `[A-Za-z0-9_-]`. None when this process lacks that version of the root key.
pub fn derive_secret(roots: &RootKeys, root_version: u32, key: &KeyId, salt: &[u8; 16]) -> Option<Secret> {
    let root = roots.keys.get(&root_version)?;
    Some(Secret::of(&mac(
        root,
        &[b"millstream api key", key.as_bytes(), salt],
    )))
}

/// HMAC-SHA256 over parts of fixed lengths.
fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.sign().as_ref());
    out
}
