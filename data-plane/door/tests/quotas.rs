//! Debts: on the meter that was taken from, over tenant and key, kept to the end, and no other's business.

#![allow(clippy::unwrap_used)]

use millstream_access::Principal;
use millstream_door::Meter;
use millstream_door::quotas::Meters;
use millstream_metadata::{Change, Image, OrganisationId, Quota, QuotaRow, QuotaScope, Row};
use millstream_model::{KeyId, TenantId};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const SECOND: Duration = Duration::from_secs(1);

fn service(tenant: u64) -> Principal {
    Principal::of_tenant(TenantId(tenant), OrganisationId(Uuid::nil()))
}

fn who(tenant: u64, letter: u8) -> Principal {
    Principal {
        key: KeyId::from_random([letter; 20]),
        ..service(tenant)
    }
}

/// Produced bytes per second.
fn bytes(rate: u64) -> Quota {
    Quota {
        produce_bytes_per_second: Some(rate),
        ..Quota::default()
    }
}

fn image(rows: &[(QuotaScope, Quota)]) -> Image {
    let mut image = Image::new();
    for (scope, quota) in rows {
        image.apply(&Change::Put(Row::Quota(Arc::new(QuotaRow {
            scope: *scope,
            quota: *quota,
        }))));
    }
    image
}

fn of_tenant(quota: Quota) -> Image {
    image(&[(QuotaScope::Tenant(TenantId(1)), quota)])
}

#[test]
fn a_debt_is_kept_however_often_it_is_asked() {
    let (image, mut meters, one) = (of_tenant(bytes(1000)), Meters::default(), who(1, 1));
    assert_eq!(
        meters.begin(&image, &one, Meter::Produce, 0, 101_000),
        Ok(100 * SECOND)
    );
    for second in 0..100 {
        let owed = meters.begin(&image, &one, Meter::Produce, second * 1000, 50);
        let left = u32::try_from(100 - second).unwrap() * SECOND;
        assert_eq!(
            owed,
            Err(left),
            "what is refused takes nothing, and nothing is forgiven"
        );
    }
    assert_eq!(
        meters.begin(&image, &one, Meter::Produce, 100_000, 500),
        Ok(SECOND / 2)
    );
}

#[test]
fn a_debt_binds_its_own_meter_and_tenant_only() {
    let (image, mut meters) = (of_tenant(bytes(1)), Meters::default());
    meters.take(&image, &who(1, 1), Meter::Produce, 0, 1_000_000);
    for one in [who(1, 1), who(1, 2), service(1)] {
        assert!(
            meters.begin(&image, &one, Meter::Produce, 0, 1).is_err(),
            "any key of it, and its SQL"
        );
        assert_eq!(
            meters.begin(&image, &one, Meter::Requests, 0, 1),
            Ok(Duration::ZERO)
        );
        assert_eq!(meters.left(&image, &one, Meter::Fetch, 0), Ok(None));
    }
    assert_eq!(
        meters.begin(&image, &who(2, 3), Meter::Produce, 0, 9),
        Ok(Duration::ZERO)
    );
}

#[test]
fn a_key_and_its_tenant_both_bind() {
    let (one, mut meters) = (who(1, 1), Meters::default());
    let image = image(&[
        (QuotaScope::Tenant(TenantId(1)), bytes(1000)),
        (QuotaScope::Key(one.key), bytes(100)),
    ]);
    let owed = meters.begin(&image, &one, Meter::Produce, 0, 1100);
    assert_eq!(owed, Ok(10 * SECOND), "the key's debt is the longer one");
    let other = meters.begin(&image, &who(1, 2), Meter::Produce, 0, 1);
    assert_eq!(other, Err(SECOND / 10), "the tenant's binds every key");
}

/// Of many that wait for the end of a debt one begins, not all.
#[test]
fn many_callers_together_keep_to_the_rate() {
    let (image, mut meters, mut taken) = (of_tenant(bytes(1000)), Meters::default(), 0);
    for now_ms in (0..20_000).step_by(10) {
        for letter in 0..50 {
            if meters
                .begin(&image, &who(1, letter), Meter::Produce, now_ms, 700)
                .is_ok()
            {
                taken += 700;
            }
        }
    }
    assert!(
        (20_000..=21_700).contains(&taken),
        "{taken} bytes in 20 s at 1,000 a second"
    );
}

#[test]
fn a_raised_quota_pays_sooner_and_what_was_taken_stays_taken() {
    let (mut meters, one) = (Meters::default(), who(1, 1));
    assert_eq!(
        meters.take(&of_tenant(bytes(1)), &one, Meter::Produce, 0, 1_000_001),
        1_000_000 * SECOND
    );
    assert_eq!(
        meters.take(&of_tenant(bytes(1000)), &one, Meter::Produce, 0, 0),
        1000 * SECOND
    );
    assert!(
        meters
            .begin(&of_tenant(Quota::default()), &one, Meter::Produce, 0, 1)
            .is_ok(),
        "no quota any more"
    );
}

#[test]
fn a_fetch_may_take_what_is_left() {
    let quota = Quota {
        fetch_bytes_per_second: Some(1000),
        ..Quota::default()
    };
    let (image, mut meters, one) = (of_tenant(quota), Meters::default(), who(1, 1));
    assert_eq!(meters.left(&image, &one, Meter::Fetch, 0), Ok(Some(1000)));
    assert_eq!(meters.take(&image, &one, Meter::Fetch, 0, 400), Duration::ZERO);
    assert_eq!(meters.left(&image, &one, Meter::Fetch, 0), Ok(Some(600)));
    assert_eq!(meters.take(&image, &one, Meter::Fetch, 0, 1600), SECOND);
    assert_eq!(meters.left(&image, &one, Meter::Fetch, 999), Err(SECOND / 1000));
    assert_eq!(meters.left(&image, &one, Meter::Fetch, 1000), Ok(Some(0)));
}
