//! What ends a call before its service does.

use crate::world::{World, ended, message, prefix, refused, upload};
use futures::FutureExt;
use http_body_util::BodyExt;
use millstream_door::{GateSettings, RoomsSettings};
use std::pin::pin;
use std::time::Duration;
use tonic::Code;

const WATCH: &str = "/millstream.data.v1.Data/Watch";

async fn open(world: &World, path: &str, header: Option<&str>) -> http::Response<tonic::body::Body> {
    let (upload, body) = upload();
    upload.send(&message(3));
    drop(upload);
    let answer = world.call(path, header, body).await;
    assert_eq!(refused(&answer).0, Code::Ok);
    answer
}

#[tokio::test]
async fn a_stream_ends_when_the_server_stops() {
    let world = World::new();
    let header = world.header();
    let mut watch = open(&world, WATCH, Some(&header)).await;
    assert!(watch.body_mut().frame().await.unwrap().unwrap().is_data());
    assert!(watch.body_mut().frame().now_or_never().is_none(), "it goes on");
    let catalog = open(
        &world,
        "/millstream.control.v1.Cluster/WatchCatalog",
        Some(&world.node_header()),
    )
    .await;
    let health = open(&world, "/grpc.health.v1.Health/Watch", None).await;
    world.draining.cancel();
    for stream in [watch, catalog, health] {
        let (code, text) = ended(stream).await;
        assert_eq!(
            (code, text.as_str()),
            (Code::Unavailable, "the server is stopping; connect again")
        );
    }
}

#[tokio::test]
async fn an_unfinished_request_does_not_hold_up_the_end() {
    let world = World::new();
    let header = world.header();
    let (upload, body) = upload();
    upload.send(&prefix(1000));
    let mut call = pin!(world.call("/millstream.data.v1.Data/Produce", Some(&header), body));
    assert!(call.as_mut().now_or_never().is_none());
    world.draining.cancel();
    assert_eq!(refused(&call.await).0, Code::Unavailable);
}

#[tokio::test]
async fn a_stream_ends_with_its_key_and_so_does_a_request_under_way() {
    let world = World::new();
    let header = world.header();
    let watch = open(&world, WATCH, Some(&header)).await;
    let service = open(&world, WATCH, Some(&world.service_header())).await;
    let (upload, body) = upload();
    let mut late = pin!(world.call("/millstream.data.v1.Data/Fetch", Some(&header), body));
    upload.send(&message(3));
    assert!(late.as_mut().now_or_never().is_none());
    world.revoke();
    drop(upload);
    assert_eq!(
        refused(&late.await).0,
        Code::Unauthenticated,
        "it was read too late"
    );
    assert_eq!(ended(watch).await.0, Code::Unauthenticated);
    let mut service = service;
    service.body_mut().frame().await.unwrap().unwrap();
    assert!(
        service.body_mut().frame().now_or_never().is_none(),
        "another's key is not its own"
    );
}

#[tokio::test(start_paused = true)]
async fn a_strangers_stream_has_an_end() {
    let settings = GateSettings {
        stranger_time: Duration::from_secs(300),
        ..GateSettings::default()
    };
    let world = World::with(settings, RoomsSettings::default());
    let (code, text) = ended(open(&world, "/grpc.health.v1.Health/Watch", None).await).await;
    assert_eq!(code, Code::Unavailable);
    assert!(text.contains("300s"), "{text}");
}
