//! Keys, tokens and grants over a small image.

#![allow(clippy::unwrap_used)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millstream_access::{
    AuthError, Operation, Principal, Resource, RootKeyError, RootKeys, TokenError, allowed, authenticate,
    authenticate_header, derive_secret, mint, recheck,
};
use millstream_metadata::{
    Change, EnvironmentId, Grant, Grants, Image, KeyRow, KeyState, OrganisationId, Row, VirtualClusterRow,
};
use millstream_model::{KeyId, TenantId, TimestampMs};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);
const TENANT: TenantId = TenantId(123_456_789_012);

fn roots() -> RootKeys {
    RootKeys::from_random([9; 32])
}

fn key(number: u8, state: KeyState) -> KeyRow {
    KeyRow {
        id: KeyId::from_random([number; 20]),
        tenant: TENANT,
        organisation: OrganisationId(Uuid::from_u128(1)),
        name: "k".to_owned(),
        grants: Grants::from([Grant::Produce]),
        salt: [number; 16],
        root_version: 1,
        state,
        created: NOW,
    }
}

fn image(keys: &[KeyRow]) -> Image {
    let mut image = Image::new();
    image.apply(&Change::Put(Row::VirtualCluster(Arc::new(VirtualClusterRow {
        id: TENANT,
        organisation: OrganisationId(Uuid::from_u128(1)),
        environment: EnvironmentId(Uuid::from_u128(2)),
        name: "v".to_owned(),
        auto_create_topics: true,
        partitions_default: 1,
        leader_epoch_floor: 0,
        sql_version: 0,
        created: NOW,
    }))));
    for key in keys {
        image.apply(&Change::Put(Row::Key(Arc::new(key.clone()))));
    }
    image
}

fn secret(key: &KeyRow) -> String {
    derive_secret(&roots(), key.root_version, &key.id, &key.salt)
        .unwrap()
        .expose()
        .to_owned()
}

#[test]
fn a_secret_is_derived_and_fits_aws() {
    let (a, b) = (key(3, KeyState::Active), key(4, KeyState::Active));
    assert_eq!(secret(&a).len(), 40);
    assert_ne!(secret(&a), secret(&b));
    let shown = format!("{:?}", derive_secret(&roots(), 1, &a.id, &a.salt));
    assert!(!shown.contains(&secret(&a)), "a secret is not printed");
}

#[test]
fn keys_are_told_apart() {
    let (good, gone) = (key(3, KeyState::Active), key(4, KeyState::Revoked { at: NOW }));
    let image = image(&[good.clone(), gone.clone()]);
    let roots = roots();
    let ask = |id: &str, secret: &str| authenticate(&image, &roots, id, secret);
    let who = ask(good.id.as_str(), &secret(&good)).unwrap();
    assert_eq!((who.tenant, who.key), (TENANT, good.id));
    assert_eq!(
        ask(good.id.as_str(), &secret(&gone)),
        Err(AuthError::WrongSecret { key: good.id })
    );
    assert_eq!(
        ask(good.id.as_str(), ""),
        Err(AuthError::WrongSecret { key: good.id })
    );
    assert_eq!(
        ask(gone.id.as_str(), &secret(&gone)),
        Err(AuthError::Revoked { key: gone.id })
    );
    // Who does not know the secret is not told that the key was revoked.
    assert_eq!(
        ask(gone.id.as_str(), "x"),
        Err(AuthError::WrongSecret { key: gone.id })
    );
    let unknown = key(5, KeyState::Active);
    assert_eq!(
        ask(unknown.id.as_str(), &secret(&unknown)),
        Err(AuthError::Unknown { key: unknown.id })
    );
    assert_eq!(ask("admin", "admin"), Err(AuthError::Malformed));
    let later = self::image(&[KeyRow {
        state: KeyState::Revoked { at: NOW },
        ..good.clone()
    }]);
    assert_eq!(recheck(&later, &who), Err(AuthError::Revoked { key: good.id }));
}

#[test]
fn nobody_new_is_let_in_on_stale_knowledge() {
    let good = key(3, KeyState::Active);
    let (fresh, roots) = (image(std::slice::from_ref(&good)), roots());
    let stale = fresh.as_stale();
    let who = authenticate(&fresh, &roots, good.id.as_str(), &secret(&good)).unwrap();
    let refused = AuthError::Stale { key: good.id };
    assert_eq!(
        authenticate(&stale, &roots, good.id.as_str(), &secret(&good)),
        Err(refused.clone())
    );
    let token = mint(&roots, &who, NOW, Duration::from_secs(60)).unwrap();
    let ask = |image: &Image| authenticate_header(image, &roots, &format!("Bearer {token}"), NOW);
    assert_eq!(ask(&fresh).unwrap().key, good.id);
    assert_eq!(ask(&stale), Err(refused));
    assert_eq!(recheck(&stale, &who), Ok(()), "who is in goes on");
    let own = Principal::of_tenant(TENANT, OrganisationId(Uuid::from_u128(1)));
    let token = mint(&roots, &own, NOW, Duration::from_secs(60)).unwrap();
    let found = authenticate_header(&stale, &roots, &format!("Bearer {token}"), NOW);
    assert_eq!(found.unwrap().key, KeyId::NONE, "the process itself has no key");
}

