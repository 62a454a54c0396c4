//! Fetching, waiting, watching, looking offsets up, trimming.

use crate::node::{Node, World, batch, batch_at, eventually, fetch, fetch_of, first, produce, read_all};
use futures::StreamExt;
use millstream_access::Principal;
use millstream_broker::interface::{
    EpochEnd, Fetch, FetchError, Fetched, Isolation, ListOffset, OffsetError, WatchUpdate,
};
use millstream_model::{LeaderEpoch, Offset, TimestampMs};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// A fetch that waits: the only one.
async fn parked(node: &Node, who: &Principal, fetch: Fetch) -> JoinHandle<Fetched> {
    let (broker, who) = (node.broker.clone(), who.clone());
    let waiting = tokio::spawn(async move { broker.fetch(&who, fetch).await });
    eventually("the fetch is parked", || node.metric("fetches_parked") == 1.0).await;
    waiting
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_waits_for_records_and_no_longer() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let node = world.start(world.settings()).await;
    let who = world.catalog.tenant(1);
    let began = Instant::now();
    let fetched = node
        .broker
        .fetch(&who, fetch_of(first(topic), 0, Duration::from_millis(100)))
        .await;
    assert!(fetched.partitions[0].records.is_empty());
    assert!(began.elapsed() >= Duration::from_millis(100));
    let waiting = parked(&node, &who, fetch_of(first(topic), 0, Duration::from_secs(50))).await;
    produce(&node.broker, &who, first(topic), batch(&["now"]))
        .await
        .unwrap();
    let fetched = waiting.await.unwrap();
    assert_eq!(fetched.partitions[0].records.len(), 1);
    assert_eq!(fetched.partitions[0].high_watermark, Offset(1));
    // Who leaves while it waits is not counted on.
    let leaving = parked(&node, &who, fetch_of(first(topic), 1, Duration::from_secs(50))).await;
    leaving.abort();
    eventually("it is gone", || node.metric("fetches_parked") == 0.0).await;
    // A stop does not wait for those who wait.
    let waiting = parked(&node, &who, fetch_of(first(topic), 1, Duration::from_secs(50))).await;
    let began = Instant::now();
    node.stop().await;
    waiting.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(20));
}

