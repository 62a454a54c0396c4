//! The times of records, whatever the header of their batch says: lookups, retention.

use crate::node::{Node, World, eventually, fetch, first, produce};
use bytes::Bytes;
use millstream_access::Principal;
use millstream_broker::interface::{Isolation, ListOffset};
use millstream_kafka_wire::batch::{BatchBuilder, BatchView, Compression, NewRecord};
use millstream_metadata::topic_defaults::TopicDefaults;
use millstream_model::{Offset, TimestampMs, TopicId};
use std::time::Duration;

/// A batch whose header says another largest timestamp than its records have, if it is told to.
fn timed(codec: Compression, times: &[i64], said: i64) -> Bytes {
    let mut builder = BatchBuilder::new().compression(codec);
    for time in times {
        let record = NewRecord {
            timestamp: TimestampMs(*time),
            value: Some(b"value"),
            ..NewRecord::default()
        };
        builder.push(record).unwrap();
    }
    let batch = BatchView::read(builder.build().unwrap()).unwrap();
    batch.with_max_timestamp(TimestampMs(said)).into_bytes()
}

async fn look(node: &Node, who: &Principal, topic: TopicId, what: ListOffset) -> (i64, i64) {
    let isolation = Isolation::ReadUncommitted;
    let found = node
        .broker
        .list_offset(who, first(topic), None, what, isolation)
        .await
        .unwrap();
    (found.timestamp.0, found.offset.0)
}

