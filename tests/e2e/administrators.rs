//! What administrators ask for: through Kafka's own client, and the defaults that topics get.

use crate::harness::{Server, Start, Work, tools};
use crate::wire::{Outcome, Wire};
use millstream_kafka_wire::frame::{decode_response, encode_request};
use millstream_kafka_wire::messages::{
    DescribeConfigsRequest, MetadataRequest, describe_configs_request, metadata_request,
};
use std::process::Command;
use std::time::{Duration, Instant};

const UNSERVED: &str = "transactions are not served";

/// That the log says it as well, and which key asked.
fn assert_is_logged(server: &Server) {
    let log = server.log();
    let mut lines = log.lines().filter(|line| line.contains(UNSERVED));
    assert!(lines.any(|line| line.contains(&server.key.id)), "{log}");
}

#[test]
fn the_java_administrator_is_answered() {
    let (Some(javac), Some(java)) = (tools::program("javac"), tools::program("java")) else {
        return;
    };
    let Some(jars) = tools::jars() else { return };
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let classes = work.path("classes");
    let path = format!("{}/*", jars.display());
    tools::run_ok(
        Command::new(javac)
            .args(["-cp", &path, "-d"])
            .arg(&classes)
            .arg(tools::source("clients/java/Client.java"))
            .arg(tools::source("clients/java/Administrator.java")),
    );
    let told = tools::run_ok(
        Command::new(java)
            .args([
                "-Xmx256m",
                "-XX:TieredStopAtLevel=1",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=off",
                "-cp",
            ])
            .arg(format!("{}:{path}", classes.display()))
            .args([
                "Administrator",
                &server.doors.kafka,
                &server.key.id,
                &server.key.secret,
            ]),
    );
    let lines: Vec<&str> = told.lines().collect();
    let [transactional, "ok"] = lines.as_slice() else {
        panic!("{told}")
    };
    assert!(transactional.contains(UNSERVED), "{told}");
    assert_is_logged(&server);
}

/// librdkafka gives up at once on one code only; on any other it looks for a coordinator for ever.
#[test]
fn a_transactional_producer_of_librdkafka_is_told_at_once() {
    let Some(mut script) = tools::script("transactional.py") else {
        return;
    };
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    script.args([server.doors.kafka.as_str(), &server.key.id, &server.key.secret]);
    let told = tools::run_ok(&mut script);
    assert!(told.starts_with("fatal") && told.contains(UNSERVED), "{told}");
    assert_is_logged(&server);
}

/// Asks for a topic that is not there, which makes it, until it can be used; returns how many partitions it has.
fn made_by_asking(server: &Server, name: &str) -> usize {
    let mut wire = Wire::authenticated(&server.doors.kafka, &server.key);
    let request = MetadataRequest {
        topics: Some(vec![metadata_request::MetadataRequestTopic {
            name: Some(name.to_owned()),
            ..Default::default()
        }]),
        allow_auto_topic_creation: true,
        ..Default::default()
    };
    let begun = Instant::now();
    loop {
        let frame = encode_request(9, 1, Some("test"), &request).unwrap();
        wire.send(&frame.into_bytes());
        let Outcome::Answer(frame) = wire.outcome() else {
            panic!("the connection was closed: {}", server.log())
        };
        let (_, answer) = decode_response::<MetadataRequest>(frame, 9).unwrap();
        if answer.topics[0].error_code == 0 {
            return answer.topics[0].partitions.len();
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{answer:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What Kafka's tools are shown of a topic's retention, ms.
fn retention(server: &Server, name: &str) -> i64 {
    let request = DescribeConfigsRequest {
        resources: vec![describe_configs_request::DescribeConfigsResource {
            resource_type: 2,
            resource_name: name.to_owned(),
            configuration_keys: Some(vec!["retention.ms".to_owned()]),
        }],
        ..Default::default()
    };
    let answer = Wire::authenticated(&server.doors.kafka, &server.key).call(4, &request);
    let [config] = &answer.results[0].configs[..] else {
        panic!("{answer:?}")
    };
    config.value.as_ref().unwrap().parse().unwrap()
}

#[test]
fn topics_get_what_the_settings_and_the_virtual_cluster_say() {
    let work = Work::new();
    let flags = [
        "--num-partitions",
        "3",
        "--default-retention-ms",
        "3600000",
        "--default-replication-factor",
        "1",
    ];
    let server = Server::first(&work, Start::service().args(&flags));
    assert_eq!(made_by_asking(&server, "of-settings"), 3);
    server.cli().ok(&["topic", "create", "plain"], "");
    let partitions = |server: &Server, name: &str| {
        let topics = server.cli().json(&["topic", "list"]);
        let topic = topics.iter().find(|topic| topic["name"] == name).cloned();
        topic.map(|topic| topic["partitions"].as_u64().unwrap())
    };
    assert_eq!(partitions(&server, "plain"), Some(3));
    assert_eq!(retention(&server, "plain"), 3_600_000);

    let set = |words: &[&str]| {
        server
            .cli()
            .json(&[&["org", "set-topic-defaults"], words].concat())
    };
    set(&["--retention-ms", "-1"]);
    assert_eq!(retention(&server, "plain"), -1, "topics that there are, too");
    // A retention that fell back by naming the partitions would delete records.
    let told = set(&["--partitions", "5"]);
    assert_eq!(
        (&told[0]["partitions"], &told[0]["retention_ms"]),
        (&5.into(), &(-1).into())
    );
    assert_eq!(made_by_asking(&server, "of-cluster"), 5);
    let refused = server
        .cli()
        .refused(&["org", "set-topic-defaults", "--partitions", "0"]);
    assert!(refused.contains("between 1 and"), "{refused}");

    // The settings of this start hold, and the virtual cluster's own stay.
    let before = server.identity();
    assert!(server.stop().success());
    let server = Server::again(&work, Start::service().args(&["--num-partitions", "2"]), &before);
    assert_eq!(made_by_asking(&server, "of-cluster-again"), 5);
    let told = server
        .cli()
        .json(&["org", "set-topic-defaults", "--unset", "partitions,retention-ms"]);
    assert!(
        told[0]["partitions"].is_null() && told[0]["retention_ms"].is_null(),
        "{told:?}"
    );
    assert_eq!(made_by_asking(&server, "of-settings-again"), 2);
    assert_eq!(
        retention(&server, "plain"),
        604_800_000,
        "nobody says it any more"
    );

    // More replicas than there are nodes: by name, and only where the maker says nothing.
    let before = server.identity();
    assert!(server.stop().success());
    let two = Start::service().args(&["--default-replication-factor", "2"]);
    let server = Server::again(&work, two, &before);
    let refused = server.cli().refused(&["topic", "create", "doubled"]);
    assert!(
        refused.contains("replication factor 2 is larger than the 1 brokers"),
        "{refused}"
    );
    assert!(server.stop().success());
}
