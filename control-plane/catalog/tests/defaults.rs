//! What topics get that their makers did not say: the virtual cluster's choice, then the service's, then Kafka's; and
//! configs replaced as a whole.

#![allow(clippy::unwrap_used)]

use millstream_catalog::{Batch, Seeds};
use millstream_metadata::topic_config::retention_ms;
use millstream_metadata::{
    Actor, AlterTopicConfig, Bootstrap, CreateKey, CreateTopic, Grant, Grants, HostPort, Image, KeyRow,
    Refusal, RegisterNode, ReplaceTopicConfig, Request, SetServiceTopicDefaults, SetTopicDefaults,
    TopicDefaults, TopicRow, VirtualClusterRow,
};
use millstream_model::{JournalId, TenantId, TimestampMs};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// One node, the first tenant, and keys of it.
struct World {
    image: Image,
    step: u8,
    tenant: TenantId,
    admin: Actor,
    producer: Actor,
}

impl World {
    fn new() -> World {
        let mut world = World {
            image: Image::new(),
            step: 0,
            tenant: TenantId(0),
            admin: Actor::System,
            producer: Actor::System,
        };
        let address = HostPort {
            host: "127.0.0.1".into(),
            port: 1,
        };
        let start = RegisterNode {
            journal: JournalId(Uuid::from_u128(1)),
            registration_last: None,
            kafka: address.clone(),
            http: address,
            feature_level_max: 1,
            damaged: false,
        };
        world.run(&Actor::System, start).unwrap();
        let command = Bootstrap { root_version: 1 };
        let first = world.run(&Actor::System, command).unwrap();
        let first = first.expect("the first start makes a key");
        world.tenant = first.tenant;
        world.admin = world.key([Grant::Admin]);
        world.producer = world.key([Grant::Produce]);
        world
    }

    fn run<R: Request>(&mut self, actor: &Actor, request: R) -> Result<R::Reply, Refusal> {
        self.step = self.step.wrapping_add(1);
        let mut seeds = Seeds::new(TimestampMs(i64::from(self.step)), [self.step; 32]);
        let mut batch = Batch::new(&self.image);
        let reply = batch.submit(&mut seeds, actor, request);
        if !batch.is_empty() {
            self.image = batch.finish().0;
        }
        reply
    }

    fn key(&mut self, grants: impl Into<Grants>) -> Actor {
        let command = CreateKey {
            tenant: self.tenant,
            name: "k".into(),
            grants: grants.into(),
            root_version: 1,
        };
        let key = self.run(&Actor::System, command).unwrap();
        actor(&key)
    }

    /// A topic whose maker said nothing.
    fn topic(&mut self, name: &str) -> Result<Arc<TopicRow>, Refusal> {
        let command = CreateTopic {
            tenant: self.tenant,
            name: name.into(),
            partitions: -1,
            replication: -1,
            config: BTreeMap::new(),
            validate_only: false,
        };
        self.run(&self.producer.clone(), command)
    }

    fn set(&mut self, defaults: TopicDefaults) -> Result<Arc<VirtualClusterRow>, Refusal> {
        let tenant = self.tenant;
        self.run(&self.admin.clone(), SetTopicDefaults { tenant, defaults })
    }

    fn set_service(&mut self, defaults: TopicDefaults) -> Result<(), Refusal> {
        self.run(&Actor::System, SetServiceTopicDefaults { defaults })
    }
}

fn actor(key: &KeyRow) -> Actor {
    Actor::Key {
        tenant: key.tenant,
        organisation: key.organisation,
        key: key.id,
        grants: key.grants.clone(),
    }
}

fn partitions(count: u32) -> TopicDefaults {
    TopicDefaults {
        partitions: Some(count),
        ..TopicDefaults::default()
    }
}

#[test]
fn the_virtual_cluster_says_before_the_service_and_the_service_before_kafka() {
    let mut world = World::new();
    let count = |world: &mut World, name: &str| world.topic(name).unwrap().partitions.len();
    assert_eq!(count(&mut world, "kafka"), 1);
    world.set_service(partitions(3)).unwrap();
    assert_eq!(count(&mut world, "service"), 3);
    world.set(partitions(5)).unwrap();
    assert_eq!(count(&mut world, "own"), 5);
    world.set(TopicDefaults::default()).unwrap();
    assert_eq!(count(&mut world, "service-again"), 3);
    // What the settings say now counts, not what they said once.
    world.set_service(TopicDefaults::default()).unwrap();
    assert_eq!(count(&mut world, "kafka-again"), 1);
}

#[test]
fn a_default_of_more_replicas_than_nodes_is_refused_as_by_kafka() {
    let mut world = World::new();
    let two = TopicDefaults {
        replication_factor: Some(2),
        ..TopicDefaults::default()
    };
    world.set_service(two).unwrap();
    let refused = world.topic("two");
    assert!(
        matches!(refused, Err(Refusal::InvalidReplicationFactor { .. })),
        "{refused:?}"
    );
    let one = TopicDefaults {
        replication_factor: Some(1),
        ..TopicDefaults::default()
    };
    world.set(one).unwrap();
    assert_eq!(world.topic("one").unwrap().class.replicas, 1);
}

