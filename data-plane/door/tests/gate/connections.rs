//! Connections at once: counted by key and tenant over all doors, here behind a real port.

use crate::world::{World, message, refused};
use axum::Router;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use millstream_listener::{Handle, Settings, bind, serve};
use millstream_metadata::{OrganisationId, Quota};
use std::time::Duration;
use tokio::time::timeout;
use tonic::Code;
use tonic::body::Body;
use uuid::Uuid;

/// The end of every wait: nothing is measured with it.
const AN_END: Duration = Duration::from_secs(60);

type Http2 = Client<HttpConnector, Full<bytes::Bytes>>;

async fn port(world: &World) -> Handle {
    port_with(world, Settings::default()).await
}

async fn port_with(world: &World, settings: Settings) -> Handle {
    let listener = bind("127.0.0.1:0", "--http-listen").await.unwrap();
    let router = Router::new().fallback_service(world.keeper.guard(world.service()));
    serve(listener, router, settings).unwrap()
}

/// A client with one connection.
fn client() -> Http2 {
    Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http()
}

async fn call(client: &Http2, port: &Handle, header: &str) -> (Code, String) {
    let address = format!("http://{}/millstream.data.v1.Data/Fetch", port.address());
    let request = http::Request::post(address)
        .header("content-type", "application/grpc")
        .header("authorization", header)
        .body(Full::from(message(3)))
        .unwrap();
    let answer = timeout(AN_END, client.request(request)).await.unwrap().unwrap();
    refused(&answer.map(Body::new))
}

#[tokio::test]
async fn the_quota_of_connections_binds_over_all_doors() {
    let world = World::new();
    world.limit(Quota {
        connections: Some(3),
        ..Quota::default()
    });
    let header = world.header();
    let port = port(&world).await;
    // One of them at another door.
    let elsewhere = world.quotas.connect(&world.who()).unwrap();
    let (one, two, third) = (client(), client(), client());
    // Many calls at once on a new connection are one connection.
    let calls = (0..10).map(|_| call(&two, &port, &header));
    for answer in futures::future::join_all(calls).await {
        assert_eq!(answer.0, Code::Ok, "{}", answer.1);
    }
    assert_eq!(call(&one, &port, &header).await.0, Code::Ok);
    let (code, text) = call(&third, &port, &header).await;
    assert_eq!(code, Code::ResourceExhausted);
    assert!(
        text.contains("the quota of connections is used up: there are 3"),
        "{text}"
    );
    assert!(world.quotas.connect(&world.who()).is_err());
    assert_eq!(call(&one, &port, &header).await.0, Code::Ok, "who is in stays in");
    drop(elsewhere);
    assert_eq!(call(&third, &port, &header).await.0, Code::Ok);
    drop(one);
    // As soon as the server has seen that it is gone.
    let free = async {
        while world.quotas.connect(&world.who()).is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(AN_END, free).await.expect("its place becomes free");
}

/// An organisation makes virtual clusters by itself: over all of them it has half of the places, and no more.
#[tokio::test]
async fn the_virtual_clusters_of_one_organisation_have_half_of_the_places_together() {
    let world = World::new();
    let organisation = world.who().organisation;
    let sibling = world.neighbour(20, organisation);
    let stranger = world.neighbour(21, OrganisationId(Uuid::from_u128(99)));
    let settings = Settings {
        connections_max: 8,
        ..Settings::default()
    };
    let port = port_with(&world, settings).await;
    let clients: Vec<Http2> = (0..6).map(|_| client()).collect();
    for (one, header) in clients
        .iter()
        .zip([world.header(), sibling.clone()].iter().cycle())
        .take(4)
    {
        assert_eq!(call(one, &port, header).await.0, Code::Ok);
    }
    for header in [&world.header(), &sibling] {
        let (code, text) = call(&clients[4], &port, header).await;
        assert_eq!(code, Code::ResourceExhausted);
        assert!(
            text.contains("there are 4 connections of this organization"),
            "{text}"
        );
    }
    assert_eq!(call(&clients[5], &port, &stranger).await.0, Code::Ok);
}
