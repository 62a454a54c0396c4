//! Consumer groups as doors see them: the coordinator's own words.

pub use millstream_coordinator::{
    Answer, Client, Command, CommitOffsets, CommittedOffset, DeleteGroup, DeleteOffsets, DescribedGroup,
    DescribedMember, GroupError, GroupKey, GroupState, Heartbeat, Join, Joined, JoinedMember, Leave, Leaving,
    Left, ListedGroup, MemberRef, OffsetToCommit, Protocol, Request, Sync, Synced,
};
