//! Who is let in: from the headers alone, at every method of every service.

use crate::world::{World, message, refused, upload};
use futures::FutureExt;
use millstream_door::gate::{Access, Answers, Asked, rule_of};
use millstream_door::{GateSettings, RoomsSettings};
use millstream_metadata::Quota;
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::Code;

struct Method {
    path: String,
    asks_many: bool,
    answers_many: bool,
}

/// Every method of our `.proto` files.
fn methods() -> Vec<Method> {
    let descriptors = FileDescriptorSet::decode(millstream_rpc::DESCRIPTORS).unwrap();
    let mut methods = Vec::new();
    for file in &descriptors.file {
        for service in &file.service {
            methods.extend(service.method.iter().map(|method| Method {
                path: format!("/{}.{}/{}", file.package(), service.name(), method.name()),
                asks_many: method.client_streaming(),
                answers_many: method.server_streaming(),
            }));
        }
    }
    assert!(methods.len() > 30, "all services are there");
    methods
}

#[test]
fn the_rules_know_which_methods_stream() {
    for Method {
        path,
        asks_many,
        answers_many,
    } in methods()
    {
        let rule = rule_of(&path);
        assert_eq!(matches!(rule.request, Asked::Stream { .. }), asks_many, "{path}");
        assert_eq!(rule.answers == Answers::Stream, answers_many, "{path}");
        assert_ne!(rule.access, Access::Anybody, "{path} is not for strangers");
    }
}

#[test]
fn only_produce_takes_megabytes_from_clients() {
    for Method { path, .. } in methods() {
        let rule = rule_of(&path);
        let Asked::Message { bytes_max } = rule.request else {
            continue;
        };
        let large = bytes_max > 1024 * 1024;
        assert_eq!(
            large && rule.access == Access::Key,
            path.ends_with("/Produce"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn who_is_not_known_is_refused_before_anything_is_read() {
    let world = World::new();
    let mut paths: Vec<String> = methods().into_iter().map(|method| method.path).collect();
    paths.push("/millstream.data.v1.Data/Nothing".into());
    paths.push("/nothing.Nothing/Nothing".into());
    for path in paths {
        for header in [
            None,
            Some("Basic bm9ib2R5OmF0IGFsbA=="),
            Some("Bearer x"),
            Some("nonsense"),
        ] {
            let (upload, body) = upload();
            upload.send(&message(100));
            // The body never ends: to wait for it would be to wait for ever.
            let answer = world.call(&path, header, body).now_or_never().expect("at once");
            let (code, text) = refused(&answer);
            let expected = [Code::Unauthenticated, Code::PermissionDenied];
            assert!(
                expected.contains(&code) && !text.is_empty(),
                "{path} {header:?}: {code:?} {text}"
            );
            assert!(upload.is_dropped());
        }
    }
    assert!(world.came.lock().is_empty(), "no service saw any of it");
    assert!(
        world
            .metrics()
            .contains("grpc_gate_refused_total{reason=\"unauthenticated\"}")
    );
}

#[tokio::test]
async fn the_service_learns_who_calls_and_what_was_sent() {
    let world = World::new();
    let (upload, body) = upload();
    // Byte by byte, then in one piece.
    let sent = message(10_000);
    for byte in &sent[..5_000] {
        upload.send(&[*byte]);
    }
    upload.send(&sent[5_000..]);
    drop(upload);
    let answer = world
        .call("/millstream.data.v1.Data/Fetch", Some(&world.header()), body)
        .await;
    assert_eq!(refused(&answer).0, Code::Ok);
    let came = world.came.lock();
    let (_, who, body) = &came[0];
    assert_eq!(who.as_ref().unwrap().tenant, crate::world::TENANT);
    assert_eq!(*body, sent);
}

#[tokio::test]
async fn what_is_for_the_service_or_for_nodes_is_refused_to_clients() {
    let world = World::new();
    let (client, service, node) = (world.header(), world.service_header(), world.node_header());
    let rows = "/millstream.control.v1.SqlCatalog/WriteSqlRows";
    let list = "/millstream.control.v1.SqlCatalog/ListSqlRows";
    let watch = "/millstream.control.v1.Cluster/WatchCatalog";
    let cases = [
        (rows, &client, Code::PermissionDenied),
        (list, &client, Code::PermissionDenied),
        (watch, &client, Code::PermissionDenied),
        (rows, &service, Code::Ok),
        (list, &service, Code::Ok),
        (watch, &service, Code::PermissionDenied),
        (rows, &node, Code::Unauthenticated),
        (watch, &node, Code::Ok),
        ("/millstream.data.v1.Data/Fetch", &node, Code::Unauthenticated),
    ];
    for (path, header, expected) in cases {
        let (upload, body) = upload();
        upload.send(&message(3));
        drop(upload);
        let answer = world.call(path, Some(header), body).await;
        assert_eq!(refused(&answer).0, expected, "{path}");
    }
}

#[tokio::test]
async fn health_and_reflection_are_for_anybody_but_few_at_once() {
    let settings = GateSettings {
        strangers: 2,
        ..GateSettings::default()
    };
    let world = World::with(settings, RoomsSettings::default());
    let check = async |path: &str, header: Option<&str>| {
        let (upload, body) = upload();
        upload.send(&message(3));
        drop(upload);
        world.call(path, header, body).await
    };
    let watch = check("/grpc.health.v1.Health/Watch", None).await;
    assert_eq!(refused(&watch).0, Code::Ok);
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let listing = check(reflection, None).await;
    assert_eq!(refused(&listing).0, Code::Ok);
    let path = "/grpc.health.v1.Health/Watch";
    assert_eq!(refused(&check(path, None).await).0, Code::ResourceExhausted);
    let once = "/grpc.health.v1.Health/Check";
    assert_eq!(
        refused(&check(once, None).await).0,
        Code::Ok,
        "streams do not keep out who only asks"
    );
    assert_eq!(
        refused(&check(path, Some(&world.header())).await).0,
        Code::Ok,
        "not with a key"
    );
    drop(watch);
    let watch = check(path, None).await;
    assert_eq!(refused(&watch).0, Code::Ok);
    drop(watch);
    assert_eq!(
        refused(&check(path, Some("Bearer x")).await).0,
        Code::Ok,
        "health needs no key"
    );
}

#[tokio::test(start_paused = true)]
async fn who_owes_requests_waits_and_is_refused_when_it_owes_too_much() {
    let world = World::new();
    world.limit(Quota {
        requests_per_second: Some(1),
        ..Quota::default()
    });
    let header = world.header();
    let many = async |path: &str| {
        let calls = (0..30).map(|_| {
            let (upload, body) = upload();
            upload.send(&message(3));
            drop(upload);
            world.call(path, Some(&header), body)
        });
        let answers = futures::future::join_all(calls).await;
        answers.iter().map(refused).collect::<Vec<_>>()
    };
    let answers = many("/millstream.control.v1.Topics/ListTopics").await;
    let passed = answers.iter().filter(|(code, _)| *code == Code::Ok).count();
    assert!(
        (2..15).contains(&passed),
        "one a second for as long as a call may wait: {passed}"
    );
    assert_eq!(world.came.lock().len(), passed);
    for (code, text) in answers.iter().filter(|(code, _)| *code != Code::Ok) {
        assert_eq!(*code, Code::ResourceExhausted);
        assert!(text.contains("the quota of requests"), "{text}");
    }
    // Which of them may wait for what, the data service knows.
    let answers = many("/millstream.data.v1.Data/CommitOffsets").await;
    assert!(answers.iter().all(|(code, _)| *code == Code::Ok));
}