#[tokio::test(flavor = "multi_thread")]
async fn lookups_by_time_go_by_the_records() {
    let world = World::new();
    let who = world.catalog.tenant(1);
    let mut topics = Vec::new();
    for codec in [Compression::None, Compression::Gzip] {
        for said in [-1, 0, 1500, 99_999] {
            let name = format!("{codec}-{said}");
            let topic = world.catalog.create_topic(1, &name, 1, &[("retention.ms", "-1")]);
            topics.push((topic, codec, said));
        }
    }
    let mut settings = world.settings();
    let node = world.start(settings.clone()).await;
    for (topic, codec, said) in &topics {
        let sent = timed(*codec, &[1000, 2000, 3000], *said);
        produce(&node.broker, &who, first(*topic), sent).await.unwrap();
    }
    let check = async |node: &Node| {
        for (topic, codec, said) in &topics {
            for (time, found) in [
                (0, (1000, 0)),
                (1500, (2000, 1)),
                (3000, (3000, 2)),
                (3001, (-1, -1)),
            ] {
                let what = ListOffset::AtOrAfter(TimestampMs(time));
                assert_eq!(
                    look(node, &who, *topic, what).await,
                    found,
                    "{codec} {said} {time}"
                );
            }
            let last = look(node, &who, *topic, ListOffset::MaxTimestamp).await;
            assert_eq!(last, (3000, 2), "{codec} {said}");
            let fetched = fetch(&node.broker, &who, first(*topic), 0).await;
            let batch = BatchView::read(fetched.partitions[0].records[0].clone()).unwrap();
            batch.check().unwrap();
            assert_eq!(batch.header().max_timestamp, TimestampMs(3000));
        }
    };
    // From memory, from the journal, from the store.
    check(&node).await;
    node.stop().await;
    settings.tail_bytes = 0;
    let node = world.start(settings.clone()).await;
    check(&node).await;
    node.stop().await;
    settings.flush.age_ms = 0;
    let node = world.start(settings).await;
    for (topic, ..) in &topics {
        while look(&node, &who, *topic, ListOffset::LatestTiered).await.1 != 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    check(&node).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_goes_by_the_records() {
    let world = World::new();
    let who = world.catalog.tenant(1);
    let config = [("retention.ms", "60000")];
    let kept = world.catalog.create_topic(1, "kept", 1, &config);
    let gone = world.catalog.create_topic(1, "gone", 1, &config);
    let mut settings = world.settings();
    settings.retention_interval = Duration::from_millis(10);
    let node = world.start(settings).await;
    let now = TimestampMs::now().0;
    let old = now - 120_000;
    let send = async |topic, times: &[i64], said| {
        let sent = timed(Compression::None, times, said);
        produce(&node.broker, &who, first(topic), sent).await.unwrap();
    };
    // Headers that lie: the young records seem to be from 1970, the old ones to be young.
    send(kept, &[old, now], 0).await;
    for round in 1..=2 {
        send(gone, &[old, old + 1], now).await;
        let trims = f64::from(round);
        eventually("it is trimmed", || node.metric("trims_total") >= trims).await;
    }
    let start = ListOffset::Earliest;
    assert_eq!(look(&node, &who, gone, start).await.1, 4);
    assert_eq!(look(&node, &who, kept, start).await.1, 0, "it is not old yet");
    let fetched = fetch(&node.broker, &who, first(kept), 0).await;
    assert_eq!(fetched.partitions[0].log_start, Offset(0));
    assert_eq!(fetched.partitions[0].records.len(), 1);
    node.stop().await;
}

/// A topic that says nothing keeps what its virtual cluster says, else what the service says; topics that there are, too.
#[tokio::test(flavor = "multi_thread")]
async fn retention_that_a_topic_does_not_say_is_that_of_the_defaults() {
    let world = World::new();
    let retention = |ms| TopicDefaults {
        retention_ms: ms,
        ..TopicDefaults::default()
    };
    let (one, two) = (world.catalog.tenant(1), world.catalog.tenant(2));
    let own = world.catalog.create_topic(1, "own", 1, &[]);
    let other = world.catalog.create_topic(2, "other", 1, &[]);
    let said = world
        .catalog
        .create_topic(2, "said", 1, &[("retention.ms", "-1")]);
    let mut settings = world.settings();
    settings.retention_interval = Duration::from_millis(10);
    let node = world.start(settings).await;
    let old = TimestampMs::now().0 - 120_000;
    let send = async |who: &Principal, topic| {
        let sent = timed(Compression::None, &[old], old);
        produce(&node.broker, who, first(topic), sent).await.unwrap();
    };
    let start = async |who: &Principal, topic| look(&node, who, topic, ListOffset::Earliest).await.1;
    let trims = || node.metric("trims_total");

    // The seven days of who sets nothing; then a minute, which is over.
    send(&one, own).await;
    assert_eq!(start(&one, own).await, 0);
    world
        .catalog
        .set_topic_defaults(retention(Some(60_000)), 1, retention(None));
    eventually("the service's default is kept to", || trims() >= 1.0).await;
    assert_eq!(start(&one, own).await, 1);

    // The virtual cluster's own goes before it, and the topic's before both. What is trimmed in two rounds says that
    // all else was looked at in between.
    let two_rounds = async |before: u32| {
        for round in [before + 1, before + 2] {
            send(&two, other).await;
            eventually("the other's are trimmed", || trims() >= f64::from(round)).await;
        }
    };
    world
        .catalog
        .set_topic_defaults(retention(Some(60_000)), 1, retention(Some(-1)));
    two_rounds(1).await;
    send(&one, own).await;
    send(&two, said).await;
    two_rounds(3).await;
    assert_eq!((start(&one, own).await, start(&two, said).await), (1, 0));
    assert_eq!(start(&two, other).await, 4);
    node.stop().await;
}

/// What the service itself keeps in a tenant (SQL's changelog) is deleted by who wrote it, and by no default.
#[tokio::test(flavor = "multi_thread")]
async fn an_internal_topic_of_a_tenant_keeps_all_until_it_is_trimmed() {
    let world = World::new();
    let who = world.catalog.tenant(1);
    let usual = world.catalog.create_topic(1, "usual", 1, &[]);
    let internal = world.catalog.create_internal(1, "changelog");
    let defaults = |retention_ms| TopicDefaults {
        retention_ms,
        ..TopicDefaults::default()
    };
    let mut settings = world.settings();
    settings.retention_interval = Duration::from_millis(10);
    settings.flush.age_ms = 0;
    let node = world.start(settings).await;
    let old = TimestampMs::now().0 - 120_000;
    let send = async |topic| {
        let sent = timed(Compression::None, &[old], old);
        produce(&node.broker, &who, first(topic), sent).await.unwrap();
    };
    let start = async |topic| look(&node, &who, topic, ListOffset::Earliest).await.1;
    let trims = || node.metric("trims_total");
    send(internal).await;
    send(internal).await;
    // What is trimmed of its neighbour in two rounds says that all else was looked at in between.
    let mut rounds = 0;
    for (service, own) in [(Some(1), None), (None, Some(1)), (Some(1), Some(0))] {
        world
            .catalog
            .set_topic_defaults(defaults(service), 1, defaults(own));
        for _ in 0..2 {
            rounds += 1;
            send(usual).await;
            eventually("its neighbour is trimmed", || trims() >= f64::from(rounds)).await;
        }
        assert_eq!(
            (start(usual).await, start(internal).await),
            (i64::from(rounds), 0)
        );
    }
    // From the store as well.
    while look(&node, &who, internal, ListOffset::LatestTiered).await.1 != 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    send(usual).await;
    eventually("its neighbour is trimmed", || trims() >= f64::from(rounds + 1)).await;
    assert_eq!(start(internal).await, 0);
    let trimmed = node
        .broker
        .delete_records(&who, first(internal), Some(Offset(1)))
        .await;
    assert_eq!(trimmed, Ok(Offset(1)));
    assert_eq!(start(internal).await, 1);
    node.stop().await;
}

/// The record with the largest time was deleted, others that lay in one place with it were not.
#[tokio::test(flavor = "multi_thread")]
async fn the_largest_time_is_that_of_a_record_that_is_still_there() {
    let world = World::new();
    let who = world.catalog.tenant(1);
    let topic = world.catalog.create_topic(1, "t", 1, &[("retention.ms", "-1")]);
    let mut settings = world.settings();
    let node = world.start(settings.clone()).await;
    for time in [1000, 9000, 3000, 5000, 4000] {
        let sent = timed(Compression::None, &[time], time);
        produce(&node.broker, &who, first(topic), sent).await.unwrap();
    }
    let largest = ListOffset::MaxTimestamp;
    assert_eq!(look(&node, &who, topic, largest).await, (9000, 1));
    let trim = async |node: &Node, before| {
        let trimmed = node
            .broker
            .delete_records(&who, first(topic), Some(Offset(before)));
        assert_eq!(trimmed.await, Ok(Offset(before)));
    };
    trim(&node, 2).await;
    assert_eq!(look(&node, &who, topic, largest).await, (5000, 3));
    node.stop().await;
    // The same out of the store.
    settings.flush.age_ms = 0;
    settings.tail_bytes = 0;
    let node = world.start(settings).await;
    while look(&node, &who, topic, ListOffset::LatestTiered).await.1 != 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(look(&node, &who, topic, largest).await, (5000, 3));
    trim(&node, 4).await;
    assert_eq!(look(&node, &who, topic, largest).await, (4000, 4));
    // What comes behind may be larger, or not.
    for (time, found) in [(2000, (4000, 4)), (7000, (7000, 6))] {
        let sent = timed(Compression::None, &[time], time);
        produce(&node.broker, &who, first(topic), sent).await.unwrap();
        assert_eq!(look(&node, &who, topic, largest).await, found);
    }
    trim(&node, 7).await;
    assert_eq!(look(&node, &who, topic, largest).await, (-1, -1));
    node.stop().await;
}