#[test]
fn headers_carry_keys_and_tokens() {
    let good = key(3, KeyState::Active);
    let (image, roots) = (image(std::slice::from_ref(&good)), roots());
    let ask = |header: &str| authenticate_header(&image, &roots, header, NOW);
    let pair = format!("{}:{}", good.id, secret(&good));
    assert_eq!(
        ask(&format!("Basic {}", STANDARD.encode(&pair))).unwrap().key,
        good.id
    );
    assert_eq!(
        ask(&format!("basic {}", STANDARD.encode(&pair))).unwrap().key,
        good.id
    );
    assert_eq!(ask(&format!("Bearer {pair}")).unwrap().key, good.id);
    for header in [
        "",
        "Basic",
        "Basic %%%",
        "Basic Og==",
        "Digest x",
        "Bearer ",
        "Bearer a.b.c",
    ] {
        assert!(ask(header).is_err(), "{header}");
    }
    let who = Principal::of_key(&good);
    let token = mint(&roots, &who, NOW, Duration::from_secs(60)).unwrap();
    assert_eq!(ask(&format!("Bearer {token}")).unwrap(), who);
    let late = TimestampMs(NOW.0 + 60_000);
    let expired = authenticate_header(&image, &roots, &format!("Bearer {token}"), late);
    assert_eq!(expired, Err(AuthError::Token(TokenError::Expired)));
    let foreign = mint(
        &RootKeys::from_random([8; 32]),
        &who,
        NOW,
        Duration::from_secs(60),
    )
    .unwrap();
    assert_eq!(
        ask(&format!("Bearer {foreign}")),
        Err(AuthError::Token(TokenError::Invalid))
    );
    let revoked = self::image(&[KeyRow {
        state: KeyState::Revoked { at: NOW },
        ..good.clone()
    }]);
    let ended = authenticate_header(&revoked, &roots, &format!("Bearer {token}"), NOW);
    assert_eq!(ended, Err(AuthError::Revoked { key: good.id }));
    let itself = Principal::of_tenant(TENANT, good.organisation);
    let token = mint(&roots, &itself, NOW, Duration::from_secs(60)).unwrap();
    assert_eq!(
        authenticate_header(&revoked, &roots, &format!("Bearer {token}"), NOW).unwrap(),
        itself
    );
}

#[test]
fn root_keys_read_and_write() {
    let roots = RootKeys::parse(&format!(
        "# two\n1:{}\n\n 2 : {}\n",
        "ab".repeat(32),
        "cd".repeat(48)
    ))
    .unwrap();
    assert_eq!(roots.current(), 2);
    let again = RootKeys::parse(&roots.to_text()).unwrap();
    assert_eq!(again.check_values(), roots.check_values());
    assert!(roots.is_cluster_key(again.cluster_key().expose()));
    assert!(!roots.is_cluster_key(RootKeys::from_random([1; 32]).cluster_key().expose()));
    for (text, error) in [
        ("", RootKeyError::Empty),
        ("x", RootKeyError::Line { line: 1 }),
        ("1:xy", RootKeyError::Line { line: 1 }),
        ("1:abcd", RootKeyError::Length { line: 1, found: 2 }),
    ] {
        assert_eq!(RootKeys::parse(text).unwrap_err(), error);
    }
    let twice = format!("1:{0}\n1:{0}", "ab".repeat(32));
    assert_eq!(
        RootKeys::parse(&twice).unwrap_err(),
        RootKeyError::Twice { version: 1 }
    );
    assert!(!format!("{roots:?}").contains("abab"));
}

#[test]
fn grants_reach_as_far_as_they_say() {
    let who = |grant| Principal {
        grants: Arc::new(Grants::from([grant])),
        ..Principal::of_key(&key(3, KeyState::Active))
    };
    let own = Resource::Tenant(TENANT);
    let other = Resource::Tenant(TenantId(1));
    let organisation = Resource::Organisation(OrganisationId(Uuid::from_u128(1)));
    let table = [
        (Grant::Produce, Operation::Produce, own, true),
        (Grant::Produce, Operation::Describe, own, true),
        (Grant::Produce, Operation::Consume, own, false),
        (Grant::Produce, Operation::Manage, own, false),
        (Grant::Consume, Operation::Produce, own, false),
        (Grant::Admin, Operation::Consume, own, true),
        (Grant::Admin, Operation::Manage, own, true),
        (Grant::Admin, Operation::Manage, other, false),
        (Grant::Admin, Operation::Manage, organisation, false),
        (Grant::Organisation, Operation::Manage, organisation, true),
        (Grant::Organisation, Operation::Manage, Resource::Cluster, false),
        (Grant::Operator, Operation::Manage, Resource::Cluster, true),
        (Grant::Operator, Operation::Consume, other, false),
        (Grant::Operator, Operation::SqlRead, other, false),
        (Grant::Operator, Operation::SqlRead, own, true),
        (Grant::Admin, Operation::SqlRead, own, true),
        (Grant::Consume, Operation::SqlRead, own, false),
        (Grant::SqlRead, Operation::SqlRead, own, true),
        (Grant::SqlRead, Operation::SqlRead, other, false),
        (Grant::SqlRead, Operation::Manage, own, false),
        (Grant::SqlRead, Operation::Produce, own, false),
        (Grant::SqlRead, Operation::Consume, own, false),
        (Grant::SqlRead, Operation::Describe, own, false),
    ];
    for (grant, operation, resource, expected) in table {
        assert_eq!(
            allowed(&who(grant), operation, resource),
            expected,
            "{grant:?} {operation:?} {resource:?}"
        );
    }
}
