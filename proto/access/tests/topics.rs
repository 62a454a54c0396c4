//! What a caller names: its own topics, active ones, and internal ones for the service alone.

#![allow(clippy::unwrap_used)]

use millstream_access::topics::{Named, Unfound, all_shown, find, partition, shown};
use millstream_access::{AuthError, Principal, RootKeys, caller};
use millstream_metadata::{Change, Class, Image, OrganisationId, PartitionRow, Row, TopicRow, TopicState};
use millstream_model::{GroupId, KeyId, Kind, TenantId, TimestampMs, TopicId};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

fn service(tenant: u64) -> Principal {
    Principal::of_tenant(TenantId(tenant), OrganisationId(Uuid::nil()))
}

fn client(tenant: u64) -> Principal {
    Principal {
        key: KeyId::from_random([1; 20]),
        ..service(tenant)
    }
}

fn id(number: u128) -> TopicId {
    TopicId(Uuid::from_u128(number))
}

/// Topics `mine`, `going` and `kept` (internal) of tenant 1, `mine` of tenant 2, two partitions each.
fn image() -> Image {
    let mut image = Image::new();
    for (number, tenant, name, internal, state) in [
        (1, 1, "mine", false, TopicState::Active),
        (2, 1, "going", false, TopicState::Deleting),
        (3, 1, "kept", true, TopicState::Active),
        (4, 2, "mine", false, TopicState::Active),
    ] {
        let row = PartitionRow {
            group: GroupId(1),
            base_epoch: 0,
            deleted: false,
        };
        image.apply(&Change::Put(Row::Topic(Arc::new(TopicRow {
            id: id(number),
            tenant: TenantId(tenant),
            name: name.parse().unwrap(),
            partitions: vec![row; 2],
            class: Class::ONE,
            config: BTreeMap::new(),
            internal,
            state,
            created: TimestampMs(0),
        }))));
    }
    image
}

#[test]
fn a_caller_finds_its_own_active_topics() {
    let image = image();
    let found = |who: &Principal, named| find(&image, who, named).map(|topic| topic.id);
    let name = Named::Name;
    assert_eq!(found(&client(1), name("mine")), Ok(id(1)));
    assert_eq!(found(&client(2), name("mine")), Ok(id(4)));
    assert_eq!(found(&client(1), Named::Id(id(1))), Ok(id(1)));
    for (who, named, kind) in [
        (client(1), name("nobody's"), Kind::InvalidTopicName),
        (client(1), name("nobodys"), Kind::UnknownTopic),
        (client(1), name("going"), Kind::UnknownTopic),
        (client(1), name("kept"), Kind::UnknownTopic),
        (client(2), name("kept"), Kind::UnknownTopic),
        (client(3), name("mine"), Kind::UnknownTopic),
        (client(1), Named::Id(id(2)), Kind::UnknownTopicId),
        (client(1), Named::Id(id(3)), Kind::UnknownTopicId),
        (client(1), Named::Id(id(4)), Kind::UnknownTopicId),
        (service(2), Named::Id(id(3)), Kind::UnknownTopicId),
    ] {
        let unfound = found(&who, named).unwrap_err();
        assert_eq!(unfound.kind(), kind, "{named:?}");
    }
}

#[test]
fn what_is_not_the_callers_reads_like_what_does_not_exist() {
    let image = image();
    let text = |name| {
        find(&image, &client(1), Named::Name(name))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(text("kept"), "there is no topic 'kept'");
    assert_eq!(text("none"), "there is no topic 'none'");
}

#[test]
fn the_service_finds_internal_topics_and_shows_them_to_nobody() {
    let image = image();
    let kept = Named::Name("kept");
    assert_eq!(find(&image, &service(1), kept).map(|topic| topic.id), Ok(id(3)));
    assert!(matches!(
        shown(&image, TenantId(1), kept),
        Err(Unfound::Name { .. })
    ));
    let names: Vec<&str> = all_shown(&image, TenantId(1))
        .map(|topic| topic.name.as_str())
        .collect();
    assert_eq!(names, ["mine"]);
}

#[test]
fn a_partition_is_one_that_the_topic_has() {
    let image = image();
    let topic = find(&image, &client(1), Named::Name("mine")).unwrap();
    assert_eq!(partition(topic, 1_u32).unwrap().index.0, 1);
    assert_eq!(partition(topic, 0_i32).unwrap().topic, id(1));
    for index in [2, -1, i64::from(u32::MAX) + 1] {
        assert_eq!(partition(topic, index).unwrap_err().kind(), Kind::UnknownTopic);
    }
    assert_eq!(
        partition(topic, 2_u32).unwrap_err().to_string(),
        "topic 'mine' has 2 partitions, there is no 2"
    );
}

#[test]
fn a_caller_without_credentials_is_told_what_to_send_and_others_nothing() {
    let (image, roots) = (Image::new(), RootKeys::from_random([7; 32]));
    let asked = |header: Option<&[u8]>| caller(&image, &roots, None, header, TimestampMs(0)).unwrap_err();
    assert_eq!(asked(None), AuthError::Missing);
    assert!(asked(None).client_text().starts_with("no credentials"));
    for header in [&b"\xff"[..], b"Basic", b"Basic !", b"Bearer nothing"] {
        assert_eq!(asked(Some(header)).client_text(), AuthError::CLIENT_TEXT);
    }
    let gone = caller(&image, &roots, Some(&client(1)), None, TimestampMs(0));
    assert!(gone.is_err(), "who was let in before may be nobody by now");
}
