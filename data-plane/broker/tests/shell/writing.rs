//! Appending: offsets, refusals, idempotent producers.

use crate::catalog::partition;
use crate::node::{World, batch, batch_at, fetch, first, idempotent, produce, read_all, refused as counted};
use bytes::{Bytes, BytesMut};
use millstream_broker::interface::{Acks, FetchError, InitProducer, Produce, ProduceError};
use millstream_kafka_wire::batch::{BatchView, Producer};
use millstream_model::{Offset, OwnerEpoch, ProducerEpoch, TimestampMs};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_produced_is_fetched() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 2, &[]);
    let node = world.start(world.settings()).await;
    let who = world.catalog.tenant(1);
    let at = produce(&node.broker, &who, first(topic), batch(&["a", "b"]))
        .await
        .unwrap();
    assert_eq!(at.base_offset, Offset(0));
    let at = produce(&node.broker, &who, first(topic), batch(&["c"]))
        .await
        .unwrap();
    assert_eq!((at.base_offset, at.log_append_time), (Offset(2), None));
    let expected: Vec<_> = [(0, "a"), (1, "b"), (2, "c")]
        .map(|(at, value)| (at, value.to_owned()))
        .into();
    assert_eq!(read_all(&node.broker, &who, first(topic), 0).await, expected);
    assert_eq!(
        read_all(&node.broker, &who, first(topic), 1).await,
        expected[1..],
        "an offset inside a batch"
    );
    assert_eq!(read_all(&node.broker, &who, partition(topic, 1), 0).await, vec![]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_batches_keep_their_order() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let node = world.start(world.settings()).await;
    let who = world.catalog.tenant(1);
    let mut pending = Vec::new();
    for number in 0..200 {
        let acks = if number % 2 == 0 { Acks::All } else { Acks::Leader };
        let batch = batch(&[&number.to_string()]);
        let request = Produce {
            partition: first(topic),
            batch,
            owner_epoch: OwnerEpoch(0),
            acks,
            timeout: Duration::from_secs(20),
        };
        pending.push(node.broker.begin_produce(&who, request).unwrap());
    }
    for (number, pending) in pending.into_iter().enumerate() {
        assert_eq!(pending.await.unwrap().base_offset, Offset(number as i64));
    }
    let values = read_all(&node.broker, &who, first(topic), 0).await;
    assert!(values.iter().all(|(offset, value)| offset.to_string() == *value));
    assert_eq!(values.len(), 200);
    node.stop().await;
}

