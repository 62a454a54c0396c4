//! Consumer groups as doors see them: the coordinator's own words.

pub use millstream_coordinator::{
    Client, Command, CommitOffsets, CommittedOffset, DescribedGroup, DescribedMember, GroupError, GroupKey,
    GroupState, Heartbeat, Join, Joined, JoinedMember, Leave, Leaving, Left, ListedGroup, MemberRef,
    OffsetToCommit, Protocol, Reply, Sync, Synced,
};
