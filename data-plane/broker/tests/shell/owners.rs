//! Partitions that one owner alone writes, through the broker's interface.

use crate::node::{World, batch, first, produce, read_all};
use millstream_broker::interface::{Acks, OffsetError, Produce, ProduceError};
use millstream_model::{Offset, OwnerEpoch};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_was_replaced_writes_nothing_more_also_after_a_restart() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let node = world.start(world.settings()).await;
    let who = world.catalog.tenant(1);
    let owned_by = |owner_epoch, value: &str| Produce {
        partition: first(topic),
        batch: batch(&[value]),
        owner_epoch,
        acks: Acks::All,
        timeout: Duration::from_secs(20),
    };
    let old = node.broker.fence(&who, first(topic)).await.unwrap();
    assert!(old.owner_epoch > OwnerEpoch(0));
    assert_eq!(old.high_watermark, Offset(0));
    node.broker
        .produce(&who, owned_by(old.owner_epoch, "a"))
        .await
        .unwrap();
    let new = node.broker.fence(&who, first(topic)).await.unwrap();
    assert!(new.owner_epoch > old.owner_epoch);
    assert_eq!(new.high_watermark, Offset(1));
    let refused = |current| Err(ProduceError::NotOwner { current });
    let late = node.broker.produce(&who, owned_by(old.owner_epoch, "late")).await;
    assert_eq!(late.map(drop), refused(new.owner_epoch));
    let stranger = produce(&node.broker, &who, first(topic), batch(&["stranger"])).await;
    assert_eq!(stranger.map(drop), refused(new.owner_epoch));
    node.broker
        .produce(&who, owned_by(new.owner_epoch, "b"))
        .await
        .unwrap();
    node.stop().await;

    let node = world.start(world.settings()).await;
    let late = node.broker.produce(&who, owned_by(old.owner_epoch, "late")).await;
    assert_eq!(late.map(drop), refused(new.owner_epoch));
    let values = read_all(&node.broker, &who, first(topic), 0).await;
    assert_eq!(values, [(0, "a".to_owned()), (1, "b".to_owned())]);
    // Above every one that the leader before could have given, whether or not the journal still says which it gave.
    let third = node.broker.fence(&who, first(topic)).await.unwrap();
    assert!(third.owner_epoch.0 >> 32 > new.owner_epoch.0 >> 32);
    let foreign = node.broker.fence(&world.catalog.tenant(2), first(topic)).await;
    assert_eq!(foreign.map(drop), Err(OffsetError::UnknownPartition));
    node.stop().await;
}