/// More than the journal is handed at once, over several partitions and groups, with some that are refused among them.
#[tokio::test(flavor = "multi_thread")]
async fn batches_asked_for_together_are_each_answered_and_keep_their_order() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 3, &[]);
    let mut settings = world.settings();
    settings.journal.commit_bytes_max = 64 * 1024;
    let node = world.start(settings).await;
    let who = world.catalog.tenant(1);
    let padding = "x".repeat(1_000);
    let asked = |number: u32| Produce {
        partition: partition(topic, number % 4),
        batch: batch(&[&format!("{number} {padding}")]),
        owner_epoch: OwnerEpoch(0),
        acks: Acks::All,
        timeout: Duration::from_secs(20),
    };
    for round in 0..2 {
        let begun = node.broker.begin_produces(&who, (0..80).map(asked).collect());
        assert_eq!(begun.len(), 80);
        for (number, begun) in (0..80).zip(begun) {
            if number % 4 == 3 {
                assert_eq!(begun.unwrap_err(), ProduceError::UnknownPartition);
                continue;
            }
            let offset = Offset(round * 20 + i64::from(number / 4));
            assert_eq!(begun.unwrap().await.unwrap().base_offset, offset);
        }
    }
    for index in 0..3 {
        let values = read_all(&node.broker, &who, partition(topic, index), 0).await;
        let numbers = values
            .iter()
            .map(|(_, value)| value.split(' ').next().unwrap().parse::<u32>().unwrap());
        let once = (0..20).map(|at| at * 4 + index);
        assert!(numbers.eq(once.clone().chain(once)), "{index}");
    }
    assert!(node.broker.begin_produces(&who, Vec::new()).is_empty());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_batches_are_refused_and_harm_nobody() {
    let world = World::new();
    let topic = world
        .catalog
        .create_topic(1, "t", 1, &[("max.message.bytes", "200")]);
    let node = world.start(world.settings()).await;
    let who = world.catalog.tenant(1);
    let good = batch(&["good"]);
    let with = |at: usize, value: u8| {
        let mut bytes = BytesMut::from(&good[..]);
        bytes[at] ^= value;
        bytes.freeze()
    };
    let twice = [&good[..], &good[..]].concat();
    let long = batch(&[&"x".repeat(300)]);
    let future = batch_at(TimestampMs(TimestampMs::now().0 + 7_200_000), &["x"]);
    let to = first(topic);
    let refused = |bytes: Bytes| produce(&node.broker, &who, to, bytes);
    assert!(matches!(
        refused(Bytes::new()).await,
        Err(ProduceError::Invalid { .. })
    ));
    assert!(matches!(
        refused(good.slice(..50)).await,
        Err(ProduceError::Invalid { .. })
    ));
    assert!(matches!(
        refused(good.slice(..good.len() - 1)).await,
        Err(ProduceError::Invalid { .. })
    ));
    assert!(matches!(
        refused(with(good.len() - 1, 1)).await,
        Err(ProduceError::Corrupt { .. })
    ));
    assert!(matches!(
        refused(with(16, 3)).await,
        Err(ProduceError::OldFormat { magic: 1 })
    ));
    assert!(matches!(
        refused(twice.into()).await,
        Err(ProduceError::Invalid { .. })
    ));
    assert!(matches!(
        refused(long).await,
        Err(ProduceError::TooLarge { max: 200, .. })
    ));
    assert!(matches!(
        refused(future).await,
        Err(ProduceError::InvalidTimestamp { count: 1, .. })
    ));
    assert_eq!(refused(good.clone()).await.unwrap().base_offset, Offset(0));
    assert_eq!(node.metric("produce_refused_total"), 8.0);
    let reasons = [
        "invalid",
        "corrupt",
        "old_format",
        "too_large",
        "invalid_timestamp",
    ];
    assert_eq!(counted(&node, reasons), [4.0, 1.0, 1.0, 1.0, 1.0]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_partition_is_like_none() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let node = world.start(world.settings()).await;
    let (who, other) = (world.catalog.tenant(1), world.catalog.tenant(2));
    produce(&node.broker, &who, first(topic), batch(&["mine"]))
        .await
        .unwrap();
    for to in [
        first(topic),
        partition(topic, 1),
        first(millstream_model::TopicId::random()),
    ] {
        let refused = produce(&node.broker, &other, to, batch(&["x"])).await;
        assert_eq!(refused, Err(ProduceError::UnknownPartition));
        let fetched = fetch(&node.broker, &other, to, 0).await;
        assert_eq!(fetched.partitions[0].error, Some(FetchError::UnknownPartition));
        assert!(node.broker.watch(&other, vec![to]).is_err());
    }
    assert_eq!(counted(&node, ["unknown_partition", "denied"]), [3.0, 0.0]);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotent_producer_repeats_without_harm() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let node = world.start(world.settings()).await;
    let who = world.catalog.tenant(1);
    let (id, epoch) = node
        .broker
        .init_producer_id(&who, InitProducer::default())
        .await
        .unwrap();
    let (other, _) = node
        .broker
        .init_producer_id(&who, InitProducer::default())
        .await
        .unwrap();
    assert_ne!(id, other);
    let of = |base_sequence| Producer {
        id,
        epoch,
        base_sequence,
    };
    let to = first(topic);
    // Both are under way before either is durable.
    let timeout = Duration::from_secs(20);
    let request = |batch| Produce {
        partition: to,
        batch,
        owner_epoch: OwnerEpoch(0),
        acks: Acks::All,
        timeout,
    };
    let one = node
        .broker
        .begin_produce(&who, request(idempotent(of(0), &["a", "b"])))
        .unwrap();
    let again = node
        .broker
        .begin_produce(&who, request(idempotent(of(0), &["a", "b"])))
        .unwrap();
    let two = node
        .broker
        .begin_produce(&who, request(idempotent(of(2), &["c"])))
        .unwrap();
    let offsets = [one.await, again.await, two.await].map(|produced| produced.unwrap().base_offset);
    assert_eq!(offsets, [Offset(0), Offset(0), Offset(2)]);
    let gap = produce(&node.broker, &who, to, idempotent(of(5), &["x"])).await;
    assert_eq!(
        gap,
        Err(ProduceError::OutOfOrderSequence {
            producer: id,
            expected: 3,
            found: 5
        })
    );
    let next = Producer {
        epoch: ProducerEpoch(1),
        ..of(0)
    };
    produce(&node.broker, &who, to, idempotent(next, &["d"]))
        .await
        .unwrap();
    let fenced = produce(&node.broker, &who, to, idempotent(of(3), &["x"])).await;
    assert!(matches!(fenced, Err(ProduceError::FencedProducer { .. })));
    assert_eq!(
        counted(&node, ["out_of_order_sequence", "fenced_producer"]),
        [1.0, 1.0]
    );
    // It is remembered across a restart.
    node.stop().await;
    let node = world.start(world.settings()).await;
    let again = produce(&node.broker, &who, to, idempotent(next, &["d"]))
        .await
        .unwrap();
    assert_eq!(again.base_offset, Offset(3));
    assert_eq!(read_all(&node.broker, &who, to, 0).await.len(), 4);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn log_append_time_is_stamped_at_the_door() {
    let world = World::new();
    let topic = world
        .catalog
        .create_topic(1, "t", 1, &[("message.timestamp.type", "LogAppendTime")]);
    let node = world.start(world.settings()).await;
    let who = world.catalog.tenant(1);
    let produced = produce(&node.broker, &who, first(topic), batch_at(TimestampMs(5), &["a"]))
        .await
        .unwrap();
    let stamped = produced.log_append_time.unwrap();
    assert!(stamped.0 > 5);
    let fetched = fetch(&node.broker, &who, first(topic), 0).await;
    let batch = BatchView::read(fetched.partitions[0].records[0].clone()).unwrap();
    batch.check().unwrap();
    assert_eq!(batch.header().max_timestamp, stamped);
    assert_eq!(
        batch.records().unwrap().iter().next().unwrap().unwrap().timestamp,
        stamped
    );
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_as_large_as_kafkas_default_unless_the_topic_says_otherwise() {
    let world = World::new();
    let usual = world.catalog.create_topic(1, "usual", 1, &[]);
    let large = world
        .catalog
        .create_topic(1, "large", 1, &[("max.message.bytes", "1900000")]);
    let mut settings = world.settings();
    settings.journal.file_bytes = 4 * 1024 * 1024;
    settings.journal.commit_bytes_max = 3 * 512 * 1024;
    let node = world.start(settings).await;
    let who = world.catalog.tenant(1);
    let just = batch(&[&"x".repeat(1_048_588 - 200)]);
    assert!(just.len() > 1_048_400);
    let above = batch(&[&"x".repeat(1_048_588)]);
    produce(&node.broker, &who, first(usual), just).await.unwrap();
    let refused = produce(&node.broker, &who, first(usual), above.clone()).await;
    assert!(
        matches!(refused, Err(ProduceError::TooLarge { max: 1_048_588, .. })),
        "{refused:?}"
    );
    let journal_takes = produce(&node.broker, &who, first(large), above).await;
    assert!(journal_takes.is_ok(), "{journal_takes:?}");
    // More than a commit takes is refused before it is in the log, where nothing could follow it.
    let most = batch(&[&"x".repeat(3 * 512 * 1024)]);
    let refused = produce(&node.broker, &who, first(large), most).await;
    assert!(
        matches!(refused, Err(ProduceError::TooLarge { .. })),
        "{refused:?}"
    );
    let commits = node.metric("journal_commits_total");
    assert!((1.0..100.0).contains(&commits), "{commits}");
    for number in 0..10 {
        produce(&node.broker, &who, first(usual), batch(&[&number.to_string()]))
            .await
            .unwrap();
    }
    let waited = node.metric("journal_commits_total") - commits;
    assert!(
        (10.0..30.0).contains(&waited),
        "each waited for its own: {waited}"
    );
    node.stop().await;
}
