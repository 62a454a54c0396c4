//! What a node is to the cluster.

/// What a node is to the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It waits for the controller and serves reads from its disk meanwhile.
    Waiting,
    /// It is a part of it.
    Member,
    /// The controller refused it for good: it serves nothing.
    Refused,
}