/// As with Kafka: whoever waits for records of a topic that goes learns of it then, not when its wait is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_that_waits_on_a_topic_that_is_deleted_is_answered() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 2, &[]);
    let node = world.start(world.settings()).await;
    let who = world.catalog.tenant(1);
    // Longer than anything waits for in this test.
    let wait = Duration::from_secs(3600);
    produce(&node.broker, &who, first(topic), batch(&["old"]))
        .await
        .unwrap();
    let waiting = parked(&node, &who, fetch_of(first(topic), 1, wait)).await;
    world.catalog.delete_topic(topic);
    let fetched = waiting.await.unwrap();
    assert_eq!(fetched.partitions[0].error, Some(FetchError::UnknownPartition));
    assert_eq!(node.metric("fetches_parked"), 0.0);
    // The topic made anew is another one: it begins at 0, and who waits on it gets its records.
    let anew = world.catalog.create_topic(1, "t", 2, &[]);
    let waiting = parked(&node, &who, fetch_of(first(anew), 0, wait)).await;
    produce(&node.broker, &who, first(anew), batch(&["new"]))
        .await
        .unwrap();
    let fetched = waiting.await.unwrap();
    assert_eq!(fetched.partitions[0].error, None);
    assert_eq!(fetched.partitions[0].records.len(), 1);
    assert_eq!(
        read_all(&node.broker, &who, first(anew), 0).await,
        vec![(0, "new".to_owned())]
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_the_latest_bounds() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let node = world.start(world.settings()).await;
    let who = world.catalog.tenant(1);
    let mut watch = node.broker.watch(&who, vec![first(topic)]).unwrap();
    let at = |high_watermark, log_start| WatchUpdate {
        partition: first(topic),
        high_watermark: Offset(high_watermark),
        log_start: Offset(log_start),
    };
    assert_eq!(watch.next().await, Some(at(0, 0)));
    produce(&node.broker, &who, first(topic), batch(&["a", "b"]))
        .await
        .unwrap();
    assert_eq!(watch.next().await, Some(at(2, 0)));
    assert_eq!(
        node.broker
            .delete_records(&who, first(topic), Some(Offset(1)))
            .await,
        Ok(Offset(1))
    );
    assert_eq!(watch.next().await, Some(at(2, 1)));
    let fetched = fetch(&node.broker, &who, first(topic), 0).await;
    let out_of_range = FetchError::OffsetOutOfRange {
        offset: Offset(0),
        log_start: Offset(1),
        log_end: Offset(2),
    };
    assert_eq!(fetched.partitions[0].error, Some(out_of_range));
    assert_eq!(
        read_all(&node.broker, &who, first(topic), 1).await,
        vec![(1, "b".to_owned())]
    );
    let beyond = node
        .broker
        .delete_records(&who, first(topic), Some(Offset(3)))
        .await;
    assert_eq!(
        beyond,
        Err(OffsetError::OutOfRange {
            offset: Offset(3),
            high_watermark: Offset(2)
        })
    );
    world.catalog.delete_topic(topic);
    assert_eq!(watch.next().await, None, "a topic that is gone ends it");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_found_by_time_wherever_they_lie() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 1, &[("retention.ms", "-1")]);
    let mut settings = world.settings();
    settings.tail_bytes = 0;
    let node = world.start(settings.clone()).await;
    let who = world.catalog.tenant(1);
    for number in 0..20 {
        let time = TimestampMs(1_000 + 100 * number);
        produce(&node.broker, &who, first(topic), batch_at(time, &["a", "b", "c"]))
            .await
            .unwrap();
    }
    let look = async |node: &crate::node::Node, what| {
        let isolation = Isolation::ReadUncommitted;
        node.broker
            .list_offset(&who, first(topic), None, what, isolation)
            .await
            .unwrap()
    };
    let check = async |node: &crate::node::Node| {
        for (time, offset) in [(0, 0), (1_000, 0), (1_001, 3), (2_900, 57)] {
            let found = look(node, ListOffset::AtOrAfter(TimestampMs(time))).await;
            assert_eq!(found.offset, Offset(offset), "at {time}");
            assert!(found.timestamp.0 >= time);
        }
        assert_eq!(
            look(node, ListOffset::AtOrAfter(TimestampMs(2_901))).await.offset,
            Offset(-1)
        );
        let last = look(node, ListOffset::MaxTimestamp).await;
        assert_eq!((last.offset, last.timestamp), (Offset(57), TimestampMs(2_900)));
        assert_eq!(look(node, ListOffset::Earliest).await.offset, Offset(0));
        assert_eq!(look(node, ListOffset::Latest).await.offset, Offset(60));
    };
    check(&node).await;
    assert_eq!(look(&node, ListOffset::LatestTiered).await.offset, Offset(-1));
    node.stop().await;
    settings.flush.age_ms = 0;
    let node = world.start(settings).await;
    eventually("everything is flushed", || {
        node.metric("flushed_objects_total") >= 1.0
    })
    .await;
    let mut tiered = Offset(-1);
    while tiered != Offset(59) {
        tiered = look(&node, ListOffset::LatestTiered).await.offset;
    }
    check(&node).await;
    assert_eq!(look(&node, ListOffset::EarliestLocal).await.offset, Offset(60));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leader_epochs_rise_with_every_start() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let who = world.catalog.tenant(1);
    for start in 1..=3 {
        let node = world.start(world.settings()).await;
        produce(&node.broker, &who, first(topic), batch(&["a", "b"]))
            .await
            .unwrap();
        let fetched = fetch(&node.broker, &who, first(topic), 0).await;
        assert_eq!(fetched.partitions[0].leader_epoch, LeaderEpoch(start));
        node.stop().await;
    }
    let node = world.start(world.settings()).await;
    let end_of = |epoch| {
        node.broker
            .offset_for_leader_epoch(&who, first(topic), Some(LeaderEpoch(4)), LeaderEpoch(epoch))
    };
    let end = |epoch, offset| {
        Ok(EpochEnd {
            leader_epoch: LeaderEpoch(epoch),
            end_offset: Offset(offset),
        })
    };
    assert_eq!(
        (end_of(1), end_of(2), end_of(3), end_of(4)),
        (end(1, 2), end(2, 4), end(3, 6), end(4, 6))
    );
    let mut request = fetch_of(first(topic), 0, Duration::ZERO);
    request.partitions[0].leader_epoch = Some(LeaderEpoch(3));
    let fetched = node.broker.fetch(&who, request.clone()).await;
    assert_eq!(
        fetched.partitions[0].error,
        Some(FetchError::FencedEpoch {
            current: LeaderEpoch(4)
        })
    );
    request.partitions[0].leader_epoch = Some(LeaderEpoch(5));
    let fetched = node.broker.fetch(&who, request).await;
    assert_eq!(
        fetched.partitions[0].error,
        Some(FetchError::UnknownEpoch {
            current: LeaderEpoch(4)
        })
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_trims_by_time_and_by_size() {
    let world = World::new();
    let by_time = world
        .catalog
        .create_topic(1, "time", 1, &[("retention.ms", "60000")]);
    let by_size = world
        .catalog
        .create_topic(1, "size", 1, &[("retention.bytes", "250000")]);
    let kept = world
        .catalog
        .create_topic(1, "kept", 1, &[("retention.ms", "-1")]);
    let mut settings = world.settings();
    settings.retention_interval = Duration::from_millis(20);
    let node = world.start(settings).await;
    let who = world.catalog.tenant(1);
    let old = TimestampMs(TimestampMs::now().0 - 120_000);
    // Neighbouring small batches would go together: a run is the unit.
    for batch in [batch_at(old, &["old"]), batch(&["new"])] {
        for topic in [by_time, kept] {
            produce(&node.broker, &who, first(topic), batch.clone())
                .await
                .unwrap();
        }
    }
    for _ in 0..10 {
        produce(&node.broker, &who, first(by_size), batch(&[&"x".repeat(100_000)]))
            .await
            .unwrap();
    }
    let start_of = async |topic| {
        let what = ListOffset::Earliest;
        let found = node
            .broker
            .list_offset(&who, first(topic), None, what, Isolation::ReadUncommitted)
            .await;
        found.unwrap().offset
    };
    eventually("two are trimmed", || node.metric("trims_total") >= 2.0).await;
    let mut starts = Vec::new();
    for _ in 0..500 {
        starts = vec![start_of(by_size).await, start_of(by_time).await];
        if starts == [Offset(7), Offset(1)] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(starts, [Offset(7), Offset(1)]);
    assert_eq!(start_of(kept).await, Offset(0));
    node.stop().await;
}
