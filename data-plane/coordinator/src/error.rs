//! Why a group refuses a command. Names follow Kafka's error codes, which the Kafka door maps one to one.

use millstream_model::{Fault, Retry};

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// This replica does not lead the group's log.
    #[error("this broker does not coordinate the group")]
    NotCoordinator,
    /// The record could not be committed; nothing is known to have changed.
    #[error("the group coordinator could not commit the change")]
    NotAvailable,
    /// The group has no such member.
    #[error("the group has no such member")]
    UnknownMember,
    /// A member without an id must join again with this one (KIP-394).
    #[error("join again as member {member_id}")]
    MemberIdRequired {
        /// The id it got.
        member_id: String,
    },
    /// The generation is not the current one.
    #[error("the group's generation is another")]
    IllegalGeneration,
    /// Members must join again.
    #[error("the group is rebalancing")]
    RebalanceInProgress,
    /// The member's protocol type or strategies do not fit the group's.
    #[error("the member supports none of the group's protocols")]
    InconsistentProtocol,
    /// The session timeout is out of bounds.
    #[error("the session timeout must be between {min} and {max} ms")]
    InvalidSessionTimeout {
        /// The least allowed.
        min: i32,
        /// The most allowed.
        max: i32,
    },
    /// Another member took over this instance id.
    #[error("another member has taken over this group.instance.id")]
    FencedInstance,
    /// The group, or what its members say of themselves, is as large as it may be.
    #[error("the group is full")]
    GroupFull,
    /// The tenant has as many groups as it may have.
    #[error("the virtual cluster has as many consumer groups as it may have")]
    TooManyGroups,
    /// The metadata with an offset is too long.
    #[error("offset metadata is longer than {max} bytes")]
    MetadataTooLarge {
        /// The most allowed.
        max: usize,
    },
    /// What a member says of itself, or what its leader assigns, is larger than allowed.
    #[error("the member's data, or its assignments, are larger than allowed")]
    MemberTooLarge,
    /// There is no such group.
    #[error("there is no such group")]
    GroupNotFound,
    /// A group with members cannot be deleted.
    #[error("the group still has members")]
    NonEmptyGroup,
    /// Offsets of a topic that members subscribe to cannot be deleted.
    #[error("the group's members subscribe to the topic")]
    SubscribedToTopic,
}

impl GroupError {
    /// Who is at fault.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NotAvailable => Fault::Dependency,
            _ => Fault::Caller,
        }
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        match self {
            Self::NotAvailable | Self::RebalanceInProgress => Retry::Later,
            Self::NotCoordinator
            | Self::UnknownMember
            | Self::MemberIdRequired { .. }
            | Self::IllegalGeneration => Retry::AfterRefresh,
            Self::InconsistentProtocol
            | Self::InvalidSessionTimeout { .. }
            | Self::FencedInstance
            | Self::GroupFull
            | Self::TooManyGroups
            | Self::MetadataTooLarge { .. }
            | Self::MemberTooLarge
            | Self::GroupNotFound
            | Self::NonEmptyGroup
            | Self::SubscribedToTopic => Retry::Never,
        }
    }
}
