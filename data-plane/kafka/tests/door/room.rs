//! The memory for requests: who fills it, or only says so, does not stop anybody else.

use crate::client::{Client, batch};
use crate::records::{fetch_request, produce_request};
use crate::server::Server;
use millstream_door::RoomsSettings;
use millstream_kafka_wire::ApiKey;
use millstream_kafka_wire::messages::fetch_request::FetchPartition;
use millstream_kafka_wire::messages::metadata_request::MetadataRequestTopic;
use millstream_kafka_wire::messages::{ListGroupsRequest, MetadataRequest};
use millstream_metadata::{Grant, KeyRow};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

const MIB: usize = 1024 * 1024;

/// A frame of this length of which only so much comes, and then nothing: the connection is kept open.
async fn half_a_frame(mut client: Client, length: usize, comes: usize) {
    let length = i32::try_from(length).unwrap().to_be_bytes();
    let _ = client.stream.write_all(&length).await;
    let piece = vec![0; 64 * 1024];
    for _ in 0..comes / piece.len() {
        if client.stream.write_all(&piece).await.is_err() {
            return;
        }
    }
    std::future::pending::<()>().await;
}

/// What a quiet tenant does all day.
async fn a_quiet_tenant_goes_on(server: &Server, key: &KeyRow, name: &str) {
    let mut client = server.client_of(key).await;
    let topic = client.create_topic(name, 1).await;
    let value = "x".repeat(200_000);
    for offset in 0..3 {
        let request = produce_request(name, topic, 0, -1, batch(&[&value]));
        let response = client.ask(13, &request).await;
        let produced = &response.responses[0].partition_responses[0];
        assert_eq!((produced.error_code, produced.base_offset), (0, offset));
    }
    let fetched = client.ask(13, &fetch_request(name, topic, 0, 0, 0)).await;
    assert!(
        fetched.responses[0].partitions[0]
            .records
            .as_ref()
            .is_some_and(|it| it.len() > 500_000)
    );
}

#[tokio::test]
async fn frames_that_are_only_announced_take_nothing() {
    let server = Server::start().await;
    let quiet = server.catalog.key(2, 2, &[Grant::Admin]);
    let mut silent = Vec::new();
    for _ in 0..6 {
        let mut client = server.client().await;
        client.send_raw(&(100 * MIB as i32).to_be_bytes()).await;
        silent.push(client);
    }
    a_quiet_tenant_goes_on(&server, &quiet, "beside").await;
    server
        .until_metric("requests_room_used_bytes{class=\"tenants\"}", |used| used == 0.0)
        .await;
    // And the hostile tenant's own other connections.
    a_quiet_tenant_goes_on(&server, &server.admin, "same").await;
    server.stop().await;
}

#[tokio::test]
async fn a_tenant_that_fills_the_room_leaves_a_share_to_others() {
    let rooms = RoomsSettings {
        tenants_bytes_max: 16 * MIB,
        ..RoomsSettings::default()
    };
    let server = Server::start_with_rooms(rooms).await;
    let quiet = server.catalog.key(2, 2, &[Grant::Admin]);
    let mut attack = tokio::task::JoinSet::new();
    for _ in 0..12 {
        attack.spawn(half_a_frame(server.client().await, 8 * MIB, 2 * MIB));
    }
    server
        .until_metric("requests_room_waiting{class=\"tenants\"}", |waiting| {
            waiting > 0.0
        })
        .await;
    a_quiet_tenant_goes_on(&server, &quiet, "beside").await;
    attack.shutdown().await;
    server
        .until_metric("requests_room_used_bytes{class=\"tenants\"}", |used| used == 0.0)
        .await;
    server.stop().await;
}

