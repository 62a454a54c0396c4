//! Every kind of row survives its stored and its sent form; bytes that are not rows are refused in words.

#![allow(clippy::unwrap_used)]

use millstream_metadata::{
    AuditRow, Change, Class, ClusterRow, EnvironmentId, EnvironmentRow, Grant, GroupPurpose, GroupRow,
    HostPort, Image, KeyRow, KeyState, NodeRow, OrganisationId, OrganisationRow, PartitionRow, Quota,
    QuotaRow, QuotaScope, Replica, Row, RowKey, SnapshotRef, SqlRow, StoredError, TopicDefaults, TopicRow,
    TopicState, VirtualClusterRow,
};
use millstream_model::segment::{ObjectOwner, ObjectRef};
use millstream_model::{
    Epoch, GroupId, JournalId, KeyId, Lsn, NodeId, PartitionId, PartitionIndex, Registration, TenantId,
    TimestampMs, TopicId,
};
use proptest::prelude::*;
use std::sync::Arc;
use uuid::Uuid;

/// A row of the kind that `kind` picks, filled from the other arguments.
fn row(kind: u8, number: u64, text: String, flag: bool) -> Row {
    let id = Uuid::from_u128(u128::from(number) << 64 | 5);
    let tenant = TenantId(number);
    let time = TimestampMs(i64::try_from(number >> 1).unwrap());
    let key = KeyId::from_random([u8::try_from(number % 251).unwrap(); 20]);
    let small = u32::try_from(number % 1_000_000).unwrap();
    let group = GroupId(small);
    let replica = Replica {
        journal: JournalId(id),
        registration: Registration(number),
    };
    let object = |owner| ObjectRef {
        owner,
        group,
        epoch: Epoch(small),
        number,
    };
    let partition = PartitionId {
        topic: TopicId(id),
        index: PartitionIndex(small),
    };
    match kind {
        0 => Row::Cluster(ClusterRow {
            version: number,
            term: 3,
            audit_next: number,
            topic_defaults: TopicDefaults {
                partitions: Some(small),
                retention_ms: None,
                replication_factor: flag.then_some(2),
            },
            ..ClusterRow::default()
        }),
        1 => Row::Organisation(Arc::new(OrganisationRow {
            id: OrganisationId(id),
            name: text,
            created: time,
        })),
        2 => Row::Environment(Arc::new(EnvironmentRow {
            id: EnvironmentId(id),
            organisation: OrganisationId(id),
            name: text,
            created: time,
        })),
        3 => Row::VirtualCluster(Arc::new(VirtualClusterRow {
            id: tenant,
            organisation: OrganisationId(id),
            environment: EnvironmentId(id),
            name: text,
            auto_create_topics: flag,
            topic_defaults: TopicDefaults {
                partitions: flag.then_some(small),
                retention_ms: Some(time.0),
                replication_factor: None,
            },
            leader_epoch_floor: 4,
            sql_version: number,
            created: time,
        })),
        4 => Row::Key(Arc::new(KeyRow {
            id: key,
            tenant,
            organisation: OrganisationId(id),
            name: text,
            grants: [Grant::Admin, Grant::Consume].into(),
            salt: [7; 16],
            root_version: small,
            state: if flag {
                KeyState::Active
            } else {
                KeyState::Revoked { at: time }
            },
            created: time,
        })),
        5 => Row::Topic(Arc::new(TopicRow {
            id: TopicId(id),
            tenant,
            name: format!("t{small}").parse().unwrap(),
            partitions: vec![
                PartitionRow {
                    group,
                    base_epoch: 5,
                    deleted: flag
                };
                3
            ],
            class: Class::THREE,
            config: [("retention.ms".to_owned(), text)].into(),
            internal: flag,
            state: if flag {
                TopicState::Active
            } else {
                TopicState::Deleting
            },
            created: time,
        })),
        6 => Row::Group(Arc::new(GroupRow {
            id: group,
            purpose: if flag {
                GroupPurpose::Tenants
            } else {
                GroupPurpose::Internal
            },
            class: Class::TWO,
            epoch: Epoch(small),
            version: number,
            leader: flag.then_some(JournalId(id)),
            isr: vec![replica],
            members: vec![JournalId(id)],
            snapshot: flag.then_some(SnapshotRef {
                lsn: Lsn(number),
                epoch: Epoch(small),
                object: object(ObjectOwner::Shared(group)),
                length: number,
                checksum: small,
            }),
            snapshot_previous: Some(SnapshotRef {
                lsn: Lsn(number),
                epoch: Epoch(small),
                object: object(ObjectOwner::Own(partition)),
                length: number,
                checksum: small,
            }),
        })),
        7 => Row::Node(Arc::new(NodeRow {
            id: NodeId(i32::try_from(small).unwrap()),
            journal: JournalId(id),
            registration: Registration(number),
            registration_confirmed: Registration(number / 2),
            kafka: HostPort {
                host: text.clone(),
                port: 9092,
            },
            http: HostPort {
                host: text,
                port: 8080,
            },
            feature_level_max: small,
            lost: flag,
            registered: time,
        })),
        8 => Row::Quota(Arc::new(QuotaRow {
            scope: if flag {
                QuotaScope::Tenant(tenant)
            } else {
                QuotaScope::Key(key)
            },
            quota: Quota {
                produce_bytes_per_second: Some(number),
                partitions: Some(small),
                ..Quota::default()
            },
        })),
        9 => Row::Sql(Arc::new(SqlRow {
            tenant,
            kind: "query".to_owned(),
            name: text.clone(),
            text: text.clone(),
            body: text.clone(),
            pinned_topics: vec![text],
            version: number,
            owner: key,
            created: time,
            updated: time,
        })),
        _ => Row::Audit(Arc::new(AuditRow {
            sequence: number,
            time,
            tenant: flag.then_some(tenant),
            actor: text.clone(),
            action: "CreateTopic".to_owned(),
            resource: text,
        })),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn rows_survive(kind in 0..11u8, number in any::<u64>(), text in ".{0,40}", flag in any::<bool>()) {
        let row = row(kind, number, text, flag);
        let key = row.key();
        prop_assert_eq!(&RowKey::decode(&key.encode()).unwrap(), &key);
        prop_assert_eq!(&Row::decode(&key.encode(), &row.encode()).unwrap(), &row);
        for change in [Change::Put(row.clone()), Change::Remove(key)] {
            prop_assert_eq!(&Change::from_bytes(&change.to_bytes()).unwrap(), &change);
        }
        let mut newer = row.encode();
        newer[0] = 2;
        let refused = Row::decode(&row.key().encode(), &newer);
        let newer = matches!(refused, Err(StoredError::Version { found: 2 }));
        prop_assert!(newer);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = RowKey::decode(&bytes);
        let _ = Change::from_bytes(&bytes);
        let _ = Row::decode(&bytes, &bytes);
    }

    /// Whatever order rows come and go in, the image is the one of the rows that are left.
    #[test]
    fn an_image_is_the_sum_of_its_rows(
        steps in prop::collection::vec((0..10u8, 0..6u64, any::<bool>(), any::<bool>()), 0..60),
    ) {
        let mut image = Image::new();
        for (kind, number, flag, put) in steps {
            let row = row(kind, number, "x".to_owned(), flag);
            image.apply(&if put { Change::Put(row) } else { Change::Remove(row.key()) });
        }
        let mut copy = Image::new();
        for row in image.rows() {
            copy.apply(&Change::Put(row));
        }
        prop_assert_eq!(&copy, &image);
        for topic in image.topics() {
            let named = image.topic(topic.tenant, &topic.name);
            prop_assert_eq!(named.is_some(), topic.state == TopicState::Active);
        }
    }
}

/// The stored form of this release, to the byte: changing it needs a new version.
#[test]
fn the_first_version_stays_as_it_is() {
    let row = row(1, 1, "acme".to_owned(), true);
    let key: Vec<u8> = [&[2][..], Uuid::from_u128(1 << 64 | 5).as_bytes()].concat();
    let value = "\u{1}{\"id\":\"00000000-0000-0001-0000-000000000005\",\"name\":\"acme\",\"created\":0}";
    assert_eq!(row.key().encode(), key);
    assert_eq!(String::from_utf8(row.encode()).unwrap(), value);
}
