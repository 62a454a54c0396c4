//! The commit that a pull query saw, as a text that a client hands back and does not read (sql.md 21).
//!
//! ```text
//! base64url, unpadded:  version 1 │ tenant 8 │ (shard 4 │ commit 8)* │ CRC-32C of all before it 4
//!                                              shards ascending
//! ```
//!
//! Big-endian (decision 049 says why it is no number). The sum finds texts that were cut or mistyped; it keeps nobody from making one, and one that was made
//! asks for no more than its maker may see.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use crc_fast::crc32_iscsi;
use millstream_model::TenantId;
use millstream_model::limits::SQL_COMMIT_TOKEN_BYTES_MAX;
use std::collections::BTreeMap;
use std::fmt;

const VERSION: u8 = 1;

/// Version and tenant.
const HEAD_BYTES: usize = 9;
const COMMIT_BYTES: usize = 12;
const SUM_BYTES: usize = 4;

/// The shards of one token: as many as fit.
const SHARDS_MAX: usize = (SQL_COMMIT_TOKEN_BYTES_MAX / 4 * 3 - HEAD_BYTES - SUM_BYTES) / COMMIT_BYTES;

/// The last commits that a pull query saw of a tenant's shards, or asks for at least.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitToken {
    tenant: TenantId,
    commits: BTreeMap<u32, u64>,
}

/// Why a text is no commit token, or not for this tenant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitTokenError {
    /// It was not looked at.
    #[error("a commit token has at most {SQL_COMMIT_TOKEN_BYTES_MAX} bytes, this one has {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// None of ours, or not whole.
    #[error("'{text}' is not a commit token: a pull query of a table ends with one")]
    Malformed {
        /// What was given.
        text: String,
    },
    /// It names the commits of somebody else.
    #[error("the commit token is another virtual cluster's")]
    Foreign,
}

impl CommitToken {
    /// Of these (shard, commit).
    ///
    /// # Panics
    /// On more shards than a token has room for, [`SQL_COMMIT_TOKEN_BYTES_MAX`]: whoever lets a tenant have so many
    /// has to see to it.
    pub fn new(tenant: TenantId, commits: impl IntoIterator<Item = (u32, u64)>) -> Self {
        let commits: BTreeMap<u32, u64> = commits.into_iter().collect();
        assert!(
            commits.len() <= SHARDS_MAX,
            "bug: {} shards do not fit into a commit token",
            commits.len()
        );
        Self { tenant, commits }
    }

    /// The token that [`fmt::Display`] wrote.
    ///
    /// # Errors
    /// [`CommitTokenError::TooLong`] or [`CommitTokenError::Malformed`].
    pub fn read(text: &str) -> Result<Self, CommitTokenError> {
        let bytes = text.len();
        if bytes > SQL_COMMIT_TOKEN_BYTES_MAX {
            return Err(CommitTokenError::TooLong { bytes });
        }
        decode(text).ok_or_else(|| CommitTokenError::Malformed {
            text: text.to_owned(),
        })
    }

    /// The earliest commit of `tenant`'s shard that will do: 0, the newest whichever it is, when the token does not
    /// name the shard. What it says of shards that are no more is not asked for.
    ///
    /// # Errors
    /// [`CommitTokenError::Foreign`].
    pub fn commit_min(&self, tenant: TenantId, shard: u32) -> Result<u64, CommitTokenError> {
        if tenant != self.tenant {
            return Err(CommitTokenError::Foreign);
        }
        Ok(self.commits.get(&shard).copied().unwrap_or(0))
    }
}