/// Frames of many tenants that have half arrived fill the room together. They do not wait for one another, nor does
/// anybody else for them, for ever: some are ended, with a reason in log and metrics.
#[tokio::test]
async fn half_arrived_frames_are_ended_while_others_wait() {
    let rooms = RoomsSettings {
        tenants_bytes_max: 8 * MIB,
        patience: Duration::from_millis(300),
        ..RoomsSettings::default()
    };
    let server = Server::start_with_rooms(rooms).await;
    let quiet = server.catalog.key(9, 9, &[Grant::Admin]);
    let mut attack = tokio::task::JoinSet::new();
    for tenant in 2..8 {
        let key = server
            .catalog
            .key(tenant, u8::try_from(tenant).unwrap(), &[Grant::Admin]);
        for _ in 0..4 {
            attack.spawn(half_a_frame(server.client_of(&key).await, 6 * MIB, 2 * MIB));
        }
    }
    server
        .until_metric("requests_room_waiting{class=\"tenants\"}", |waiting| {
            waiting >= 4.0
        })
        .await;
    a_quiet_tenant_goes_on(&server, &quiet, "beside").await;
    assert!(server.metric("kafka_connections_closed_total{reason=\"overstayed\"}") > 0.0);
    let ended = |reason| {
        server.metric(&format!(
            "requests_room_ended_total{{class=\"tenants\",reason=\"{reason}\"}}"
        ))
    };
    assert!(ended("silent") + ended("blocking") > 0.0);
    attack.shutdown().await;
    server.stop().await;
}

/// One tenant's frames fill the room, and nobody is ended in it: who logs in does not wait for any of that.
#[tokio::test]
async fn a_login_passes_while_the_room_for_requests_is_full_and_stuck() {
    let rooms = RoomsSettings {
        tenants_bytes_max: 8 * MIB,
        // Nobody is ended before the test is over.
        patience: Duration::from_secs(3600),
        ..RoomsSettings::default()
    };
    let server = Server::start_with_rooms(rooms).await;
    let quiet = server.catalog.key(2, 2, &[Grant::Admin]);
    let mut waiting = server.client_of(&quiet).await;
    let topic = waiting.create_topic("beside", 1).await;
    let mut attack = tokio::task::JoinSet::new();
    for _ in 0..4 {
        // All of it comes but for the last bytes.
        attack.spawn(half_a_frame(server.client().await, 8 * MIB, 8 * MIB - 64 * 1024));
    }
    // The frame that has the turn takes the share of others, too.
    let used = "requests_room_used_bytes{class=\"tenants\"}";
    let is_full = |used| used > 7.5 * MIB as f64;
    server.until_metric(used, is_full).await;
    // For this one there is no room.
    let request = produce_request("beside", topic, 0, -1, batch(&[&"x".repeat(900_000)]));
    let answer = tokio::spawn(async move { waiting.ask(13, &request).await });
    server
        .until_metric("requests_room_waiting{class=\"tenants\"}", |waiting| {
            waiting >= 4.0
        })
        .await;
    for key in [&quiet, &server.admin] {
        let mut client = server.connect().await;
        let response = client.login(key.id.as_str(), &server.secret(key)).await;
        assert_eq!(response.error_code, 0, "{:?}", response.error_message);
    }
    assert!(is_full(server.metric(used)), "all along");
    assert!(!answer.is_finished(), "who has logged in waits");
    answer.abort();
    attack.shutdown().await;
    server.stop().await;
}

