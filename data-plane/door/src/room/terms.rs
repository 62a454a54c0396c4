//! What goes into a room and comes out of it: owners, frames, answers, events.

use millstream_model::TenantId;
use std::net::IpAddr;

/// Whose share a frame counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// Of somebody who has logged in.
    Tenant(TenantId),
    /// Of somebody who has not.
    Address(IpAddr),
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Owner::Tenant(tenant) => write!(f, "tenant {}", tenant.account()),
            Owner::Address(address) => write!(f, "address {address}"),
        }
    }
}

/// A connection: several frames of it may hold room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// A request under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameId(pub u64);

/// What a room is made of.
#[derive(Clone, Copy, Debug)]
pub struct RoomSettings {
    /// All of it.
    pub bytes_max: usize,
    /// How long a frame may bring nothing while others wait, ms.
    pub patience_ms: u64,
    /// What it must bring in that time, unless its rest is less.
    pub progress_bytes: usize,
}

/// The answer to a take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is the frame's now.
    Granted,
    /// The frame waits; an [`Event`] will tell.
    Waits,
}

/// Why a frame was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Overstay {
    /// It was begun and then brought nothing, while others waited.
    Silent,
    /// It held much and could not get the rest, while others waited.
    Blocking,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// What it waited for is its own now.
    Granted(FrameId),
    /// It must go: whoever reads it drops what it has and calls [`Room::end`](super::Room::end).
    Overstayed(FrameId, Overstay),
}
