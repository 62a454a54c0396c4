//! Who is at fault for an error and whether to try again: the two questions every door answers.

/// Who is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The request itself is wrong; the same request will fail again.
    Caller,
    /// Something we depend on (disk, object store, network) failed.
    Dependency,
    /// A bug or a broken invariant of ours.
    Us,
}

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// It cannot.
    Never,
    /// Back off and send the same again.
    Later,
    /// Refresh what you know of the cluster (leaders, topics) first.
    AfterRefresh,
}
