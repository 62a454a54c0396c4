//! Kafka's own Java client.

use crate::harness::{Server, Start, Work, tools};
use std::process::Command;

#[test]
fn the_java_client_works() {
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
            .arg(tools::source("clients/java/Client.java")),
    );
    let told = tools::run_ok(
        Command::new(java)
            .args([
                "-Xmx256m",
                "-XX:TieredStopAtLevel=1",
                "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
                "-cp",
            ])
            .arg(format!("{}:{path}", classes.display()))
            .args(["Client", &server.doors.kafka, &server.key.id, &server.key.secret]),
    );
    assert_eq!(told.trim(), "ok");
}
