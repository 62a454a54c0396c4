//! A third door of the kit's pieces and a protocol of its own: lines of text. What holds for the doors holds here
//! without a line of theirs.

#![allow(clippy::unwrap_used)]

#[path = "../../kafka/tests/door/catalog.rs"]
#[allow(dead_code)]
mod catalog;
#[path = "third/door.rs"]
mod door;
#[path = "third/error.rs"]
mod error;
#[path = "third/world.rs"]
mod world;

use millstream_metadata::{Grant, Quota};
use std::time::Duration;
use world::World;

#[tokio::test]
async fn records_come_and_go() {
    let world = World::start().await;
    let mut client = world.client(&world.admin).await;
    assert_eq!(client.ask("PRODUCE t 0 hello").await, "OK 0");
    assert_eq!(client.ask("PRODUCE t 0 again").await, "OK 1");
    assert_eq!(client.ask("FETCH t 0 0").await, "OK 2");
    assert_eq!(client.ask("LEADER t 0").await, "OK 1");
    world.stop().await;
}

#[tokio::test]
async fn strangers_and_wrong_secrets_are_told_alike() {
    let world = World::start().await;
    let mut stranger = world.connect().await;
    assert!(stranger.ask("FETCH t 0 0").await.starts_with("ERR 401 "));
    let unknown = world
        .connect()
        .await
        .ask("LOGIN AAAAAAAAAAAAAAAAAAAA secret")
        .await;
    let wrong = format!("LOGIN {} secret", world.admin.id);
    assert_eq!(world.connect().await.ask(&wrong).await, unknown);
    assert!(unknown.starts_with("ERR 401 authentication failed"), "{unknown}");
    world.stop().await;
}

#[tokio::test]
async fn names_grants_and_partitions_are_the_kits() {
    let world = World::start().await;
    let reader = world.catalog.key(1, 2, &[Grant::Consume]);
    let (mut client, mut reader) = (world.client(&world.admin).await, world.client(&reader).await);
    for (line, answer) in [
        ("PRODUCE __groups 0 x", "ERR 404 there is no topic '__groups'"),
        (
            "PRODUCE t 7 x",
            "ERR 404 topic 't' has 1 partitions, there is no 7",
        ),
        ("FETCH t 0 99", "ERR 416 offset 99 is outside of 0..=0"),
    ] {
        assert_eq!(client.ask(line).await, answer);
    }
    assert_eq!(
        reader.ask("PRODUCE t 0 x").await,
        "ERR 403 this needs a key that may produce"
    );
    assert_eq!(reader.ask("FETCH t 0 0").await, "OK 0");
    world.stop().await;
}

#[tokio::test]
async fn quotas_hold() {
    let world = World::start().await;
    world.catalog.set_quota(
        1,
        Quota {
            produce_bytes_per_second: Some(10),
            connections: Some(1),
            ..Quota::default()
        },
    );
    let mut client = world.client(&world.admin).await;
    let line = format!("LOGIN {} {}", world.admin.id, world.secret(&world.admin));
    let second = world.connect().await.ask(&line).await;
    assert!(second.starts_with("ERR 429 the quota of connections"), "{second}");
    assert_eq!(client.ask("PRODUCE t 0 much").await, "OK 0");
    let owes = client.ask("PRODUCE t 0 more").await;
    assert!(owes.starts_with("ERR 429 the quota of produce_bytes"), "{owes}");
    assert_eq!(client.ask("FETCH t 0 0").await, "OK 1", "another meter");
    world.stop().await;
}

#[tokio::test]
async fn a_connection_ends_with_its_key() {
    let world = World::start().await;
    let key = world.catalog.key(1, 3, &[Grant::Consume]);
    let mut client = world.client(&key).await;
    assert_eq!(client.ask("FETCH t 0 0").await, "OK 0");
    world.catalog.revoke(&key);
    let ended = tokio::time::timeout(Duration::from_secs(10), client.end()).await;
    assert_eq!(ended, Ok(()));
    world.stop().await;
}
