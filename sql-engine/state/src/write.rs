//! One write of a commit: what the changelog, the layers and the database take.

/// One write of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateWrite {
    /// The whole key.
    pub key: Vec<u8>,
    /// The value it has from now on; `None` removes it.
    pub value: Option<Vec<u8>>,
}
