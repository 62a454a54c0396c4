//! confluent-kafka-python with a broker that is killed meanwhile, and a Python gRPC client.

use crate::harness::tools::{self, Running};
use crate::harness::{Server, Start, Work};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};

const RECORDS: usize = 50_000;
const PARTITIONS: usize = 6;

#[test]
fn confluent_kafka_loses_and_doubles_nothing() {
    let Some(mut producer) = tools::script("idempotent.py") else {
        return;
    };
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    server.cli().ok(
        &[
            "topic",
            "create",
            "records",
            "--partitions",
            &PARTITIONS.to_string(),
        ],
        "",
    );
    let (doors, key) = server.identity();
    let records = RECORDS.to_string();
    let connection = [doors.kafka.as_str(), &key.id, &key.secret, "records"];
    let mut producer = Running::start(
        producer
            .args(connection)
            .args([&PARTITIONS.to_string(), &records]),
    );
    let mut lines = BufReader::new(producer.child.stdout.take().unwrap()).lines();
    assert_eq!(
        lines.next().and_then(Result::ok).as_deref(),
        Some("half"),
        "{}",
        server.log()
    );
    server.kill();
    let server = Server::again(&work, Start::service(), &(doors.clone(), key.clone()));
    assert_eq!(
        lines.next().and_then(Result::ok).as_deref(),
        Some("done"),
        "{}",
        server.log()
    );
    assert!(producer.wait().success());

    let group = |last: &str| {
        let mut script = tools::script("group.py").unwrap();
        let told = tools::run_ok(script.args(connection).args(["readers", last]));
        serde_json::from_str::<Value>(&told).unwrap()
    };
    let told = group(&records);
    assert_eq!(told["read"], RECORDS, "{told}");
    assert_eq!(told["doubled"], 0, "{told}");
    assert_eq!(told["ordered"], true, "{told}");
    assert_eq!(told["shared"].as_array().unwrap().len(), PARTITIONS, "{told}");
    assert!(
        told["assignments"].as_i64().unwrap() >= 3,
        "the group was rebalanced twice: {told}"
    );
    let ends: BTreeMap<String, i64> = serde_json::from_value(told["ends"].clone()).unwrap();
    assert_eq!(
        ends.values().sum::<i64>(),
        50_000,
        "no offset is left out: {told}"
    );

    server.kill();
    let _server = Server::again(&work, Start::service(), &(doors.clone(), key.clone()));
    let committed: BTreeMap<String, i64> = serde_json::from_value(group("committed")).unwrap();
    assert_eq!(committed, ends, "committed offsets outlive a kill");
}

/// KIP-848's groups are not served. librdkafka looks for another coordinator for ever where the API is not advertised.
#[test]
fn a_consumer_with_the_new_group_protocol_is_told_that_it_is_not_served() {
    let Some(mut script) = tools::script("new_protocol.py") else {
        return;
    };
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    server.cli().ok(&["topic", "create", "t"], "");
    script.args([
        server.doors.kafka.as_str(),
        &server.key.id,
        &server.key.secret,
        "t",
    ]);
    assert_eq!(tools::run_ok(&mut script).trim(), "_FATAL");
}

#[test]
fn a_python_grpc_client_works() {
    let Some(mut script) = tools::script("grpc_client.py") else {
        return;
    };
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let stubs = work.path("stubs");
    std::fs::create_dir(&stubs).unwrap();
    let protos = tools::source("../../proto/rpc/proto");
    script
        .args([server.doors.http.as_str(), &server.key.id, &server.key.secret])
        .arg(protos)
        .arg(stubs);
    assert_eq!(tools::run_ok(&mut script).trim(), "ok");
}
