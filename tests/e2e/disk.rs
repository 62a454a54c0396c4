//! A full disk: who asks gets a clear error, what was acknowledged stays, and room makes it go on.

use crate::harness::tools::{leave_out, run};
use crate::harness::{Server, Start, Work, http, until};
use millstream_rust::{ConsumerSettings, Error, ProducerSettings, Record, Start as From};
use std::process::Command;
use std::time::Duration;

const TOPIC: &str = "t";
const SOON: Duration = Duration::from_secs(60);

/// A program that mounts a small file system of memory on the data folder, for the server and nobody else.
fn small_disk(work: &Work) -> Option<Vec<String>> {
    let data = work.data();
    std::fs::create_dir(&data).unwrap();
    let (data, pid) = (data.display(), work.path("pid").display().to_string());
    let script = format!("mount -t tmpfs -o size=120m none '{data}' && echo $$ >'{pid}' && exec \"$@\"");
    let words = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        &script,
        "sh",
    ];
    let words: Vec<String> = words.iter().map(|it| (*it).to_owned()).collect();
    let probe = Command::new(&words[0]).args(&words[1..]).arg("true").output();
    if probe.is_ok_and(|it| it.status.success()) {
        return Some(words);
    }
    leave_out("left out: a full disk, for this machine lets nobody mount one");
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_and_room_makes_it_go_on() {
    let work = Work::new();
    let Some(under) = small_disk(&work) else { return };
    let settings = [
        "--journal-size",
        "64MiB",
        "--flush-bytes",
        "4MiB",
        "--flush-age-ms",
        "500",
        "--log",
        "warn",
    ];
    let server = Server::first(&work, Start::service().args(&settings).under(&under));
    let client = server.client();
    server.make_topic(TOPIC, 1).await;
    let producer = client.producer(ProducerSettings {
        delivery_timeout: Duration::from_secs(5),
        ..ProducerSettings::default()
    });
    let padding = "x".repeat(100_000);
    let mut acknowledged = 0usize;
    let refused = loop {
        assert!(acknowledged < 3000, "300 MB went into a disk of 120");
        match producer
            .send(TOPIC, Record::new().value(format!("{acknowledged} {padding}")))
            .await
        {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(acknowledged > 100, "only {acknowledged} went in before {refused}");
    assert!(
        refused.is_retriable() || matches!(refused, Error::Exhausted(_)),
        "{refused:?}"
    );
    assert_eq!(http::get(&server.doors.http, "/livez").unwrap().0, 200);
    until("readiness tells that writes are refused", SOON, async || {
        let (status, text) = http::get(&server.doors.http, "/readyz").ok()?;
        (status == 503 && text.starts_with("unready journal-full")).then_some(())
    })
    .await;
    let (_, text) = http::get(&server.doors.admin, "/readyz").unwrap();
    assert!(text.contains("every produce is refused"), "{text}");
    let full = server.metric("broker_produce_refused_total{reason=\"journal_full\"}");
    assert!(full > 0.0);
    assert_eq!(
        full,
        server.metric("broker_produce_refused_total"),
        "for no other reason"
    );

    // Everything acknowledged is read while the disk is full.
    let mut consumer = client.consumer(ConsumerSettings::new(TOPIC, From::Earliest));
    for number in 0..acknowledged {
        let record = tokio::time::timeout(Duration::from_secs(30), consumer.next())
            .await
            .unwrap()
            .unwrap();
        let value = record.value.unwrap();
        assert!(
            value.starts_with(format!("{number} ").as_bytes()),
            "record {number} of {acknowledged}"
        );
    }

    let id = server.process().to_string();
    let data = work.data();
    let mut more = Command::new("nsenter");
    more.args([
        "--target",
        &id,
        "--user",
        "--mount",
        "--preserve-credentials",
        "mount",
        "-o",
        "remount,size=400m",
    ]);
    let output = run(more.arg(&data));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // A new producer: the old one gave up its record, and with it its order.
    until("room makes it go on", SOON, async || {
        let producer = client.producer(ProducerSettings {
            delivery_timeout: Duration::from_secs(5),
            ..ProducerSettings::default()
        });
        producer.send(TOPIC, Record::new().value("after")).await.ok()
    })
    .await;
    until("it is ready again", SOON, async || {
        (http::get(&server.doors.http, "/readyz").ok()?.0 == 200).then_some(())
    })
    .await;
}