/// A slow sender that is alone may take its time.
#[tokio::test]
async fn a_slow_frame_alone_is_waited_for() {
    let rooms = RoomsSettings {
        patience: Duration::from_millis(20),
        ..RoomsSettings::default()
    };
    let server = Server::start_with_rooms(rooms).await;
    let mut client = server.client().await;
    let topic = client.create_topic("slow", 1).await;
    let request = produce_request("slow", topic, 0, -1, batch(&["x"]));
    let frame = millstream_kafka_wire::frame::encode_request(13, 7, Some("slow"), &request).unwrap();
    for byte in frame.into_bytes() {
        client.stream.write_all(&[byte]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(client.frame().await.is_some());
    server.stop().await;
}

/// Lists unfold to many times their frame: that takes room, too, while the request is under way.
#[tokio::test]
async fn what_a_request_unfolds_to_takes_room() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let topic = client.create_topic("wide", 1).await;
    let mut request = fetch_request("wide", topic, 0, 0, 20_000);
    let one = request.topics[0].partitions[0].clone();
    request.topics[0].partitions = vec![FetchPartition::clone(&one); 20_000];
    let newest = *ApiKey::Fetch.versions().end();
    let length = millstream_kafka_wire::frame::encode_request(newest, 1, None, &request)
        .unwrap()
        .into_bytes()
        .len();
    client.send(newest, &request).await;
    server
        .until_metric("requests_room_used_bytes{class=\"tenants\"}", |used| {
            used > 2.0 * length as f64
        })
        .await;
    drop(client);
    server.stop().await;
}

/// Answers that a client asks for and does not take are counted until they are sent.
#[tokio::test]
async fn answers_that_nobody_takes_take_room() {
    let server = Server::start().await;
    let quiet = server.catalog.key(2, 2, &[Grant::Admin]);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(server.address).await.unwrap();
    let mut idle = server.client_on(stream).await;
    let topic = |index: usize| MetadataRequestTopic {
        name: Some(format!("a-topic-that-is-not-there-{index}")),
        ..MetadataRequestTopic::default()
    };
    let request = MetadataRequest {
        topics: Some((0..4000).map(topic).collect()),
        ..MetadataRequest::default()
    };
    for _ in 0..60 {
        idle.send(12, &request).await;
    }
    server
        .until_metric("kafka_received_bytes_total", |bytes| bytes > 60.0 * 100_000.0)
        .await;
    // What the system's buffers do not take.
    server
        .until_metric("requests_room_used_bytes{class=\"tenants\"}", |used| {
            used > (2 * MIB) as f64
        })
        .await;
    a_quiet_tenant_goes_on(&server, &quiet, "beside").await;
    assert!(server.metric("requests_room_used_bytes{class=\"tenants\"}") > (2 * MIB) as f64);
    drop(idle);
    server
        .until_metric("requests_room_used_bytes{class=\"tenants\"}", |used| used == 0.0)
        .await;
    server.stop().await;
}

/// A crowd from as many addresses as have shares takes every place of strangers, and none of them is kept from who comes:
/// the oldest that has not logged in leaves.
#[tokio::test]
async fn strangers_from_many_addresses_leave_for_who_comes() {
    let server = Server::start_with(|settings| settings.strangers_max = 40).await;
    let mut known = server.client().await;
    let mut strangers = Vec::new();
    for address in 2..6 {
        for _ in 0..10 {
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind(([127, 0, 0, address], 0).into()).unwrap();
            strangers.push(socket.connect(server.address).await.unwrap());
        }
    }
    server
        .until_metric("kafka_connections ", |open| open == 41.0)
        .await;
    let mut many = Vec::new();
    for _ in 0..60 {
        let mut client = server.client().await;
        assert_eq!(client.newest(&ListGroupsRequest::default()).await.error_code, 0);
        many.push(client);
    }
    assert_eq!(known.newest(&ListGroupsRequest::default()).await.error_code, 0);
    let left = server.metric("kafka_connections_closed_total{reason=\"strangers\"}");
    assert_eq!(left, 1.0, "whoever has logged in gives the place back");
    // And it is the oldest who has left.
    let mut oldest = Client::on(strangers.remove(0));
    assert!(oldest.is_closed().await);
    server.stop().await;
}

/// Strangers have a room and places of their own, and an address a quarter of these.
#[tokio::test]
async fn strangers_stop_neither_logins_nor_tenants() {
    let server = Server::start_with(|settings| settings.strangers_max = 40).await;
    let mut known = server.client().await;
    let mut strangers = Vec::new();
    for _ in 0..30 {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let Ok(mut stranger) = socket.connect(server.address).await else {
            continue;
        };
        let _ = stranger.write_all(&(64 * 1024i32).to_be_bytes()).await;
        strangers.push(stranger);
    }
    server
        .until_metric(
            "kafka_connections_closed_total{reason=\"strangers_of_address\"}",
            |closed| closed == 20.0,
        )
        .await;
    assert_eq!(server.metric("requests_room_used_bytes{class=\"logins\"}"), 0.0);
    let mut other = server.client().await;
    assert_eq!(other.newest(&ListGroupsRequest::default()).await.error_code, 0);
    assert_eq!(known.newest(&ListGroupsRequest::default()).await.error_code, 0);
    // Who has logged in gives the place back: far more than an address's places.
    let mut many = Vec::new();
    for _ in 0..30 {
        many.push(server.client().await);
    }
    server.stop().await;
}
