//! What can be set about a journal.

use millstream_model::limits::COMMIT_BYTES_MAX;

/// The smallest file: a header, a carry of many groups, and commits worth the name.
pub(crate) const FILE_BYTES_MIN: u32 = 64 * 1024;

/// What can be set about a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What the journal may take of the disk, bytes; at least four files. One more is kept for the next start.
    pub size_bytes: u64,
    /// One file of it, bytes. Files of another length, left by other settings, are used up and then removed.
    pub file_bytes: u32,
    /// The most that one commit takes, bytes; at most half a file.
    pub commit_bytes_max: usize,
    /// Free files that are kept written with zeros ahead of the writer, until `size_bytes` is reached.
    pub prepared_files: usize,
    /// Where the journal's id and salts come from: `None` is the operating system, `Some` is for the simulator.
    pub seed: Option<u64>,
    /// A bug that the simulator must find; for it alone.
    pub planted: Planted,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            size_bytes: 2 * 1024 * 1024 * 1024,
            file_bytes: 128 * 1024 * 1024,
            commit_bytes_max: COMMIT_BYTES_MAX,
            prepared_files: 2,
            seed: None,
            planted: Planted::None,
        }
    }
}

/// A bug planted in the journal, so that the simulator can show that it would find one. Never set outside of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Planted {
    /// The journal as it should be.
    #[default]
    None,
    /// A commit is acknowledged before its fdatasync.
    AcknowledgeBeforeFsync,
    /// After a restart the writer goes on in the file where the valid prefix ends (against log.md 3).
    AppendAfterRestart,
    /// Recovery takes blocks of a file's earlier life (against log.md 2).
    StaleBlockAccepted,
    /// Recovery cuts at the first bad block and does not look on past it (against log.md 4).
    CorruptMiddleIsTornTail,
    /// A failed fdatasync is done again (against log.md 6).
    RetryFailedFsync,
    /// What a mending has written counts before it is finished.
    DraftCountsAtOnce,
}

impl Planted {
    /// Every bug there is.
    pub const ALL: [Planted; 6] = [
        Planted::AcknowledgeBeforeFsync,
        Planted::AppendAfterRestart,
        Planted::StaleBlockAccepted,
        Planted::CorruptMiddleIsTornTail,
        Planted::RetryFailedFsync,
        Planted::DraftCountsAtOnce,
    ];
}