#[test]
fn retention_is_what_was_said_last_and_nearest() {
    let mut world = World::new();
    let kept =
        |world: &World, topic: &TopicRow| retention_ms(topic, &world.image.topic_defaults(world.tenant));
    let topic = world.topic("plain").unwrap();
    let keep = |ms| TopicDefaults {
        retention_ms: Some(ms),
        ..TopicDefaults::default()
    };
    assert_eq!(kept(&world, &topic), Some(604_800_000));
    world.set_service(keep(7)).unwrap();
    assert_eq!(kept(&world, &topic), Some(7), "topics that there are follow, too");
    world.set(keep(-1)).unwrap();
    assert_eq!(kept(&world, &topic), None, "for ever");
    let command = AlterTopicConfig {
        tenant: world.tenant,
        name: "plain".into(),
        changes: BTreeMap::from([("retention.ms".to_owned(), Some("9".to_owned()))]),
        validate_only: false,
    };
    let topic = world.run(&world.admin.clone(), command).unwrap();
    assert_eq!(kept(&world, &topic), Some(9));
}

#[test]
fn defaults_are_checked_and_set_by_who_manages() {
    let mut world = World::new();
    let tenant = world.tenant;
    for defaults in [
        partitions(0),
        partitions(u32::MAX),
        TopicDefaults {
            retention_ms: Some(-2),
            ..TopicDefaults::default()
        },
        TopicDefaults {
            replication_factor: Some(4),
            ..TopicDefaults::default()
        },
    ] {
        for refused in [world.set(defaults).map(drop), world.set_service(defaults)] {
            assert!(
                matches!(refused, Err(Refusal::InvalidRequest { .. })),
                "{refused:?}"
            );
        }
    }
    let defaults = partitions(2);
    let refused = world.run(&world.producer.clone(), SetTopicDefaults { tenant, defaults });
    assert!(
        matches!(refused, Err(Refusal::PermissionDenied { .. })),
        "{refused:?}"
    );
    let refused = world.run(&world.admin.clone(), SetServiceTopicDefaults { defaults });
    assert!(
        matches!(refused, Err(Refusal::PermissionDenied { .. })),
        "{refused:?}"
    );
    let other = TenantId(tenant.0 + 1);
    let refused = world.run(
        &world.admin.clone(),
        SetTopicDefaults {
            tenant: other,
            defaults,
        },
    );
    assert!(matches!(refused, Err(Refusal::NotFound { .. })), "{refused:?}");
    assert_eq!(world.image.topic_defaults(tenant), TopicDefaults::default());
}

/// A restart with the settings of before writes nothing.
#[test]
fn what_is_said_again_changes_nothing() {
    let mut world = World::new();
    world.set_service(partitions(3)).unwrap();
    world.set(partitions(4)).unwrap();
    let version = world.image.version();
    world.set_service(partitions(3)).unwrap();
    world.set(partitions(4)).unwrap();
    assert_eq!(world.image.version(), version);
}

#[test]
fn configs_are_replaced_as_a_whole_or_not_at_all() {
    let mut world = World::new();
    world.topic("replaced").unwrap();
    let replace = |world: &mut World, actor: &Actor, config: &[(&str, &str)], validate_only| {
        let config = config.iter();
        let config = config.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let command = ReplaceTopicConfig {
            tenant: world.tenant,
            name: "replaced".into(),
            config: config.collect(),
            validate_only,
        };
        world.run(actor, command)
    };
    let found = |world: &World| {
        let row = world
            .image
            .topic(world.tenant, &"replaced".parse().unwrap())
            .unwrap();
        row.config.keys().cloned().collect::<Vec<String>>()
    };
    let (admin, producer) = (world.admin.clone(), world.producer.clone());
    replace(
        &mut world,
        &admin,
        &[("retention.ms", "1"), ("segment.ms", "2")],
        false,
    )
    .unwrap();
    assert_eq!(found(&world), ["retention.ms", "segment.ms"]);
    replace(&mut world, &admin, &[], true).unwrap();
    assert_eq!(found(&world), ["retention.ms", "segment.ms"], "only checked");
    let refused = replace(
        &mut world,
        &admin,
        &[("segment.ms", "3"), ("no.such", "1")],
        false,
    );
    assert!(
        matches!(refused, Err(Refusal::InvalidConfig { .. })),
        "{refused:?}"
    );
    let refused = replace(&mut world, &producer, &[], false);
    assert!(
        matches!(refused, Err(Refusal::PermissionDenied { .. })),
        "{refused:?}"
    );
    assert_eq!(found(&world), ["retention.ms", "segment.ms"]);
    replace(&mut world, &admin, &[("retention.bytes", "4")], false).unwrap();
    assert_eq!(found(&world), ["retention.bytes"]);
}
