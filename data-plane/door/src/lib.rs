//! What holds for every door, written once: who is let in and out again, what it names and may do, how much it may
//! take, and what went wrong, in words of no protocol.
//!
//! A door brings its protocol and one table from [`Kind`](millstream_model::Kind) to its wire codes. In the order of a
//! request:
//!
//! ```text
//!   connection ─► places ─► room for its bytes ─► login or gate ─► permissions ─► quotas
//!     ─► topics (access) ─► produce, fetch ─► problem ─► the door's own code
//! ```
//!
//! [`login`] is for protocols that log in on a connection, [`gate`] stands before every gRPC service; both end with the
//! caller's key. What the control plane's service needs of this kit, too, lies in `proto/access` (callers, topics) and
//! `proto/rpc` (statuses), for planes meet only there.
//!
//! [`room`] is the accounting of memory, without a clock; [`waiting`] lets tasks wait for it, and shares out the
//! processor by `millstream_turns`. Not here: any protocol's messages, and what a request does (the broker).

pub mod code;
pub mod fetch;
pub mod gate;
pub mod leadership;
pub mod login;
pub mod permissions;
pub mod places;
pub mod problem;
pub mod produce;
pub mod quotas;
pub mod room;
pub mod waiting;

pub use code::kafka_code;
pub use gate::{Gate, GateMetrics, GateParts, GateSettings, Keeper};
pub use leadership::{Leadership, leadership};
pub use login::{Login, LoginError, LoginSettings, Logins, while_valid};
pub use millstream_turns::Turn;
pub use permissions::{Action, Denied};
pub use places::{NoPlace, Place, Places};
pub use problem::Refused;
pub use quotas::{Allowance, Connected, Meter, Owes, Quotas, THROTTLE_MAX};
pub use room::{Overstay, Owner};
pub use waiting::{Connection, Overstayed, Rooms, RoomsSettings, Share};
