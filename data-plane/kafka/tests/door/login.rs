//! Who gets in, and who is thrown out.

use crate::client::raw;
use crate::server::Server;
use bytes::Bytes;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::frame::decode_response;
use millstream_kafka_wire::messages::{
    ApiVersionsRequest, ListGroupsRequest, MetadataRequest, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use millstream_metadata::{Grant, Quota};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_wrong_secret_is_refused_in_words_and_the_connection_closed() {
    let server = Server::start().await;
    let other = server.catalog.key(2, 2, &[Grant::Admin]);
    let right = server.secret(&server.admin);
    for (user, password) in [
        (server.admin.id.as_str(), "wrong"),
        (other.id.as_str(), right.as_str()),
        ("AAAAAAAAAAAAAAAAAAA2", right.as_str()),
        ("no key", "x"),
    ] {
        let mut client = server.connect().await;
        let response = client.login(user, password).await;
        assert_eq!(response.error_code, ErrorCode::SaslAuthenticationFailed.number());
        assert!(response.error_message.unwrap().contains("authentication failed"));
        assert!(client.is_closed().await);
    }
    server.stop().await;
}

#[tokio::test]
async fn the_plain_message_is_checked() {
    let server = Server::start().await;
    let (id, secret) = (server.admin.id.as_str().to_owned(), server.secret(&server.admin));
    for (message, fits) in [
        (format!("{id}\0{id}\0{secret}"), true),
        (format!("\0{id}\0{secret}"), true),
        (format!("somebody\0{id}\0{secret}"), false),
        (format!("{id}\0{secret}"), false),
        (format!("\0{id}\0{secret}\0"), false),
        ("\0\0".to_owned(), false),
        (String::new(), false),
    ] {
        let mut client = server.connect().await;
        client
            .ask(
                1,
                &SaslHandshakeRequest {
                    mechanism: "PLAIN".to_owned(),
                },
            )
            .await;
        let response = client
            .ask(
                0,
                &SaslAuthenticateRequest {
                    auth_bytes: Bytes::from(message.clone()),
                },
            )
            .await;
        assert_eq!(response.error_code == 0, fits, "{message:?}");
        assert!(fits || client.is_closed().await);
    }
    server.stop().await;
}

#[tokio::test]
async fn an_old_handshake_is_followed_by_the_bare_message() {
    let server = Server::start().await;
    let message = format!("\0{}\0{}", server.admin.id, server.secret(&server.admin));
    let mut client = server.connect().await;
    client
        .ask(
            0,
            &SaslHandshakeRequest {
                mechanism: "PLAIN".to_owned(),
            },
        )
        .await;
    client.send_raw(&(message.len() as u32).to_be_bytes()).await;
    client.send_raw(message.as_bytes()).await;
    assert_eq!(client.frame().await.unwrap().len(), 0);
    assert_eq!(client.newest(&ListGroupsRequest::default()).await.error_code, 0);
    server.stop().await;
}

#[tokio::test]
async fn other_mechanisms_and_orders_are_refused() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let response = client
        .ask(
            1,
            &SaslHandshakeRequest {
                mechanism: "GSSAPI".to_owned(),
            },
        )
        .await;
    assert_eq!(response.error_code, ErrorCode::UnsupportedSaslMechanism.number());
    assert_eq!(response.mechanisms, ["PLAIN"]);
    assert!(client.is_closed().await);

    let mut client = server.connect().await;
    let response = client
        .ask(
            2,
            &SaslAuthenticateRequest {
                auth_bytes: Bytes::from_static(b"\0a\0b"),
            },
        )
        .await;
    assert_eq!(response.error_code, ErrorCode::IllegalSaslState.number());
    assert!(client.is_closed().await);

    let mut client = server.client().await;
    let response = client
        .ask(
            1,
            &SaslHandshakeRequest {
                mechanism: "PLAIN".to_owned(),
            },
        )
        .await;
    assert_eq!(response.error_code, ErrorCode::IllegalSaslState.number());
    assert_eq!(
        client.newest(&ListGroupsRequest::default()).await.error_code,
        0,
        "the connection goes on"
    );
    server.stop().await;
}

#[tokio::test]
async fn nothing_else_is_answered_before_the_login() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    client.send(13, &MetadataRequest::default()).await;
    assert!(client.is_closed().await);
    server.stop().await;
}

