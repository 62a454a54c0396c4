//! What calls take from their caller's meters, by kind, and what Kafka's word for each kind is.

#![allow(clippy::unwrap_used)]

use millstream_access::Principal;
use millstream_door::quotas::patience;
use millstream_door::{Action, Allowance, Meter, Quotas, Refused, kafka_code};
use millstream_kafka_wire::ErrorCode;
use millstream_metadata::{Change, Image, ImageWatch, OrganisationId, Quota, QuotaRow, QuotaScope, Row};
use millstream_model::{Kind, TenantId};
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

fn who() -> Principal {
    Principal::of_tenant(TenantId(1), OrganisationId(Uuid::nil()))
}

/// One request and ten bytes a second of each kind.
fn quotas() -> Quotas {
    let mut image = Image::new();
    image.apply(&Change::Put(Row::Quota(Arc::new(QuotaRow {
        scope: QuotaScope::Tenant(TenantId(1)),
        quota: Quota {
            requests_per_second: Some(1),
            produce_bytes_per_second: Some(10),
            fetch_bytes_per_second: Some(10),
            ..Quota::default()
        },
    }))));
    let (_publisher, watch) = ImageWatch::channel(image);
    Quotas::new(watch, &mut Registry::default())
}

#[tokio::test(start_paused = true)]
async fn what_moves_bytes_is_refused_for_requests_and_what_does_not_goes_on() {
    let (quotas, who) = (quotas(), who());
    quotas.take(&who, Meter::Requests, 100);
    let begun = Instant::now();
    let until = begun + Duration::from_secs(10);
    let beat = quotas.begin_action(Action::UseGroup, &who, until).await;
    assert!(beat.unwrap() > Duration::from_secs(10), "the debt stays");
    assert_eq!(
        begun.elapsed(),
        Duration::from_secs(10),
        "it waits for its patience"
    );
    for action in [Action::Produce, Action::Fetch] {
        let refused = quotas.begin_action(action, &who, until).await.unwrap_err();
        assert_eq!(refused.kind(), Kind::Throttled);
    }
}

/// Whatever a member waits for, it waits a third of the shortest session (6 s): it may have to beat behind that.
#[test]
fn only_what_moves_bytes_waits_for_longer_than_a_session_allows() {
    for action in Action::ALL {
        let most = match action {
            Action::Produce | Action::Fetch => 10,
            _ => 6 / 3,
        };
        assert_eq!(patience(action), Duration::from_secs(most), "{action:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_fetch_gets_what_its_meter_has_one_batch_at_least_and_nothing_while_its_caller_owes() {
    let (quotas, who, now) = (quotas(), who(), Instant::now());
    assert_eq!(quotas.begin_fetch(&who, now).await, Allowance::AtMost(10));
    quotas.take(&who, Meter::Fetch, 10);
    assert_eq!(quotas.begin_fetch(&who, now).await, Allowance::AtMost(1));
    quotas.take(&who, Meter::Fetch, 100);
    let nothing = quotas.begin_fetch(&who, now).await;
    assert_eq!(nothing.cut(1000), 0);
    assert_eq!(nothing.owes().unwrap().meter, Meter::Fetch);
    let produced = quotas.begin_produce(&who, 5, now).await;
    assert_eq!(produced, Ok(Duration::ZERO), "the meters do not touch");
}

#[test]
fn every_kind_has_a_word_of_kafka_that_says_it_failed() {
    for kind in Kind::ALL {
        let code = kafka_code(*kind);
        assert!(
            !code.is_none() && code != ErrorCode::UnknownServerError,
            "{kind:?}"
        );
    }
}
