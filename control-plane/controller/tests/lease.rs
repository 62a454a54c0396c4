//! What a process knows of the lease, and who ends its rest.

#![allow(clippy::unwrap_used)]

use millstream_catalog::StoreSettings;
use millstream_controller::{Handle, LeaseSeen, Settings, run};
use millstream_metadata::{Actor, CreateOrganisation, Refusal};
use millstream_model::JournalId;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(20);

fn start(
    store: &Arc<dyn ObjectStore>,
    number: u128,
    lease_interval: Duration,
) -> (Handle, CancellationToken) {
    let settings = Settings {
        lease_interval,
        lease_stale: Duration::from_secs(7200),
        ..Settings::new(
            Uuid::from_u128(1),
            JournalId(Uuid::from_u128(number)),
            format!("node{number}:8080"),
            StoreSettings::new(Path::default(), false),
        )
    };
    let shutdown = CancellationToken::new();
    (run(Arc::clone(store), settings, shutdown.clone()), shutdown)
}

async fn once(handle: &Handle, wanted: impl FnMut(&LeaseSeen) -> bool) -> LeaseSeen {
    let mut lease = handle.lease();
    let found = timeout(SOON, lease.wait_for(wanted)).await.unwrap();
    found.unwrap().clone()
}

#[tokio::test]
async fn a_standby_knows_for_whom_it_waits() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let soon = Duration::from_millis(20);
    let (first, end_first) = start(&store, 1, soon);
    assert_eq!(timeout(SOON, first.active()).await.unwrap().unwrap(), 1);
    let own = once(&first, |seen| seen.is_held).await;
    assert_eq!((own.term, own.waiting_since), (1, None));
    let renewed = own.renewed.unwrap();
    // Also before it finds out that another one may have it: a store that takes no renewals takes nothing else.
    let stale = Duration::from_secs(7200);
    assert!(own.holds(renewed + stale - Duration::from_millis(1)));
    assert!(!own.holds(renewed + stale));
    once(&first, |seen| seen.renewed > Some(renewed)).await;

    let (second, end_second) = start(&store, 2, soon);
    let seen = once(&second, |seen| seen.waiting_since.is_some()).await;
    assert_eq!(
        (seen.is_held, seen.term, seen.address.as_deref()),
        (false, 1, Some("node1:8080"))
    );
    // The other's renewals are seen, and since when one waits stays.
    let later = once(&second, |now| now.renewed > seen.renewed).await;
    assert_eq!(later.waiting_since, seen.waiting_since);
    end_first.cancel();
    assert_eq!(timeout(SOON, second.active()).await.unwrap().unwrap(), 2);
    let own = once(&second, |seen| seen.is_held).await;
    assert_eq!(
        (own.term, own.address.as_deref(), own.waiting_since),
        (2, Some("node2:8080"), None)
    );
    timeout(SOON, first.stopped()).await.unwrap();
    assert!(!first.lease().borrow().is_held);
    end_second.cancel();
    timeout(SOON, second.stopped()).await.unwrap();
}

/// The store is looked at once an hour here: a command that is refused has it looked at now.
#[tokio::test]
async fn a_command_that_is_refused_triggers_the_next_look() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (first, end_first) = start(&store, 1, Duration::from_millis(20));
    timeout(SOON, first.active()).await.unwrap().unwrap();
    let (second, end_second) = start(&store, 2, Duration::from_secs(3600));
    once(&second, |seen| seen.waiting_since.is_some()).await;
    end_first.cancel();
    timeout(SOON, first.stopped()).await.unwrap();
    store.delete(&Path::from("lease.json")).await.unwrap();
    let command = || CreateOrganisation { name: "a".into() };
    let mut answer = second.submit(Actor::System, command()).await;
    assert_eq!(answer, Err(Refusal::NotController));
    timeout(SOON, second.active()).await.unwrap().unwrap();
    answer = second.submit(Actor::System, command()).await;
    assert!(answer.is_ok(), "{answer:?}");
    end_second.cancel();
    timeout(SOON, second.stopped()).await.unwrap();
}
