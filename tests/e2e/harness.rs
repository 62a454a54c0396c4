//! What every test needs: a running server, the command line, other people's clients.

pub mod cli;
pub mod http;
pub mod s3;
pub mod server;
pub mod terminal;
pub mod tools;

pub use cli::{json_lines, text_of};
pub use server::{Doors, Key, Server, Start, Work};

use std::time::{Duration, Instant};

/// Waits until `done` holds, asking again every few milliseconds.
pub async fn until<F, T>(what: &str, patience: Duration, mut done: F)
where
    F: AsyncFnMut() -> Option<T>,
{
    until_some(what, patience, async || done().await.map(|_| ())).await;
}

/// Waits until `find` finds something.
pub async fn until_some<T>(what: &str, patience: Duration, mut find: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = find().await {
            return found;
        }
        assert!(begun.elapsed() < patience, "gave up waiting until {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
