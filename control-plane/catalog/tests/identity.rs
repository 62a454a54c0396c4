//! `cluster.json`: who may join which cluster, as a table.

#![allow(clippy::unwrap_used)]

use millstream_catalog::{IdentityError, Joining, establish};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use std::collections::BTreeMap;
use uuid::Uuid;

const FRESH: Uuid = Uuid::from_u128(7);

fn joining(known: Option<Uuid>, name: Option<&str>, check: &str) -> Joining {
    Joining {
        known,
        name: name.map(str::to_owned),
        root_key_checks: BTreeMap::from([(1, check.to_owned())]),
        fresh: FRESH,
    }
}

#[tokio::test]
async fn the_first_start_makes_it_and_others_must_fit() {
    let store = InMemory::new();
    let prefix = Path::from("a/b");
    let made = establish(&store, &prefix, &joining(None, Some("prod"), "x"))
        .await
        .unwrap();
    assert_eq!((made.id, made.name.as_str()), (FRESH, "prod"));
    let again = establish(&store, &prefix, &joining(Some(FRESH), None, "x"))
        .await
        .unwrap();
    assert_eq!(again, made);
    assert!(
        establish(&store, &prefix, &joining(None, Some("prod"), "x"))
            .await
            .is_ok()
    );

    let refused = |joining: Joining| {
        let (store, prefix) = (&store, &prefix);
        async move { establish(store, prefix, &joining).await.unwrap_err() }
    };
    assert!(matches!(
        refused(joining(None, None, "x")).await,
        IdentityError::NameNeeded { .. }
    ));
    assert!(matches!(
        refused(joining(None, Some("test"), "x")).await,
        IdentityError::OtherName { .. }
    ));
    let other = Some(Uuid::from_u128(8));
    assert!(matches!(
        refused(joining(other, None, "x")).await,
        IdentityError::OtherCluster { .. }
    ));
    assert!(matches!(
        refused(joining(Some(FRESH), None, "y")).await,
        IdentityError::RootKey { version: 1 }
    ));

    let inside = establish(&store, &Path::from("a/b/c"), &joining(None, None, "x")).await;
    assert!(matches!(inside, Err(IdentityError::Nested { .. })), "{inside:?}");
    let empty = establish(&store, &Path::from("z"), &joining(Some(FRESH), None, "x")).await;
    assert!(matches!(empty, Err(IdentityError::Missing { .. })), "{empty:?}");
}

#[tokio::test]
async fn a_newer_version_of_the_root_key_is_added() {
    let store = InMemory::new();
    let prefix = Path::default();
    establish(&store, &prefix, &joining(None, None, "x"))
        .await
        .unwrap();
    let mut rotated = joining(Some(FRESH), None, "x");
    rotated.root_key_checks.insert(2, "y".to_owned());
    let found = establish(&store, &prefix, &rotated).await.unwrap();
    assert_eq!(found.root_key_checks.len(), 2);
    let mut only_new = joining(Some(FRESH), None, "x");
    only_new.root_key_checks = BTreeMap::from([(2, "z".to_owned())]);
    let refused = establish(&store, &prefix, &only_new).await;
    assert!(
        matches!(refused, Err(IdentityError::RootKey { version: 2 })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn what_is_not_ours_is_left_alone() {
    let store = InMemory::new();
    for (text, says) in [
        ("[]", "does not read"),
        (
            "{\"format\": 99}",
            "format 99, this release knows format 2: start a newer release",
        ),
        (
            "{\"format\": 1}",
            "format 1, of an earlier release, whose data this release (format 2) does not read",
        ),
        ("{\"format\": 2}", "does not read"),
    ] {
        store
            .put(
                &Path::from("cluster.json"),
                PutPayload::from(text.as_bytes().to_vec()),
            )
            .await
            .unwrap();
        let refused = establish(&store, &Path::default(), &joining(None, None, "x"))
            .await
            .unwrap_err();
        assert!(refused.to_string().contains(says), "{refused}");
    }
}
