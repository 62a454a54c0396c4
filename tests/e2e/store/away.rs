//! A store that is a folder, and the folder goes away: its file system is not mounted, or somebody moves it.

use super::{PARTITIONS, SOON, TOPIC, bytes_of, eager, produce, tiered_to_the_end};
use crate::harness::http::get;
use crate::harness::{Server, Start, Work, until};
use millstream_rust::Compression;
use std::time::Duration;

/// The file system of a store that is a folder is not mounted when the node starts: nothing at its path, or an empty folder.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_while_the_stores_folder_is_away_serves_reads_and_makes_nothing_there() {
    let work = Work::new();
    let (folder, away) = (work.path("store"), work.path("away"));
    let url = format!("file://{}", folder.display());
    let start = || Start::service().args(&["--store", &url, "--flush-age-ms", "3600000"]);
    let server = Server::first(&work, start());
    let identity = server.identity();
    server.make_topic(TOPIC, PARTITIONS).await;
    produce(&server.client(), 100, Compression::None).await;
    let mut before = bytes_of(&server.client()).await;
    // What was just made is in the copy after a moment.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(server.stop().success());
    std::fs::rename(&folder, &away).unwrap();
    for is_mount_point in [false, true] {
        if is_mount_point {
            std::fs::create_dir(&folder).unwrap();
        }
        let server = Server::again(&work, start(), &identity);
        let ready = get(&server.doors.http, "/readyz").unwrap();
        assert!(ready.0 == 503 && ready.1.contains("reads-only"), "{ready:?}");
        let log = server.log();
        assert!(
            log.contains("is its file system mounted, and is --store right?"),
            "{log}"
        );
        assert!(bytes_of(&server.client()).await == before, "all that was there");
        let made = std::fs::read_dir(&folder).map_or(0, |made| made.count());
        assert_eq!((folder.exists(), made), (is_mount_point, 0));
        if is_mount_point {
            std::fs::remove_dir(&folder).unwrap();
        }
        std::fs::rename(&away, &folder).unwrap();
        until("it is whole by itself", SOON, async || {
            let ready = get(&server.doors.http, "/readyz").unwrap();
            (ready.0 == 200).then_some(())
        })
        .await;
        produce(&server.client(), 1, Compression::None).await;
        before = bytes_of(&server.client()).await;
        assert!(server.stop().success());
        std::fs::rename(&folder, &away).unwrap();
    }
}

/// It goes from under a running server: produces go on, and the next flush does not make a folder of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_stores_folder_that_goes_away_is_missed_and_nothing_is_made_in_its_place() {
    let work = Work::new();
    let (folder, away) = (work.path("store"), work.path("away"));
    let url = format!("file://{}", folder.display());
    let start = || eager().args(&["--store", &url]);
    let server = Server::first(&work, start());
    let identity = server.identity();
    let client = server.client();
    let ready = || get(&server.doors.http, "/readyz").unwrap();
    server.make_topic(TOPIC, PARTITIONS).await;
    produce(&client, 200, Compression::None).await;
    tiered_to_the_end(&server).await;
    assert_eq!(ready(), (200, "ready\n".to_owned()));

    std::fs::rename(&folder, &away).unwrap();
    produce(&client, 200, Compression::None).await;
    until("a flush has failed", SOON, async || {
        ready().1.contains("store-unreachable").then_some(())
    })
    .await;
    let log = server.log();
    assert!(
        log.contains("is its file system mounted, and is --store right?"),
        "{log}"
    );
    // What was under way in that moment may have made folders there (and is told that it failed). Nothing that begins
    // later does.
    let fails_again = async || {
        let told = server.log().len();
        produce(&client, 200, Compression::None).await;
        server.wait_for_log(told, "background work failed");
    };
    fails_again().await;
    let flushed = server.metric("broker_flushed_objects_total");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).unwrap();
    }
    for _ in 0..3 {
        fails_again().await;
    }
    assert!(!folder.exists(), "nothing is made at its path");
    assert_eq!(server.metric("broker_flushed_objects_total"), flushed);

    std::fs::rename(&away, &folder).unwrap();
    until("it is whole by itself", SOON, async || {
        (ready() == (200, "ready\n".to_owned())).then_some(())
    })
    .await;
    tiered_to_the_end(&server).await;
    let before = bytes_of(&client).await;
    server.kill();
    let server = Server::again(&work, start(), &identity);
    assert!(
        bytes_of(&server.client()).await == before,
        "nothing acknowledged meanwhile is lost"
    );
    assert!(server.stop().success());
}