impl fmt::Display for CommitToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(HEAD_BYTES + self.commits.len() * COMMIT_BYTES + SUM_BYTES);
        bytes.push(VERSION);
        bytes.extend(self.tenant.0.to_be_bytes());
        for (shard, commit) in &self.commits {
            bytes.extend(shard.to_be_bytes());
            bytes.extend(commit.to_be_bytes());
        }
        bytes.extend(crc32_iscsi(&bytes).to_be_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// `None` for what no [`CommitToken`] is written as.
fn decode(text: &str) -> Option<CommitToken> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (covered, sum) = bytes.split_last_chunk::<SUM_BYTES>()?;
    if crc32_iscsi(covered) != u32::from_be_bytes(*sum) {
        return None;
    }
    let (version, rest) = covered.split_first()?;
    let (tenant, rest) = rest.split_first_chunk()?;
    let (pairs, cut) = rest.as_chunks::<COMMIT_BYTES>();
    if *version != VERSION || !cut.is_empty() {
        return None;
    }
    let mut commits = BTreeMap::new();
    for pair in pairs {
        let (shard, commit) = pair.split_first_chunk()?;
        let shard = u32::from_be_bytes(*shard);
        if commits.last_key_value().is_some_and(|(last, _)| *last >= shard) {
            return None;
        }
        commits.insert(shard, u64::from_be_bytes(commit.try_into().ok()?));
    }
    let tenant = TenantId(u64::from_be_bytes(*tenant));
    Some(CommitToken { tenant, commits })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENANT: TenantId = TenantId(123_456_789_012);

    fn malformed(text: &str) {
        let error = CommitToken::read(text).unwrap_err();
        assert!(
            matches!(error, CommitTokenError::Malformed { .. }),
            "{text}: {error}"
        );
        assert!(error.to_string().contains("is not a commit token"), "{error}");
    }

    /// The text of these bytes with a sum that is right.
    fn summed(mut bytes: Vec<u8>) -> String {
        bytes.extend(crc32_iscsi(&bytes).to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn head(version: u8) -> Vec<u8> {
        let mut bytes = vec![version];
        bytes.extend(TENANT.0.to_be_bytes());
        bytes
    }

    fn pair(shard: u32, commit: u64) -> Vec<u8> {
        [&shard.to_be_bytes()[..], &commit.to_be_bytes()].concat()
    }

    #[test]
    fn what_is_written_is_read() {
        let full = u32::try_from(SHARDS_MAX).unwrap();
        let sets: [Vec<(u32, u64)>; 4] = [
            vec![],
            vec![(0, 1)],
            vec![(u32::MAX, u64::MAX), (0, 0), (7, 1 << 40)],
            (0..full).map(|shard| (shard, u64::from(shard) * 3)).collect(),
        ];
        for commits in sets {
            let token = CommitToken::new(TENANT, commits.clone());
            let text = token.to_string();
            assert!(text.len() <= SQL_COMMIT_TOKEN_BYTES_MAX, "{}", text.len());
            assert_eq!(CommitToken::read(&text), Ok(token.clone()));
            for (shard, commit) in commits {
                assert_eq!(token.commit_min(TENANT, shard), Ok(commit));
            }
        }
    }

    #[test]
    fn the_form_stays_as_it_is() {
        let token = CommitToken::new(TENANT, [(0, 5), (3, 9)]);
        assert_eq!(
            token.to_string(),
            "AQAAABy-mRoUAAAAAAAAAAAAAAAFAAAAAwAAAAAAAAAJ_Awrbg"
        );
    }

    #[test]
    fn a_shard_that_the_token_does_not_name_has_the_newest() {
        let token = CommitToken::new(TENANT, [(4, 9)]);
        assert_eq!(token.commit_min(TENANT, 0), Ok(0));
        assert_eq!(token.commit_min(TENANT, 5), Ok(0));
    }

    #[test]
    fn another_tenants_token_is_refused() {
        let token = CommitToken::new(TENANT, [(0, 9)]);
        let error = token.commit_min(TenantId(1), 0).unwrap_err();
        assert_eq!(error.to_string(), "the commit token is another virtual cluster's");
        assert_eq!(token.commit_min(TenantId(1), 7), Err(CommitTokenError::Foreign));
    }

    #[test]
    fn a_token_of_any_length_is_read_or_refused() {
        let whole = CommitToken::new(TENANT, [(0, 5), (3, 9)]).to_string();
        for end in 0..whole.len() {
            malformed(&whole[..end]);
        }
        for bytes in 0..64 {
            malformed(&summed(vec![0; bytes]));
            let with_head = summed([head(VERSION), vec![0; bytes]].concat());
            // Whole pairs of ascending shards: there is one at most of zeros.
            let is_token = bytes == 0 || bytes == COMMIT_BYTES;
            assert_eq!(CommitToken::read(&with_head).is_ok(), is_token, "{bytes}");
        }
        let longest = "A".repeat(SQL_COMMIT_TOKEN_BYTES_MAX);
        malformed(&longest);
        let error = CommitToken::read(&format!("{longest}A")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a commit token has at most 4096 bytes, this one has 4097"
        );
    }

    #[test]
    fn what_is_no_token_is_refused() {
        for text in ["", "0", "17", "last", "ä", "a b", "====", "ms1.0:5"] {
            malformed(text);
        }
        let whole = CommitToken::new(TENANT, [(0, 5)]).to_string();
        malformed(&format!("{whole}="));
        malformed(&format!(" {whole}"));
        for at in 0..whole.len() {
            let mut text = whole.clone().into_bytes();
            text[at] = if text[at] == b'A' { b'B' } else { b'A' };
            malformed(&String::from_utf8(text).unwrap());
        }
        malformed(&summed(head(VERSION + 1)));
        malformed(&summed([head(VERSION), pair(3, 1), pair(0, 1)].concat()));
        malformed(&summed([head(VERSION), pair(3, 1), pair(3, 2)].concat()));
    }

    #[test]
    #[should_panic(expected = "bug: ")]
    fn more_shards_than_fit_are_a_bug() {
        let many = u32::try_from(SHARDS_MAX).unwrap() + 1;
        CommitToken::new(TENANT, (0..many).map(|shard| (shard, 1)));
    }
}
