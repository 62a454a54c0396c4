//! Which command is answered by what: one table, from which [`Command`], [`Reply`] and their types follow.

use crate::command::{CommitOffsets, DeleteGroup, DeleteOffsets, Heartbeat, Join, Leave, Sync};
use crate::error::GroupError;
use crate::reply::{Joined, Left, PerPartition, Synced};

/// What is asked of a group: its type says what it is answered by.
pub trait Request {
    /// What it is answered by when it is not refused as a whole.
    type Reply;

    /// The command that asks for it.
    fn into_command(self) -> Command;

    /// Its reply, out of the one that its command got.
    fn reply_of(reply: Reply) -> Self::Reply;
}

/// What a command comes to: its reply, or why it was refused as a whole.
pub type Answer = Result<Reply, GroupError>;

macro_rules! requests {
    ($($(#[doc = $when:literal])* $command:ident => $reply:ty,)*) => {
        /// A command to one group.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Command {
            $($(#[doc = $when])* $command($command),)*
        }

        /// The reply to the command of the same name.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub enum Reply {
            $($(#[doc = $when])* $command($reply),)*
        }

        $(impl Request for $command {
            type Reply = $reply;

            fn into_command(self) -> Command {
                Command::$command(self)
            }

            fn reply_of(reply: Reply) -> $reply {
                match reply {
                    Reply::$command(reply) => reply,
                    other => panic!("bug: {} was answered by {other:?}", stringify!($command)),
                }
            }
        })*
    };
}

requests! {
    /// Answered perhaps after the rebalance.
    Join => Joined,
    /// Answered perhaps after the leader's sync.
    Sync => Synced,
    /// Answered at once.
    Heartbeat => (),
    /// Answered at once: each member's own result, in the order asked.
    Leave => Vec<Left>,
    /// Answered once durable: each partition's own result, in the order asked.
    CommitOffsets => PerPartition,
    /// Answered once durable.
    DeleteGroup => (),
    /// Answered once durable: each partition's own result, in the order asked.
    DeleteOffsets => PerPartition,
}
