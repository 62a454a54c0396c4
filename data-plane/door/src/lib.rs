//! What holds for every door, written once: room for requests that arrive, quotas and their debts, and who is refused
//! from the headers alone.
//!
//! A door brings its protocol; this crate says how much memory its clients may take, how long they wait, and who may
//! not enter. Nothing here knows Kafka's or gRPC's messages, or reaches a broker.
//!
//! [`gate`] stands before every gRPC service. [`room`] is the accounting, without a clock; [`waiting`] lets tasks wait
//! for it. [`turns`] shares out the processor.

pub mod gate;
pub mod permissions;
pub mod places;
pub mod quotas;
pub mod room;
pub mod turns;
pub mod waiting;

pub use gate::{Gate, GateMetrics, GateParts, GateSettings, Keeper};
pub use permissions::Action;
pub use places::{NoPlace, Place, Places};
pub use quotas::{Connected, Meter, Owes, Quotas, THROTTLE_MAX};
pub use room::{Overstay, Owner};
pub use turns::{Turn, Turns};
pub use waiting::{Connection, Overstayed, Rooms, RoomsSettings, Share};
