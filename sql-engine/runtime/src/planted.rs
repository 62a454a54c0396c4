//! Bugs that a test can put into a shard.

/// Bugs that a test can put in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlantedCore {
    /// Input offsets come with the next commit.
    pub offsets_outside_the_run: bool,
    /// Stream times begin anew.
    pub stream_time_not_restored: bool,
    /// A pull query sees what is not committed.
    pub overlay_in_pulls: bool,
    /// The shard's readers count what its killed writer left.
    pub leftovers_count: bool,
}
