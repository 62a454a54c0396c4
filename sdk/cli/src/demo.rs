//! The demo: a month of real flights through the Kafka port, and continuous SQL that answers as they arrive.
//!
//! In: the addresses and the admin key of a running service ([`Service`]) and [`DemoArgs`]. It makes its own
//! organisation, virtual cluster and key through the control plane, sends what its topic does not hold yet, and
//! watches the answer change. Everything goes through public doors.

mod flights;
mod flow;
mod send;
mod setup;
mod statements;
mod steps;
mod view;

pub use flow::{run, total_lag};
pub use statements::Statements;

use clap::Args;

/// `millstream demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Event seconds per second; 86400 is a day a second
    #[arg(long, default_value_t = 86_400, value_name = "FACTOR", value_parser = clap::value_parser!(u64).range(1..))]
    pub speed: u64,
    /// Ends when every query has answered all of it, instead of serving on
    #[arg(long)]
    pub once: bool,
    /// Sends the rows without key, so that the query has to bring the rows of a carrier together
    #[arg(long)]
    pub unkeyed: bool,
    /// How long a window waits for late rows, such as '0 SECONDS' [default: 24 HOURS]
    #[arg(long, value_name = "DURATION")]
    pub grace_period: Option<String>,
    /// Sends only the first rows of the month
    #[arg(long, value_name = "COUNT")]
    pub rows: Option<usize>,
}

/// A running service, as the demo needs it.
#[derive(Clone, Debug)]
pub struct Service {
    /// The Kafka port, `HOST:PORT`.
    pub kafka: String,
    /// The HTTP port, `HOST:PORT`.
    pub http: String,
    /// The administrator's key id.
    pub key: String,
    /// Its secret.
    pub secret: String,
    /// Whether the key was made for this run alone and is to be revoked once the demo has a key of its own.
    pub revoke_key: bool,
}
