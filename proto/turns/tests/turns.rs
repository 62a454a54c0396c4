//! The processor is shared out between tenants, however many tasks one of them has.

#![allow(clippy::unwrap_used)]

use millstream_model::TenantId;
use millstream_turns::Turns;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn tenant(number: u64) -> TenantId {
    TenantId(number)
}

/// Tasks of one tenant that always have something to do, and how often they did it.
fn crowd(turns: &Turns<TenantId>, tasks: usize) -> (Arc<AtomicUsize>, Vec<tokio::task::JoinHandle<()>>) {
    let polls = Arc::new(AtomicUsize::new(0));
    let spawned = (0..tasks).map(|_| {
        let (turn, polls) = (turns.of(tenant(1)), Arc::clone(&polls));
        tokio::spawn(async move {
            turn.run(async {
                loop {
                    polls.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
            })
            .await;
        })
    });
    let spawned = spawned.collect();
    (polls, spawned)
}

#[tokio::test]
async fn a_crowd_of_one_tenant_stands_in_one_line() {
    let turns = Turns::<TenantId>::default();
    let (polls, tasks) = crowd(&turns, 1_000);
    // All of them are begun.
    for _ in 0..3 {
        tokio::task::yield_now().await;
    }
    let before = polls.load(Ordering::SeqCst);
    let other = turns.of(tenant(2));
    let steps = 50;
    other
        .run(async {
            for _ in 0..steps {
                tokio::task::yield_now().await;
            }
        })
        .await;
    let between = polls.load(Ordering::SeqCst) - before;
    // Without lines, a thousand for each step. The runtime looks at who has yielded after 61 polls of others (tokio's
    // `event_interval`).
    assert!(
        between <= steps * 100,
        "{between} pieces of work of the crowd went before {steps} of the other's"
    );
    tasks.into_iter().for_each(|task| task.abort());
}

#[tokio::test]
async fn everybody_in_a_line_has_a_turn() {
    let turns = Turns::<TenantId>::default();
    let turn = turns.of(tenant(1));
    let tasks = (0..100).map(|number| {
        let turn = turn.clone();
        tokio::spawn(async move {
            turn.run(async {
                for _ in 0..number % 7 {
                    tokio::task::yield_now().await;
                }
                number
            })
            .await
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut sum = 0;
    for task in tasks {
        sum += task.await.unwrap();
    }
    assert_eq!(sum, 4_950);
}

#[tokio::test]
async fn who_leaves_the_line_or_panics_holds_nobody_up() {
    let turns = Turns::<TenantId>::default();
    let (_, tasks) = crowd(&turns, 20);
    tokio::task::yield_now().await;
    let broken = turns.of(tenant(1));
    let broken = tokio::spawn(async move { broken.run(async { panic!("a handler's bug") }).await });
    // In every order: some of them are at work, some were called, most wait.
    for (index, task) in tasks.into_iter().enumerate() {
        task.abort();
        if index % 3 == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert!(broken.await.unwrap_err().is_panic());
    assert_eq!(turns.of(tenant(1)).run(async { 7 }).await, 7);
}

#[tokio::test]
async fn what_waits_for_something_holds_nobody_up() {
    let turns = Turns::<TenantId>::default();
    let turn = turns.of(tenant(1));
    let waiting = turn.clone();
    let task = tokio::spawn(async move { waiting.run(std::future::pending::<()>()).await });
    tokio::task::yield_now().await;
    assert_eq!(turn.run(async { 1 }).await, 1);
    task.abort();
}
