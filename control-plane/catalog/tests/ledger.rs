//! The ledger: tables of (state, command) → outcome, and properties over random commands.

#![allow(clippy::unwrap_used)]

use millstream_catalog::{Batch, Seeds, decide};
use millstream_metadata::{
    Actor, AllocateProducerIds, Bootstrap, Change, Command, ConfirmRegistration, CreateEnvironment,
    CreateKey, CreateOrganisation, CreatePartitions, CreateTopic, CreateVirtualCluster, DeleteTopic,
    EndSession, EnsureSqlChangelog, Grant, Grants, GroupRow, Heartbeat, HostPort, Image, KeyRow, ProducerIds,
    ProposeIsr, PutSql, Quota, QuotaScope, RaiseFeatureLevel, RecoverGroups, Refusal, RegisterNode,
    ReplaceBootstrapKey, Replica, ReportDeleted, ReportSnapshot, Request, RevokeKey, Row, SetQuota,
    SnapshotRef, TopicRow, TopicState, VirtualClusterRow, WriteSql,
};
use millstream_model::limits::{SQL_BODY_BYTES_MAX, TENANT_SQL_BYTES_MAX};
use millstream_model::segment::{ObjectOwner, ObjectRef};
use millstream_model::{
    Epoch, GroupId, JournalId, KeyId, Lsn, NodeId, Registration, SlotKind, TenantId, TimestampMs,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

/// A catalog in memory, with numbered seeds.
struct World {
    image: Image,
    step: u8,
}

impl World {
    fn empty() -> World {
        World {
            image: Image::new(),
            step: 0,
        }
    }

    /// One node, the first tenant, and its operator key.
    fn started() -> (World, Arc<KeyRow>) {
        let mut world = World::empty();
        world.run(&Actor::System, register(1, None)).unwrap();
        let key = world
            .run(&Actor::System, Bootstrap { root_version: 1 })
            .unwrap()
            .expect("the first start makes a key");
        (world, key)
    }

    fn seeds(&mut self) -> Seeds {
        self.step = self.step.wrapping_add(1);
        Seeds::new(TimestampMs(i64::from(self.step)), [self.step; 32])
    }

    fn run<R: Request>(&mut self, actor: &Actor, request: R) -> Result<R::Reply, Refusal> {
        let mut seeds = self.seeds();
        let mut batch = Batch::new(&self.image);
        let reply = batch.submit(&mut seeds, actor, request);
        // What is refused changes no row but the cluster's version.
        if !batch.is_empty() && reply.is_ok() {
            self.image = batch.finish().0;
        }
        reply
    }

    fn topic(&mut self, actor: &Actor, tenant: TenantId, name: &str) -> Result<Arc<TopicRow>, Refusal> {
        self.run(actor, create(tenant, name))
    }

    fn tenant(&mut self, name: &str) -> (Arc<VirtualClusterRow>, Actor) {
        let org = self
            .run(&Actor::System, CreateOrganisation { name: name.into() })
            .unwrap();
        let command = CreateEnvironment {
            organisation: org.id,
            name: "e".into(),
        };
        let env = self.run(&Actor::System, command).unwrap();
        let command = CreateVirtualCluster {
            environment: env.id,
            name: "v".into(),
            auto_create_topics: false,
        };
        let cluster = self.run(&Actor::System, command).unwrap();
        let actor = self.key(cluster.id, [Grant::Organisation]);
        (cluster, actor)
    }

    fn key(&mut self, tenant: TenantId, grants: impl Into<Grants>) -> Actor {
        let command = CreateKey {
            tenant,
            name: "k".into(),
            grants: grants.into(),
            root_version: 1,
        };
        let key = self.run(&Actor::System, command).unwrap();
        actor(&key)
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

fn key_of(actor: &Actor) -> KeyId {
    match actor {
        Actor::Key { key, .. } => *key,
        other => panic!("{other:?}"),
    }
}

fn journal(number: u128) -> JournalId {
    JournalId(Uuid::from_u128(number))
}

fn register(number: u128, last: Option<u64>) -> RegisterNode {
    let address = |port| HostPort {
        host: "127.0.0.1".into(),
        port,
    };
    RegisterNode {
        journal: journal(number),
        registration_last: last.map(Registration),
        kafka: address(9092),
        http: address(8080),
        feature_level_max: 1,
        damaged: false,
    }
}

fn create(tenant: TenantId, name: &str) -> CreateTopic {
    CreateTopic {
        tenant,
        name: name.into(),
        partitions: 4,
        replication: -1,
        config: BTreeMap::new(),
        validate_only: false,
    }
}

fn delete(tenant: TenantId, name: &str) -> DeleteTopic {
    DeleteTopic {
        tenant,
        name: name.into(),
    }
}

#[test]
fn the_first_start_makes_a_tenant_groups_and_internal_topics_once() {
    let (mut world, key) = World::started();
    assert_eq!(
        world.image.groups().count(),
        9,
        "eight for tenants, one for internal topics"
    );
    let name = "__groups".parse().unwrap();
    let internal = world.image.topic(TenantId::SYSTEM, &name).unwrap();
    assert_eq!(internal.partitions.len(), 64);
    assert_eq!(internal.id, SlotKind::Groups.topic());
    let tenants: BTreeSet<GroupId> = internal
        .partitions
        .iter()
        .map(|partition| partition.group)
        .collect();
    assert_eq!(tenants.len(), 1, "internal topics have a group of their own");
    assert!(
        world
            .image
            .virtual_cluster(key.tenant)
            .unwrap()
            .auto_create_topics
    );
    assert!((100_000_000_000..1_000_000_000_000).contains(&key.tenant.0));
    let again = world.run(&Actor::System, Bootstrap { root_version: 1 });
    assert_eq!(again, Ok(None), "a second start makes nothing");
    let replaced = world
        .run(&Actor::System, ReplaceBootstrapKey { root_version: 1 })
        .unwrap();
    assert!(replaced.tenant == key.tenant && replaced.id != key.id);
}

#[test]
fn two_tenants_with_the_same_names_do_not_meet() {
    let (mut world, _) = World::started();
    let (a, a_key) = world.tenant("a");
    let (b, b_key) = world.tenant("b");
    let of_a = world.topic(&a_key, a.id, "orders").unwrap();
    let of_b = world.topic(&b_key, b.id, "orders").unwrap();
    assert_ne!(of_a.id, of_b.id);
    assert_eq!(world.image.topic_of(a.id, of_b.id), None);
    let hidden = Refusal::NotFound {
        kind: "virtual cluster",
        name: b.id.account(),
    };
    assert_eq!(world.run(&a_key, delete(b.id, "orders")), Err(hidden.clone()));
    assert_eq!(world.run(&a_key, create(b.id, "more")), Err(hidden.clone()));
    let revoke = RevokeKey {
        tenant: b.id,
        key: key_of(&b_key),
    };
    assert_eq!(world.run(&a_key, revoke), Err(hidden));
    let foreign = RevokeKey {
        tenant: a.id,
        key: key_of(&b_key),
    };
    assert!(matches!(
        world.run(&a_key, foreign),
        Err(Refusal::NotFound { kind: "key", .. })
    ));
}

#[test]
fn nobody_gives_more_than_they_have_and_a_revoked_key_does_nothing() {
    let (mut world, _) = World::started();
    let (a, owner) = world.tenant("a");
    let admin = world.key(a.id, [Grant::Admin]);
    let producer = world.key(a.id, [Grant::Produce]);
    let key = |grant| CreateKey {
        tenant: a.id,
        name: "k".into(),
        grants: Grants::from([grant]),
        root_version: 1,
    };
    assert!(matches!(
        world.run(&admin, key(Grant::Organisation)),
        Err(Refusal::PermissionDenied { .. })
    ));
    assert!(matches!(
        world.run(&owner, key(Grant::Operator)),
        Err(Refusal::PermissionDenied { .. })
    ));
    assert!(world.run(&admin, key(Grant::Consume)).is_ok());
    assert!(matches!(
        world.run(&producer, create(a.id, "t")),
        Err(Refusal::PermissionDenied { .. })
    ));
    let revoke = RevokeKey {
        tenant: a.id,
        key: key_of(&admin),
    };
    world.run(&owner, revoke.clone()).unwrap();
    let version = world.image.version();
    world.run(&owner, revoke).unwrap();
    assert_eq!(world.image.version(), version, "revoking twice changes nothing");
    assert!(matches!(
        world.run(&admin, create(a.id, "t")),
        Err(Refusal::PermissionDenied { .. })
    ));
}

#[test]
fn a_topic_is_checked_before_it_is_made() {
    let (mut world, key) = World::started();
    let who = actor(&key);
    let with = |change: fn(&mut CreateTopic)| {
        let mut topic = create(key.tenant, "t");
        change(&mut topic);
        topic
    };
    type Spoil = fn(&mut CreateTopic);
    let cases: &[(Spoil, &str)] = &[
        (|t| t.name = "a/b".into(), "InvalidName"),
        (|t| t.name = String::new(), "InvalidName"),
        (|t| t.partitions = 0, "InvalidPartitions"),
        (|t| t.partitions = -2, "InvalidPartitions"),
        (|t| t.partitions = i32::MAX, "InvalidPartitions"),
        (|t| t.replication = 0, "InvalidReplicationFactor"),
        (|t| t.replication = 3, "InvalidReplicationFactor"),
        (|t| t.replication = 4, "InvalidReplicationFactor"),
        (
            |t| drop(t.config.insert("nonsense".into(), "1".into())),
            "InvalidConfig",
        ),
        (
            |t| drop(t.config.insert("retention.ms".into(), "soon".into())),
            "InvalidConfig",
        ),
        (
            |t| drop(t.config.insert("retention.ms".into(), "-2".into())),
            "InvalidConfig",
        ),
        (
            |t| drop(t.config.insert("cleanup.policy".into(), "compact".into())),
            "InvalidConfig",
        ),
        (
            |t| drop(t.config.insert("compression.type".into(), "zstd".into())),
            "InvalidConfig",
        ),
    ];
    for (change, reason) in cases {
        let refused = world.run(&who, with(*change)).unwrap_err();
        assert!(
            format!("{refused:?}").starts_with(reason),
            "{reason}: {refused:?}"
        );
    }
    let version = world.image.version();
    assert!(world.run(&who, with(|t| t.validate_only = true)).is_ok());
    assert_eq!(world.image.version(), version);
    world
        .run(
            &who,
            with(|t| drop(t.config.insert("retention.ms".into(), "-1".into()))),
        )
        .unwrap();
    assert_eq!(
        world.run(&who, with(|_| {})),
        Err(Refusal::TopicExists { name: "t".into() })
    );
    let quota = Quota {
        partitions: Some(5),
        ..Quota::default()
    };
    world
        .run(
            &who,
            SetQuota {
                scope: QuotaScope::Tenant(key.tenant),
                quota,
            },
        )
        .unwrap();
    let refused = world.run(&who, create(key.tenant, "u"));
    assert!(
        matches!(refused, Err(Refusal::QuotaExceeded { .. })),
        "{refused:?}"
    );
}

#[test]
fn a_deleted_topic_stays_as_a_tombstone_and_its_name_comes_back_with_higher_epochs() {
    let (mut world, key) = World::started();
    let who = actor(&key);
    let old = world.topic(&who, key.tenant, "t").unwrap();
    // The journal starts again twice: epochs rise.
    for last in [None, None] {
        world.run(&Actor::System, register(1, last)).unwrap();
    }
    let shown = |world: &World, topic: &TopicRow| {
        let epoch = |group| world.image.group(group).unwrap().epoch;
        topic
            .partitions
            .iter()
            .map(|p| p.leader_epoch(epoch(p.group)))
            .max()
            .unwrap()
    };
    let before = shown(&world, &old);
    world.run(&who, delete(key.tenant, "t")).unwrap();
    assert_eq!(
        world.run(&who, delete(key.tenant, "t")),
        Err(Refusal::UnknownTopic { name: "t".into() })
    );
    assert_eq!(
        world.image.topic_by_id(old.id).unwrap().state,
        TopicState::Deleting
    );
    let new = world.topic(&who, key.tenant, "t").unwrap();
    assert_ne!(new.id, old.id);
    let lowest = new
        .partitions
        .iter()
        .map(|p| p.leader_epoch(world.image.group(p.group).unwrap().epoch))
        .min();
    assert!(lowest.unwrap() > before);
    let groups: BTreeSet<GroupId> = old.partitions.iter().map(|partition| partition.group).collect();
    for group in groups {
        assert!(
            world.image.topic_by_id(old.id).is_some(),
            "kept until every group has committed the deletion"
        );
        let partitions = (0..4).map(millstream_model::PartitionIndex).collect();
        let report = ReportDeleted {
            group,
            topic: old.id,
            partitions,
        };
        world.run(&Actor::Node(NodeId(1)), report).unwrap();
    }
    assert_eq!(world.image.topic_by_id(old.id), None);
}

#[test]
fn a_process_start_ends_leaderships_and_a_rolled_back_journal_is_refused() {
    let (mut world, _) = World::started();
    let epochs = |world: &World| -> Vec<Epoch> { world.image.groups().map(|group| group.epoch).collect() };
    let first = world.image.nodes().next().unwrap().registration;
    assert_eq!(epochs(&world), vec![Epoch(1); 9]);
    let confirm = |registration| ConfirmRegistration {
        journal: journal(1),
        registration,
    };
    world.run(&Actor::Node(NodeId(1)), confirm(first)).unwrap();
    // The number was not fsynced before a crash: the journal comes back with the one before, which is no rollback.
    let second = world.run(&Actor::System, register(1, Some(first.0))).unwrap();
    assert_eq!(
        (second.id, second.registration),
        (NodeId(1), Registration(first.0 + 1))
    );
    assert_eq!(epochs(&world), vec![Epoch(2); 9]);
    let third = world.run(&Actor::System, register(1, Some(first.0))).unwrap();
    world
        .run(&Actor::Node(NodeId(1)), confirm(third.registration))
        .unwrap();
    for last in [
        None,
        Some(first.0),
        Some(second.registration.0),
        Some(third.registration.0 + 1),
    ] {
        let refused = world.run(&Actor::System, register(1, last));
        assert!(
            matches!(refused, Err(Refusal::Fenced { .. })),
            "{last:?}: {refused:?}"
        );
    }
    // Damage may take the number along; such a journal takes nothing, and serves what precedes the damage.
    let mut damaged = register(1, None);
    damaged.damaged = true;
    let mut other = World {
        image: world.image.clone(),
        step: world.step,
    };
    other.run(&Actor::System, damaged).unwrap();
    let elsewhere = world.run(&Actor::System, register(2, Some(7)));
    assert!(matches!(elsewhere, Err(Refusal::Fenced { .. })), "{elsewhere:?}");
    for group in world.image.groups() {
        assert_eq!(
            group.isr,
            [Replica {
                journal: journal(1),
                registration: third.registration
            }]
        );
        assert_eq!(group.leader, Some(journal(1)));
    }
}

#[test]
fn only_the_leader_of_the_epoch_reports() {
    let (mut world, _) = World::started();
    let group = world.image.groups().next().unwrap().clone();
    let object = ObjectRef {
        owner: ObjectOwner::Shared(group.id),
        group: group.id,
        epoch: Epoch(1),
        number: 1,
    };
    let snapshot = |lsn| SnapshotRef {
        lsn: Lsn(lsn),
        epoch: Epoch(1),
        object,
        length: 1,
        checksum: 2,
    };
    let report = |epoch, lsn| ReportSnapshot {
        group: group.id,
        epoch: Epoch(epoch),
        snapshot: snapshot(lsn),
    };
    let node = Actor::Node(NodeId(1));
    world.run(&node, report(1, 5)).unwrap();
    world.run(&node, report(1, 5)).unwrap();
    world.run(&node, report(1, 9)).unwrap();
    let row = world.image.group(group.id).unwrap();
    assert_eq!(
        (row.snapshot, row.snapshot_previous),
        (Some(snapshot(9)), Some(snapshot(5)))
    );
    let mut again = report(1, 9);
    again.snapshot.object.number = 2;
    world.run(&node, again).unwrap();
    let row = world.image.group(group.id).unwrap();
    assert_eq!(row.snapshot, Some(snapshot(9)), "the same state is there already");
    for (actor, command) in [
        (node.clone(), report(2, 10).into_command()),
        (node.clone(), report(1, 7).into_command()),
        (Actor::Node(NodeId(2)), report(1, 10).into_command()),
        (
            node.clone(),
            Command::ProposeIsr(ProposeIsr {
                group: group.id,
                epoch: Epoch(1),
                base_version: group.version,
                isr: vec![Replica {
                    journal: journal(1),
                    registration: Registration(99),
                }],
            }),
        ),
    ] {
        let refused = world.run(&actor, command.clone());
        assert!(
            matches!(refused, Err(Refusal::Fenced { .. })),
            "{command:?}: {refused:?}"
        );
    }
    let empty = ProposeIsr {
        group: group.id,
        epoch: Epoch(1),
        base_version: group.version,
        isr: Vec::new(),
    };
    assert!(matches!(
        world.run(&node, empty),
        Err(Refusal::InvalidRequest { .. })
    ));
}

/// A copy of a proposal that comes late does not undo what came after it, and neither does one that was made before the
/// last change of the row.
#[test]
fn a_stale_proposal_of_in_sync_replicas_is_refused() {
    let (mut world, _) = World::started();
    let group = world.image.groups().next().unwrap().clone();
    let node = Actor::Node(NodeId(1));
    let propose = |base_version| ProposeIsr {
        group: group.id,
        epoch: group.epoch,
        base_version,
        isr: group.isr.clone(),
    };
    // Reports change the row, and nothing that a proposal is based on.
    let report = ReportSnapshot {
        group: group.id,
        epoch: group.epoch,
        snapshot: SnapshotRef {
            lsn: Lsn(5),
            epoch: group.epoch,
            object: ObjectRef {
                owner: ObjectOwner::Shared(group.id),
                group: group.id,
                epoch: group.epoch,
                number: 1,
            },
            length: 1,
            checksum: 2,
        },
    };
    world.run(&node, report).unwrap();
    assert_eq!(world.image.group(group.id).unwrap().version, group.version);
    world.run(&node, propose(group.version)).unwrap();
    let taken = world.image.group(group.id).unwrap().clone();
    assert_eq!(taken.version, group.version + 1);
    for stale in [group.version, taken.version + 1] {
        let refused = world.run(&node, propose(stale));
        assert!(
            matches!(refused, Err(Refusal::VersionConflict { found, .. }) if found == taken.version),
            "{refused:?}"
        );
        assert_eq!(**world.image.group(group.id).unwrap(), *taken);
    }
    world.run(&node, propose(taken.version)).unwrap();
}

#[test]
fn sql_rows_are_compared_and_set() {
    let (mut world, key) = World::started();
    let who = actor(&key);
    let write = |put: &[&str], delete: &[&str], expected| WriteSql {
        tenant: key.tenant,
        put: put
            .iter()
            .map(|name| PutSql {
                kind: "query".into(),
                name: (*name).into(),
                text: "t".into(),
                body: "{}".into(),
                pinned_topics: Vec::new(),
            })
            .collect(),
        delete: delete
            .iter()
            .map(|name| ("query".to_owned(), (*name).to_owned()))
            .collect(),
        expected,
    };
    world.run(&who, write(&["a", "b"], &[], Some(0))).unwrap();
    let seen = world.image.version();
    assert_eq!(world.image.sql(key.tenant, "query", "a").unwrap().version, seen);
    assert_eq!(world.image.sql(key.tenant, "query", "a").unwrap().owner, key.id);
    world.run(&who, write(&[], &["a"], Some(seen))).unwrap();
    assert_eq!(world.image.sql(key.tenant, "query", "a"), None);
    let refused = world.run(&who, write(&["a"], &[], Some(seen)));
    assert!(
        matches!(refused, Err(Refusal::VersionConflict { .. })),
        "a deletion counts: {refused:?}"
    );
    let refused = world.run(&who, write(&[""], &["b"], None));
    assert!(matches!(refused, Err(Refusal::InvalidRequest { .. })));
    assert!(world.image.sql(key.tenant, "query", "b").is_some(), "all or none");
}

#[test]
fn producer_id_blocks_do_not_overlap() {
    let (mut world, key) = World::started();
    let node = Actor::Node(NodeId(1));
    let mut end = 0;
    for _ in 0..3 {
        let ProducerIds { first, count } = world.run(&node, AllocateProducerIds).unwrap();
        assert!(first.0 >= end);
        end = first.0 + i64::from(count);
    }
    let refused = world.run(&actor(&key), AllocateProducerIds);
    assert!(matches!(refused, Err(Refusal::PermissionDenied { .. })));
}

/// Commands that tenants and nodes may send, sensible and not.
fn any_command(tenant: TenantId) -> impl Strategy<Value = Command> {
    let name = prop::sample::select(vec!["a", "b", "c", "", "x/y"]);
    prop_oneof![
        (name.clone(), -2..9i32, -2..5i16, any::<bool>()).prop_map(
            move |(name, partitions, replication, only)| {
                Command::CreateTopic(CreateTopic {
                    tenant,
                    name: name.into(),
                    partitions,
                    replication,
                    config: BTreeMap::new(),
                    validate_only: only,
                })
            }
        ),
        name.clone()
            .prop_map(move |name| Command::DeleteTopic(delete(tenant, name))),
        (name.clone(), -1..12i32).prop_map(move |(name, total)| Command::CreatePartitions(
            CreatePartitions {
                tenant,
                name: name.into(),
                total,
                validate_only: false
            }
        )),
        (1..4u128, prop::option::of(0..9u64))
            .prop_map(|(number, last)| Command::RegisterNode(register(number, last))),
        name.prop_map(move |name| Command::WriteSql(WriteSql {
            tenant,
            put: vec![PutSql {
                kind: "k".into(),
                name: name.into(),
                text: "".into(),
                body: "".into(),
                pinned_topics: Vec::new(),
            }],
            delete: vec![("k".into(), "a".into())],
            expected: None,
        })),
        Just(Command::AllocateProducerIds(AllocateProducerIds)),
        (1..4u128, 1..9u64).prop_map(|(number, registration)| Command::EndSession(EndSession {
            journal: journal(number),
            registration: Registration(registration)
        })),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Decisions are deterministic; a replay of the changes, through their stored form, gives the same image; epochs
    /// and registrations only rise; no partition lies in a group that is not there or of another purpose.
    #[test]
    fn random_commands_keep_the_rules(commands in prop::collection::vec(any_command(TenantId(0)), 1..40)) {
        let (mut world, key) = World::started();
        let mut replayed = Image::new();
        for row in world.image.rows() {
            replayed.apply(&Change::Put(row));
        }
        for (index, command) in commands.into_iter().enumerate() {
            let command = for_tenant(command, key.tenant);
            let entropy = [index as u8; 32];
            let once = decide(&world.image, &mut Seeds::new(TimestampMs(7), entropy), &Actor::System, &command);
            let twice = decide(&world.image, &mut Seeds::new(TimestampMs(7), entropy), &Actor::System, &command);
            prop_assert_eq!(&once, &twice);
            let before = world.image.clone();
            let mut batch = Batch::new(&world.image);
            let reply = batch.add(&mut Seeds::new(TimestampMs(7), entropy), &Actor::System, &command);
            prop_assert_eq!(reply.is_err(), once.is_err());
            if batch.is_empty() {
                continue;
            }
            let (image, changes) = batch.finish();
            for change in &changes {
                replayed.apply(&Change::from_bytes(&change.to_bytes()).unwrap());
            }
            world.image = image;
            prop_assert_eq!(&world.image, &replayed);
            prop_assert_eq!(world.image.version(), before.version() + 1);
            check_rules(&before, &world.image);
        }
    }
}

fn for_tenant(command: Command, tenant: TenantId) -> Command {
    match command {
        Command::CreateTopic(topic) => Command::CreateTopic(CreateTopic { tenant, ..topic }),
        Command::DeleteTopic(DeleteTopic { name, .. }) => Command::DeleteTopic(DeleteTopic { tenant, name }),
        Command::CreatePartitions(CreatePartitions {
            name,
            total,
            validate_only,
            ..
        }) => Command::CreatePartitions(CreatePartitions {
            tenant,
            name,
            total,
            validate_only,
        }),
        Command::WriteSql(WriteSql {
            put,
            delete,
            expected,
            ..
        }) => Command::WriteSql(WriteSql {
            tenant,
            put,
            delete,
            expected,
        }),
        other => other,
    }
}

fn check_rules(before: &Image, after: &Image) {
    for group in before.groups() {
        let now = after.group(group.id).expect("groups stay");
        assert!(now.epoch >= group.epoch);
        let settled = |row: &GroupRow| {
            (
                row.epoch,
                row.leader,
                row.isr.clone(),
                row.members.clone(),
                row.class,
            )
        };
        assert!(
            now.version > group.version || now.version == group.version && settled(now) == settled(group),
            "a proposal based on {group:?} would be taken for one based on {now:?}"
        );
        if now.leader != group.leader {
            assert!(now.epoch > group.epoch, "a leader changes with the epoch only");
        }
        if let Some(leader) = now.leader {
            assert!(
                now.isr.iter().any(|replica| replica.journal == leader),
                "led from the ISR"
            );
        }
    }
    for node in before.nodes() {
        assert!(after.node(node.id).expect("nodes stay").registration >= node.registration);
    }
    for topic in after.topics() {
        assert!(!topic.partitions.is_empty());
        for partition in &topic.partitions {
            let group = after.group(partition.group).unwrap();
            let internal = group.purpose == millstream_metadata::GroupPurpose::Internal;
            assert_eq!(internal, topic.internal);
        }
    }
    for tenant in after.topics().map(|topic| topic.tenant).collect::<BTreeSet<_>>() {
        let (then, now) = (used_by(before, tenant), used_by(after, tenant));
        let served = now
            .iter()
            .filter(|group| !after.is_gone(after.group(**group).unwrap()));
        assert!(
            now.is_subset(&then) || served.count() <= 4,
            "a tenant's partitions go to four groups at most: {then:?}, then {now:?}"
        );
    }
}

/// The groups in which a tenant's topics have partitions.
fn used_by(image: &Image, tenant: TenantId) -> BTreeSet<GroupId> {
    image
        .topics_of(tenant)
        .flat_map(|topic| topic.partitions.iter().map(|partition| partition.group))
        .collect()
}

/// sql.md 5: a query relies on its topics' partitions for as long as it is there.
#[test]
fn a_topic_that_a_query_relies_on_does_not_grow() {
    let (mut world, key) = World::started();
    let owner = actor(&key);
    for name in ["read", "free"] {
        world.topic(&owner, key.tenant, name).unwrap();
    }
    let query = |put: Vec<PutSql>, delete: Vec<(String, String)>| WriteSql {
        tenant: key.tenant,
        put,
        delete,
        expected: None,
    };
    let row = PutSql {
        kind: "query".into(),
        name: "CTAS_T_1".into(),
        text: "".into(),
        body: "".into(),
        pinned_topics: vec!["read".into()],
    };
    world.run(&owner, query(vec![row.clone()], vec![])).unwrap();
    let grow = |name: &str, total| CreatePartitions {
        tenant: key.tenant,
        name: name.into(),
        total,
        validate_only: false,
    };
    world.run(&owner, grow("free", 9)).unwrap();
    let refused = world.run(&owner, grow("read", 9)).unwrap_err();
    assert!(matches!(&refused, Refusal::InvalidPartitions { reason } if reason.contains("CTAS_T_1")));
    world
        .run(&owner, query(vec![], vec![(row.kind, row.name)]))
        .unwrap();
    world.run(&owner, grow("read", 9)).unwrap();
}

/// log.md 28: a cluster that grows does not spread a tenant's topics over more groups.
#[test]
fn a_tenant_stays_in_four_groups_when_the_cluster_grows() {
    let (mut world, key) = World::started();
    let owner = actor(&key);
    world.topic(&owner, key.tenant, "t").unwrap();
    let more = |total| CreatePartitions {
        tenant: key.tenant,
        name: "t".into(),
        total,
        validate_only: false,
    };
    world.run(&owner, more(12)).unwrap();
    let at_first = used_by(&world.image, key.tenant);
    assert_eq!(at_first.len(), 4);
    for number in 2..6 {
        world.run(&Actor::System, register(number, None)).unwrap();
    }
    world.run(&owner, more(24)).unwrap();
    for name in ["u", "v", "w"] {
        world.topic(&owner, key.tenant, name).unwrap();
    }
    assert_eq!(used_by(&world.image, key.tenant), at_first);
}

#[test]
fn groups_of_lost_journals_go_on_where_the_operator_says() {
    let (mut world, key) = World::started();
    let owner = actor(&key);
    let topic = world.topic(&owner, key.tenant, "t").unwrap();
    let kept = world.image.group(topic.partitions[0].group).unwrap().clone();
    let snapshot = SnapshotRef {
        lsn: Lsn(9),
        epoch: Epoch(1),
        object: ObjectRef {
            owner: ObjectOwner::Shared(kept.id),
            group: kept.id,
            epoch: Epoch(1),
            number: 1,
        },
        length: 1,
        checksum: 2,
    };
    let report = ReportSnapshot {
        group: kept.id,
        epoch: Epoch(1),
        snapshot,
    };
    world.run(&Actor::Node(NodeId(1)), report).unwrap();
    let recover = || RecoverGroups { journal: journal(2) };
    let unknown = world.run(&Actor::System, recover());
    assert!(matches!(unknown, Err(Refusal::Fenced { .. })), "{unknown:?}");
    // An empty disk in the place of the lost one.
    world.run(&Actor::System, register(2, None)).unwrap();
    let nothing = world.run(&Actor::System, recover()).unwrap();
    assert!(nothing.groups.is_empty(), "the other's session has not ended");
    assert_eq!(nothing.alive, [journal(1)]);
    let registration = world.image.node_of(journal(1)).unwrap().registration;
    let ended = EndSession {
        journal: journal(1),
        registration,
    };
    world.run(&Actor::System, ended).unwrap();
    let second = world.topic(&owner, key.tenant, "second").unwrap();
    for partition in &second.partitions {
        let row = world.image.group(partition.group).unwrap();
        assert_eq!(
            row.leader,
            Some(journal(2)),
            "nothing new goes where nobody serves"
        );
    }
    let denied = world.run(&owner, recover());
    assert!(
        matches!(denied, Err(Refusal::PermissionDenied { .. })),
        "{denied:?}"
    );
    let recovered = world.run(&Actor::System, recover()).unwrap();
    assert_eq!((recovered.groups.len(), recovered.alive.len()), (9, 0));
    for told in &recovered.groups {
        let row = world.image.group(told.group).unwrap();
        assert_eq!((row.epoch, row.leader), (Epoch(2), Some(journal(2))));
        assert_eq!(
            (row.members.as_slice(), row.isr[0].journal),
            (&[journal(2)][..], journal(2))
        );
        assert_eq!((told.lost.as_slice(), told.epoch), (&[journal(1)][..], Epoch(2)));
        assert_eq!(told.snapshot, row.snapshot);
        assert_eq!(told.snapshot, (told.group == kept.id).then_some(snapshot));
        let text = told.to_string();
        assert_eq!(
            text.contains("ALL RECORDS"),
            told.snapshot.is_none() && told.partitions > 0,
            "{text}"
        );
    }
    let again = world.run(&Actor::System, recover()).unwrap();
    assert_eq!(again.groups, []);
}

/// log.md 41: the level rises when every registered node knows it, and never falls.
#[test]
fn the_feature_level_waits_for_every_node() {
    let (mut world, key) = World::started();
    let raise = |level| RaiseFeatureLevel { level };
    let operator = actor(&key);
    assert_eq!(world.image.feature_level(), 1, "from the first node on");
    assert_eq!(world.run(&operator, raise(1)), Ok(()));
    for level in [0, 2, u32::MAX] {
        let refused = world.run(&operator, raise(level));
        assert!(
            matches!(refused, Err(Refusal::InvalidRequest { .. })),
            "{level}: {refused:?}"
        );
    }
    let (_, tenant) = world.tenant("a");
    let refused = world.run(&tenant, raise(1));
    assert!(
        matches!(refused, Err(Refusal::PermissionDenied { .. })),
        "{refused:?}"
    );
    // A node of an older release than the cluster's level.
    let mut old = register(2, None);
    old.feature_level_max = 0;
    let refused = world.run(&Actor::System, old);
    let Err(Refusal::InvalidRequest { reason }) = refused else {
        panic!("{refused:?}")
    };
    assert!(reason.contains("start a newer release"), "{reason}");
    // A cluster without nodes does not run ahead of its controller either.
    let mut empty = World::empty();
    let refused = empty.run(&Actor::System, raise(7));
    assert!(
        matches!(refused, Err(Refusal::InvalidRequest { .. })),
        "{refused:?}"
    );
}

/// Throttled to nothing, an operator could not undo it: limiting is taking.
#[test]
fn a_key_is_limited_by_its_equals_only() {
    let (mut world, first) = World::started();
    let admin = world.key(first.tenant, [Grant::Admin]);
    let limit = |key| SetQuota {
        scope: QuotaScope::Key(key),
        quota: Quota {
            connections: Some(0),
            ..Quota::default()
        },
    };
    let refused = world.run(&admin, limit(first.id));
    assert!(
        matches!(refused, Err(Refusal::PermissionDenied { .. })),
        "{refused:?}"
    );
    let peer = world.key(first.tenant, [Grant::Consume]);
    world.run(&admin, limit(key_of(&peer))).unwrap();
    world.run(&actor(&first), limit(key_of(&admin))).unwrap();
    let (_, stranger) = world.tenant("b");
    let hidden = world.run(&stranger, limit(key_of(&peer)));
    assert!(
        matches!(hidden, Err(Refusal::NotFound { kind: "key", .. })),
        "{hidden:?}"
    );
    // Its tenant finds it in the audit.
    let command = limit(key_of(&peer));
    let mut seeds = world.seeds();
    let decided = decide(&world.image, &mut seeds, &admin, &command.into_command()).unwrap();
    let audited = decided.changes.iter().find_map(|change| match change {
        Change::Put(Row::Audit(event)) => event.tenant,
        _ => None,
    });
    assert_eq!(audited, Some(first.tenant));
}

/// They are listed in one message, which has a size.
#[test]
fn a_tenants_sql_rows_have_room_together() {
    let (mut world, key) = World::started();
    let owner = actor(&key);
    let row = |number: usize| PutSql {
        kind: "query".into(),
        name: format!("q{number}"),
        text: "t".into(),
        body: "x".repeat(SQL_BODY_BYTES_MAX),
        pinned_topics: Vec::new(),
    };
    let write = |put: Vec<PutSql>, delete: &[&str]| WriteSql {
        tenant: key.tenant,
        put,
        delete: delete
            .iter()
            .map(|name| ("query".to_owned(), (*name).to_owned()))
            .collect(),
        expected: None,
    };
    let fit = TENANT_SQL_BYTES_MAX / SQL_BODY_BYTES_MAX - 1;
    for number in 0..fit {
        world.run(&owner, write(vec![row(number)], &[])).unwrap();
    }
    let full = world.run(&owner, write(vec![row(fit), row(fit + 1)], &[]));
    assert!(matches!(full, Err(Refusal::QuotaExceeded { .. })), "{full:?}");
    assert_eq!(world.image.sql_of(key.tenant).count(), fit, "all or none");
    world.run(&owner, write(vec![row(0)], &[])).unwrap();
    world.run(&owner, write(Vec::new(), &["q1", "q2"])).unwrap();
    world
        .run(&owner, write(vec![row(fit), row(fit + 1)], &[]))
        .unwrap();
}

/// A node of an older process start cannot report, lead or confirm anything.
#[test]
fn an_older_process_start_is_not_heard() {
    let (mut world, _) = World::started();
    let node = world.image.nodes().next().unwrap().clone();
    let group = world.image.groups().next().unwrap().clone();
    world.run(&Actor::System, register(1, None)).unwrap();
    let now = world.image.group(group.id).unwrap().clone();
    assert_eq!(now.epoch, Epoch(group.epoch.0 + 1));
    let replica = |registration| Replica {
        journal: journal(1),
        registration,
    };
    let stale = [
        Command::Heartbeat(Heartbeat {
            registration: node.registration,
            version: 1,
        }),
        Command::ConfirmRegistration(ConfirmRegistration {
            journal: node.journal,
            registration: node.registration,
        }),
        Command::ProposeIsr(ProposeIsr {
            group: group.id,
            epoch: group.epoch,
            base_version: group.version,
            isr: vec![replica(node.registration)],
        }),
        Command::ProposeIsr(ProposeIsr {
            group: group.id,
            epoch: now.epoch,
            base_version: now.version,
            isr: vec![replica(node.registration)],
        }),
        Command::EndSession(EndSession {
            journal: node.journal,
            registration: node.registration,
        }),
    ];
    for command in stale {
        let who = match command {
            Command::EndSession(_) => Actor::System,
            _ => Actor::Node(node.id),
        };
        let before = world.image.clone();
        let refused = world.run(&who, command.clone());
        assert!(
            matches!(refused, Err(Refusal::Fenced { .. })),
            "{command:?}: {refused:?}"
        );
        assert_eq!(world.image, before);
    }
}

/// A controller that was overthrown without noticing must not turn a node away on the strength of old rows: that is only
/// told when a transaction went through (log.md 36). Who can ask again, or asks for a tenant, waits for none.
#[test]
fn a_node_that_is_turned_away_for_good_waits_for_a_transaction() {
    let (mut world, key) = World::started();
    let node = world.image.nodes().next().unwrap().clone();
    let stale = Heartbeat {
        registration: Registration(node.registration.0 + 1),
        version: 1,
    };
    let version = world.image.version();
    let mut batch = Batch::new(&world.image);
    let refused = batch.submit(&mut world.seeds(), &Actor::Node(node.id), stale);
    assert!(matches!(refused, Err(Refusal::Fenced { .. })), "{refused:?}");
    assert!(!batch.is_empty());
    assert_eq!(batch.version(), version + 1);
    let (image, changes) = batch.finish();
    assert!(
        matches!(&changes[..], [Change::Put(Row::Cluster(_))]),
        "{changes:?}"
    );
    assert_eq!(image.version(), version + 1);

    let mut batch = Batch::new(&world.image);
    let nameless = create(key.tenant, "");
    assert!(batch.submit(&mut world.seeds(), &actor(&key), nameless).is_err());
    assert!(batch.is_empty());
}

/// The service's own topic in a tenant: no key makes, changes or deletes it, and it takes nothing of a quota.
#[test]
fn a_tenants_sql_changelog_is_the_services_own() {
    let (mut world, key) = World::started();
    let tenant = key.tenant;
    let actor = |key: &KeyRow| Actor::Key {
        tenant: key.tenant,
        organisation: key.organisation,
        key: key.id,
        grants: key.grants.clone(),
    };
    let client = actor(&key);
    let quota = Quota {
        partitions: Some(1),
        ..Quota::default()
    };
    let scope = QuotaScope::Tenant(tenant);
    world.run(&client, SetQuota { scope, quota }).unwrap();
    let ensure = EnsureSqlChangelog { tenant };
    assert!(matches!(
        world.run(&client, ensure.clone()),
        Err(Refusal::PermissionDenied { .. })
    ));
    let made = world.run(&Actor::System, ensure.clone()).unwrap();
    assert!(made.internal && made.tenant == tenant && made.partitions.len() == 1);
    let again = world.run(&Actor::System, ensure).unwrap();
    assert_eq!(again, made, "there is one");
    let name = made.name.to_string();
    let delete = DeleteTopic {
        tenant,
        name: name.clone(),
    };
    assert!(matches!(
        world.run(&client, delete),
        Err(Refusal::UnknownTopic { .. })
    ));
    let wanted = |name: &str| CreateTopic {
        tenant,
        name: name.to_owned(),
        partitions: 1,
        replication: -1,
        config: BTreeMap::new(),
        validate_only: false,
    };
    assert!(matches!(
        world.run(&client, wanted(&name)),
        Err(Refusal::InvalidName { .. })
    ));
    world.run(&client, wanted("theirs")).unwrap();
    assert!(matches!(
        world.run(&client, wanted("one-too-many")),
        Err(Refusal::QuotaExceeded { .. })
    ));
}