#[tokio::test]
async fn api_versions_is_answered_in_every_version() {
    let server = Server::start().await;
    let mut client = server.connect().await;
    let request = ApiVersionsRequest {
        client_software_name: "test".to_owned(),
        client_software_version: "1.0".to_owned(),
    };
    for version in 0..=4 {
        let response = client.ask(version, &request).await;
        assert_eq!(response.error_code, 0);
        let of = |key: i16| response.api_keys.iter().find(|api| api.api_key == key).unwrap();
        assert_eq!(
            (of(0).min_version, of(0).max_version),
            (0, 13),
            "librdkafka looks for Produce 0"
        );
        assert_eq!((of(1).min_version, of(1).max_version), (4, 18));
    }
    // A version of the future: version 0 says so, and the client can ask again on the same connection.
    // Its header has tags, for the API has been flexible for long.
    client.send_raw(&raw(18, 99, &[0])).await;
    let (id, response) = decode_response::<ApiVersionsRequest>(client.frame().await.unwrap(), 0).unwrap();
    assert_eq!(
        (id, response.error_code),
        (7, ErrorCode::UnsupportedVersion.number())
    );
    assert!(!response.api_keys.is_empty());
    let wrong = ApiVersionsRequest {
        client_software_name: "a b".to_owned(),
        ..request.clone()
    };
    assert_eq!(
        client.ask(3, &wrong).await.error_code,
        ErrorCode::InvalidRequest.number()
    );
    assert_eq!(client.ask(3, &request).await.error_code, 0);
    server.stop().await;
}

#[tokio::test]
async fn a_revoked_key_loses_its_open_connections_within_two_seconds() {
    let server = Server::start().await;
    let other = server.catalog.key(1, 9, &[Grant::Admin]);
    let (mut stays, mut goes) = (server.client().await, server.client_of(&other).await);
    assert_eq!(goes.newest(&ListGroupsRequest::default()).await.error_code, 0);
    server.catalog.revoke(&other);
    let revoked = Instant::now();
    assert!(goes.is_closed().await);
    assert!(revoked.elapsed() < Duration::from_secs(2));
    assert_eq!(stays.newest(&ListGroupsRequest::default()).await.error_code, 0);
    let mut again = server.connect().await;
    assert_ne!(
        again
            .login(other.id.as_str(), &server.secret(&other))
            .await
            .error_code,
        0
    );
    server.stop().await;
}

#[tokio::test]
async fn connections_are_limited_in_all_and_by_quota() {
    let server = Server::start_with(|settings| settings.connections_max = 8).await;
    server.catalog.set_quota(
        1,
        Quota {
            connections: Some(2),
            ..Quota::default()
        },
    );
    let (_one, _two) = (server.client().await, server.client().await);
    let mut third = server.connect().await;
    // Closed without an answer: clients take a refused login for a wrong secret and give up for good.
    third
        .try_login(&server.admin.id.to_string(), &server.secret(&server.admin))
        .await;
    assert!(third.is_closed().await);
    assert_eq!(
        server.metric("kafka_connections_closed_total{reason=\"connection_quota\"}"),
        1.0
    );
    assert_eq!(server.metric("kafka_logins_refused_total"), 0.0);
    let mut others = Vec::new();
    for tenant in 2..8 {
        let key = server.catalog.key(tenant, tenant as u8, &[Grant::Admin]);
        others.push(server.client_of(&key).await);
    }
    // Everybody who is in has logged in: nobody leaves for who comes.
    assert!(server.connect().await.is_closed().await);
    assert_eq!(
        server.metric("kafka_connections_closed_total{reason=\"full\"}"),
        1.0
    );
    server.stop().await;
}

/// Half of the places are one owner's at most, so that its crowd closes the door to nobody else; and who is one too many
/// is not told that its secret is wrong, for its clients would give up.
#[tokio::test]
async fn one_owner_has_half_of_the_places_and_others_log_in() {
    let server = Server::start_with(|settings| settings.connections_max = 8).await;
    let other = server.catalog.key(2, 2, &[Grant::Admin]);
    let mut crowd = Vec::new();
    for _ in 0..4 {
        crowd.push(server.client().await);
    }
    for _ in 0..3 {
        let mut fifth = server.connect().await;
        fifth
            .try_login(&server.admin.id.to_string(), &server.secret(&server.admin))
            .await;
        assert!(fifth.is_closed().await);
    }
    let closed = "kafka_connections_closed_total{reason=\"connections_of_owner\"}";
    assert_eq!(server.metric(closed), 3.0);
    assert_eq!(server.metric("kafka_logins_refused_total"), 0.0);
    let mut quiet = server.client_of(&other).await;
    assert_eq!(quiet.newest(&ListGroupsRequest::default()).await.error_code, 0);
    for client in &mut crowd {
        assert_eq!(client.newest(&ListGroupsRequest::default()).await.error_code, 0);
    }
    // One goes, and the next may come.
    crowd.pop();
    server
        .until_metric("kafka_connections ", |open| open == 4.0)
        .await;
    server.client().await;
    server.stop().await;
}

#[tokio::test]
async fn who_does_not_log_in_in_time_is_closed() {
    let server = Server::start_with(|settings| settings.login_timeout = Duration::from_millis(50)).await;
    let mut client = server.connect().await;
    assert!(client.is_closed().await);
    assert_eq!(
        server.metric("kafka_connections_closed_total{reason=\"login_timeout\"}"),
        1.0
    );
    server.stop().await;
}
