//! Following the catalog: [`plan_follow`] says what an image asks of this node, the follower does it.

mod action;
mod deletion;
mod follower;
mod found;
mod install;
mod local;
mod plan;
#[cfg(test)]
mod tests;

pub use action::{Action, ToOpen};
pub(crate) use follower::Follower;
pub(crate) use found::Found;
pub use local::{Held, Local, OnDisk, Planted};
pub use plan::{Following, Plan, plan_follow};
