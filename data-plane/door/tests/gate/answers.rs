//! Answers that nobody takes: they hold room, within their caller's share, and not for ever.

use crate::world::{MIB, World, message, refused, upload};
use futures::FutureExt;
use http_body_util::BodyExt;
use millstream_door::{GateSettings, RoomsSettings};
use std::time::Duration;
use tonic::Code;

/// The service answers one message of 4 MiB there.
const LARGE: &str = "/millstream.data.v1.Data/Large";

async fn ask(world: &World) -> http::Response<tonic::body::Body> {
    let (upload, body) = upload();
    upload.send(&message(3));
    drop(upload);
    world.call(LARGE, Some(&world.header()), body).await
}

#[tokio::test(start_paused = true)]
async fn an_answer_holds_room_until_it_is_taken_or_given_up() {
    let world = World::new();
    let mut answer = ask(&world).await;
    assert_eq!(world.used(), 4 * MIB + 5, "before anything is taken");
    let first = answer
        .body_mut()
        .frame()
        .await
        .unwrap()
        .unwrap()
        .into_data()
        .unwrap();
    assert_eq!(first.len(), 64 * 1024, "piece by piece");
    let rest = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!([first, rest].concat(), message(4 * MIB));
    assert_eq!(world.used(), 0);

    let gone = ask(&world).await;
    drop(gone);
    assert_eq!(world.used(), 0);

    // The connection asks for nothing: nobody looks at the body at all.
    let mut kept = ask(&world).await;
    kept.body_mut().frame().await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_secs(70)).await;
    assert_eq!(world.used(), 4 * MIB + 5, "it was taken from in this time");
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(world.used(), 0, "given up");
    let end = kept
        .body_mut()
        .frame()
        .await
        .unwrap()
        .unwrap()
        .into_trailers()
        .unwrap();
    assert_eq!(end["grpc-status"], (Code::DeadlineExceeded as i32).to_string());
    assert!(
        world
            .metrics()
            .contains("grpc_gate_refused_total{reason=\"not_taken\"} 1")
    );
}

#[tokio::test(start_paused = true)]
async fn answers_that_nobody_takes_do_not_fill_the_memory() {
    let rooms = RoomsSettings {
        tenants_bytes_max: 16 * MIB,
        ..RoomsSettings::default()
    };
    let world = World::with(GateSettings::default(), rooms);
    let mut kept = Vec::new();
    for _ in 0..100 {
        let mut call = Box::pin(ask(&world));
        if let Some(answer) = call.as_mut().now_or_never() {
            assert_eq!(refused(&answer).0, Code::Ok);
            kept.push(answer);
        } else {
            break;
        }
    }
    assert!((2..=4).contains(&kept.len()), "{} answers are kept", kept.len());
    assert!(world.used() <= 16 * MIB);
    // Who waits for room gets it when the others are given up.
    let answer = ask(&world).await;
    let whole = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(whole.len(), 4 * MIB + 5);
}
