//! The controller's task over a real SlateDB: take-over, fencing, restart, and who is told what.

#![allow(clippy::unwrap_used)]

use millstream_catalog::{CatalogCopy, Identity, Joining, StoreSettings, establish};
use millstream_controller::{
    CopySettings, Handle, Lease, LeaseWatcher, Seen, Sessions, Settings, Trust, Verdict,
    replace_bootstrap_key, run,
};
use millstream_metadata::{
    Actor, Change, Commands, CreateOrganisation, Heartbeat, HostPort, Image, NodeRow, Refusal, RegisterNode,
    ReplaceBootstrapKey, Request, RevokeKey, Row,
};
use millstream_model::{JournalId, NodeId, Registration, TimestampMs};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const SOON: Duration = Duration::from_secs(20);

fn journal(number: u128) -> JournalId {
    JournalId(Uuid::from_u128(number))
}

fn settings(number: u128) -> Settings {
    let catalog = StoreSettings {
        retries_max: 1,
        ..StoreSettings::new(Path::default(), false)
    };
    Settings {
        lease_interval: Duration::from_millis(30),
        lease_stale: Duration::from_millis(150),
        ..Settings::new(
            Uuid::from_u128(1),
            journal(number),
            format!("node{number}:8080"),
            catalog,
        )
    }
}

struct Process {
    handle: Handle,
    shutdown: CancellationToken,
}

impl Process {
    fn start(store: &Arc<dyn ObjectStore>, number: u128) -> Process {
        Process::start_with(store, settings(number))
    }

    fn start_with(store: &Arc<dyn ObjectStore>, settings: Settings) -> Process {
        let shutdown = CancellationToken::new();
        let handle = run(Arc::clone(store), settings, shutdown.clone());
        Process { handle, shutdown }
    }

    async fn active(&self) -> u64 {
        timeout(SOON, self.handle.active()).await.unwrap().unwrap()
    }

    async fn stop(self) {
        self.shutdown.cancel();
        timeout(SOON, self.handle.stopped()).await.unwrap();
    }
}

fn organisation(name: &str) -> CreateOrganisation {
    CreateOrganisation { name: name.into() }
}

fn names(image: &Image) -> Vec<String> {
    let mut names: Vec<String> = image.organisations().map(|row| row.name.clone()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_restart_goes_on_where_it_ended() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let first = Process::start(&store, 1);
    assert_eq!(first.active().await, 1);
    let key = first.handle.bootstrap(1).await.unwrap().unwrap();
    let mut updates = first.handle.updates();
    let committed = first
        .handle
        .submit(Actor::System, organisation("a"))
        .await
        .unwrap();
    let image = timeout(
        SOON,
        first.handle.image_watch().wait_for_version(committed.version),
    )
    .await
    .unwrap()
    .unwrap();
    assert_eq!(names(&image), ["a", "default"]);
    let update = updates.recv().await.unwrap();
    assert_eq!((update.term, update.version), (1, committed.version));
    let refused = first.handle.submit(Actor::System, organisation("a")).await;
    assert!(
        matches!(refused, Err(Refusal::AlreadyExists { .. })),
        "{refused:?}"
    );
    assert_eq!(first.handle.unconfirmed(committed.version).await, Ok(Vec::new()));
    let handle = first.handle.clone();
    first.stop().await;
    assert_eq!(
        handle.submit(Actor::System, organisation("late")).await,
        Err(Refusal::NotController)
    );

    let replaced = replace_bootstrap_key(Arc::clone(&store), &settings(1).catalog, 1)
        .await
        .unwrap();
    assert_ne!(replaced.id, key.id);
    let second = Process::start(&store, 1);
    assert_eq!(second.active().await, 3);
    let image = second.handle.image();
    assert_eq!(names(&image), ["a", "default"]);
    assert!(image.active_key(&key.id).is_some() && image.active_key(&replaced.id).is_some());
    assert_eq!(second.handle.bootstrap(1).await.unwrap(), None);
    second.stop().await;
}

#[tokio::test]
async fn commands_at_once_are_all_answered_in_few_transactions() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let process = Process::start(&store, 1);
    process.active().await;
    let before = process.handle.image().version();
    let submits = (0..200).map(|number| {
        let handle = process.handle.clone();
        tokio::spawn(async move {
            handle
                .submit(Actor::System, organisation(&format!("o{}", number / 2)))
                .await
        })
    });
    let mut done = 0;
    for submit in submits.collect::<Vec<_>>() {
        match submit.await.unwrap() {
            Ok(_) => done += 1,
            Err(refusal) => assert!(matches!(refusal, Refusal::AlreadyExists { .. }), "{refusal:?}"),
        }
    }
    assert_eq!(done, 100, "of each pair one was made, one refused");
    assert_eq!(process.handle.image().organisations().count(), 100);
    assert!(process.handle.image().version() - before < 100);
    process.stop().await;
}

#[tokio::test]
async fn a_standby_takes_over_when_the_lease_is_released_and_only_then() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let first = Process::start(&store, 1);
    first.active().await;
    first
        .handle
        .submit(Actor::System, organisation("a"))
        .await
        .unwrap();
    // To it no lease is stale within this test: what it takes over was released. `LeaseWatcher` says when one is stale.
    let patient = Settings {
        lease_stale: Duration::from_secs(24 * 3600),
        ..settings(2)
    };
    let second = Process::start_with(&store, patient);
    let refused = second.handle.submit(Actor::System, organisation("b")).await;
    assert_eq!(refused, Err(Refusal::NotController));
    let mut seen = second.handle.lease();
    let mut renewed = None;
    for _ in 0..3 {
        let again = seen.wait_for(|seen| seen.renewed.is_some() && seen.renewed != renewed);
        renewed = timeout(SOON, again).await.unwrap().unwrap().renewed;
        assert_eq!(second.handle.term(), None);
    }
    first.stop().await;
    assert_eq!(second.active().await, 2);
    assert_eq!(names(&second.handle.image()), ["a"]);
    second
        .handle
        .submit(Actor::System, organisation("b"))
        .await
        .unwrap();
    second.stop().await;
}

#[tokio::test]
async fn a_controller_that_is_fenced_steps_down_and_says_what_it_does_not_know() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let first = Process::start(&store, 1);
    first.active().await;
    first
        .handle
        .submit(Actor::System, organisation("a"))
        .await
        .unwrap();
    // Somebody opens the catalog behind its back.
    let mut thief = millstream_catalog::Catalog::open(Arc::clone(&store), &settings(2).catalog)
        .await
        .unwrap();
    let outcome = first.handle.submit(Actor::System, organisation("b")).await;
    assert!(
        matches!(outcome, Err(Refusal::Unknown { .. } | Refusal::NotController)),
        "{outcome:?}"
    );
    assert_eq!(
        names(&first.handle.image()),
        ["a"],
        "what is not durable is not shown"
    );
    let mut batch = millstream_catalog::Batch::new(thief.image());
    let mut seeds = millstream_catalog::Seeds::new(TimestampMs(1), [1; 32]);
    batch
        .submit(&mut seeds, &Actor::System, organisation("c"))
        .unwrap();
    // It may have been fenced in turn by now: the first process takes over again once its lease is stale.
    let stolen = thief.commit(batch).await.is_ok();
    drop(thief);
    let mut terms = first.handle.updates();
    while first.active().await < 3 {
        let _ = timeout(SOON, terms.recv()).await.unwrap();
    }
    let expected: &[&str] = if stolen { &["a", "c"] } else { &["a"] };
    assert_eq!(names(&first.handle.image()), expected);
    first.stop().await;
}

/// One that was overthrown without noticing knows old rows only: it turns no node away on the strength of them.
#[tokio::test]
async fn a_controller_that_is_fenced_turns_nobody_away() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let first = Process::start(&store, 1);
    first.active().await;
    let thief = millstream_catalog::Catalog::open(Arc::clone(&store), &settings(2).catalog)
        .await
        .unwrap();
    let beat = Heartbeat {
        registration: Registration(7),
        version: 1,
    };
    let refused = first.handle.submit(Actor::Node(NodeId(9)), beat).await;
    assert_eq!(refused, Err(Refusal::NotController));
    drop(thief);
    first.stop().await;
}

#[tokio::test]
async fn a_node_registers_beats_and_reports() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let process = Process::start(&store, 1);
    process.active().await;
    let address = |port| HostPort {
        host: "localhost".into(),
        port,
    };
    let register = |number| RegisterNode {
        journal: journal(number),
        registration_last: None,
        kafka: address(9092),
        http: address(8080),
        feature_level_max: 1,
        damaged: false,
    };
    process.handle.submit(Actor::System, register(7)).await.unwrap();
    let committed = process
        .handle
        .submit_for_node(Actor::System, register(2).into_command())
        .await
        .unwrap();
    let other = RegisterNode::reply_of(committed.reply);
    let waiting = process.handle.unconfirmed(committed.version).await.unwrap();
    assert_eq!(waiting, [other.id], "a node in another process has not confirmed");
    let beat = Heartbeat {
        registration: other.registration,
        version: committed.version,
    };
    let version = process.handle.image().version();
    let hears = |process: &Process, node| Commands::hears(&process.handle, node);
    assert!(!hears(&process, other.id), "it has a session, and was not heard");
    process.handle.submit(Actor::Node(other.id), beat).await.unwrap();
    assert!(hears(&process, other.id));
    assert_eq!(
        process.handle.image().version(),
        version,
        "a heartbeat writes nothing"
    );
    assert_eq!(
        process.handle.unconfirmed(committed.version).await,
        Ok(Vec::new())
    );
    let old = Heartbeat {
        registration: Registration(0),
        version: 0,
    };
    let refused = process.handle.submit(Actor::Node(other.id), old).await;
    assert!(matches!(refused, Err(Refusal::Fenced { .. })), "{refused:?}");
    process.stop().await;
}

fn lease(number: u128, term: u64, counter: u64) -> Option<Lease> {
    Some(Lease {
        format: 1,
        cluster: Uuid::from_u128(1),
        term,
        counter,
        journal: journal(number),
        address: String::new(),
        released: false,
    })
}

#[test]
fn a_lease_is_judged_by_its_counter() {
    let stale = Duration::from_millis(9000);
    let mut watcher = LeaseWatcher::new(Some(journal(1)), stale);
    let table = [
        (0, lease(2, 5, 1), Verdict::Wait),
        (8000, lease(2, 5, 1), Verdict::Wait),
        (8500, lease(2, 5, 2), Verdict::Wait),
        // The one that was overthrown goes on writing: it neither counts nor hides the other's standstill.
        (12_000, lease(3, 4, 99), Verdict::Wait),
        (17_499, lease(2, 5, 2), Verdict::Wait),
        (17_500, lease(3, 4, 100), Verdict::TakeOver),
    ];
    for (now, found, verdict) in table {
        assert_eq!(watcher.observe(now, found.clone()), verdict, "{now} {found:?}");
    }
    // What it gives up at its end it does not have any more.
    let mut watcher = LeaseWatcher::new(Some(journal(3)), stale);
    assert_eq!(watcher.observe(0, lease(2, 5, 1)), Verdict::Wait);
    for (released, number) in [(true, 4), (false, 3)] {
        let old = lease(number, 4, 7).map(|lease| Lease { released, ..lease });
        assert_eq!(watcher.observe(1, old), Verdict::Wait);
    }
    // One that does not read counts while somebody writes it.
    for (now, writing, verdict) in [
        (10_000, "a", Verdict::Wait),
        (15_000, "b", Verdict::Wait),
        (23_999, "b", Verdict::Wait),
        (24_000, "b", Verdict::TakeOver),
    ] {
        assert_eq!(watcher.observe_unreadable(now, writing.into()), verdict, "{now}");
    }
    assert_eq!(LeaseWatcher::new(None, stale).observe(0, None), Verdict::TakeOver);
    assert_eq!(
        LeaseWatcher::new(Some(journal(1)), stale).observe(0, lease(1, 5, 1)),
        Verdict::TakeOver
    );
    assert_eq!(
        LeaseWatcher::new(None, stale).observe(0, lease(1, 5, 1)),
        Verdict::Wait
    );
    let released = lease(2, 5, 1).map(|lease| Lease {
        released: true,
        ..lease
    });
    assert_eq!(
        LeaseWatcher::new(None, stale).observe(0, released),
        Verdict::TakeOver
    );
}

#[test]
fn sessions_end_but_not_by_the_judge_being_late() {
    let mut image = Image::new();
    for number in 1..=3 {
        let address = HostPort {
            host: "h".into(),
            port: 1,
        };
        image.apply(&Change::Put(Row::Node(Arc::new(NodeRow {
            id: NodeId(i32::try_from(number).unwrap()),
            journal: journal(number),
            registration: Registration(1),
            registration_confirmed: Registration(1),
            kafka: address.clone(),
            http: address,
            feature_level_max: 1,
            lost: false,
            registered: TimestampMs(0),
        }))));
    }
    let mut sessions = Sessions::new([journal(1)].into(), Duration::from_millis(9000), 0);
    let beat = |sessions: &mut Sessions, now| sessions.heard(now, NodeId(2), Registration(1), 0);
    for now in [3000, 6000, 9000] {
        beat(&mut sessions, now);
        assert_eq!(sessions.expired(now, &image), []);
    }
    beat(&mut sessions, 12_000);
    assert_eq!(
        sessions.expired(12_000, &image),
        [(journal(3), Registration(1))],
        "node 1 is the judge itself"
    );
    // A pause of the judge: everybody is heard of again first.
    assert_eq!(sessions.expired(40_000, &image), []);
    for now in [43_000, 46_000] {
        assert_eq!(sessions.expired(now, &image), []);
    }
    assert_eq!(sessions.expired(49_000, &image).len(), 2);
    // Half a session is as late as the judge may be.
    for (pause, judged) in [(4_500, 2), (4_501, 0)] {
        let mut sessions = Sessions::new([journal(1)].into(), Duration::from_millis(9000), 0);
        for now in [1, 4_501] {
            assert_eq!(sessions.expired(now, &image), []);
        }
        assert_eq!(sessions.expired(4_501 + pause, &image).len(), judged, "{pause}");
    }
    assert_eq!(sessions.unconfirmed(&image, 1, 1), [NodeId(2), NodeId(3)]);
    assert_eq!(
        sessions.unconfirmed(&image, 1, 0),
        [NodeId(1), NodeId(2), NodeId(3)],
        "the judge's own copy on disk is behind"
    );
}

#[test]
fn trust_ends_by_what_the_store_shows_and_comes_back_with_a_controller() {
    use Seen::{Another, Nobody, Reached};
    let table: [(&[(u64, Seen)], bool); 9] = [
        (&[(59_999, Another)], false),
        (&[(60_000, Another)], true),
        (&[(3_599_999, Nobody)], false),
        (&[(3_600_000, Nobody)], true),
        // The store comes back and shows another one: a revocation may have been missed.
        (&[(1_800_000, Nobody), (1_800_001, Another)], true),
        (&[(50_000, Reached), (100_000, Another)], false),
        (&[(50_000, Reached), (110_000, Another)], true),
        // Nothing but a controller restores it.
        (&[(60_000, Another), (60_001, Nobody)], true),
        (&[(60_000, Another), (60_001, Reached), (60_002, Nobody)], false),
    ];
    for (seen, over) in table {
        let mut trust = Trust::new(0);
        let mut found = false;
        for (now_ms, seen) in seen {
            found = trust.observe(*now_ms, *seen);
        }
        assert_eq!(found, over, "{seen:?}");
    }
}

fn copying(folder: &std::path::Path) -> Settings {
    Settings {
        copy: Some(CopySettings::new(folder.join("catalog"), "millstream".into())),
        ..settings(1)
    }
}

fn register(number: u128) -> RegisterNode {
    let address = HostPort {
        host: "localhost".into(),
        port: 9092,
    };
    RegisterNode {
        journal: journal(number),
        registration_last: None,
        kafka: address.clone(),
        http: address,
        feature_level_max: 1,
        damaged: false,
    }
}

#[tokio::test]
async fn the_nodes_copy_follows_the_catalog() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let folder = tempfile::tempdir().unwrap();
    let shutdown = CancellationToken::new();
    let handle = run(Arc::clone(&store), copying(folder.path()), shutdown.clone());
    timeout(SOON, handle.active()).await.unwrap().unwrap();
    handle.submit(Actor::System, organisation("a")).await.unwrap();
    timeout(SOON, handle.copy(handle.image().version()))
        .await
        .unwrap();
    let copy = CatalogCopy::load(&folder.path().join("catalog")).unwrap();
    assert_eq!(copy.unwrap().image, *handle.image());
    shutdown.cancel();
    timeout(SOON, handle.stopped()).await.unwrap();
}

#[tokio::test]
async fn a_revocation_is_in_the_nodes_copy_before_it_counts_as_confirmed() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let folder = tempfile::tempdir().unwrap();
    let shutdown = CancellationToken::new();
    let mut settings = copying(folder.path());
    if let Some(copy) = &mut settings.copy {
        // What is confirmed within this test was written because it was urgent.
        copy.interval_min = Duration::from_secs(24 * 3600);
    }
    let handle = run(Arc::clone(&store), settings, shutdown.clone());
    timeout(SOON, handle.active()).await.unwrap().unwrap();
    let key = handle.bootstrap(1).await.unwrap().unwrap();
    let node = handle.submit(Actor::System, register(7)).await.unwrap().reply;
    let load = || CatalogCopy::load(&folder.path().join("catalog")).unwrap();

    let revoke = RevokeKey {
        tenant: key.tenant,
        key: key.id,
    };
    let committed = handle.submit(Actor::System, revoke).await.unwrap();
    let confirmed = async {
        while !handle.unconfirmed(committed.version).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, confirmed).await.unwrap();
    assert!(load().unwrap().image.active_key(&key.id).is_none());

    // A disk that takes no copy does not confirm.
    let path = folder.path().to_owned();
    std::fs::remove_file(path.join("catalog")).unwrap();
    std::fs::create_dir_all(path.join("catalog/in-the-way")).unwrap();
    let other = handle
        .submit(Actor::System, ReplaceBootstrapKey { root_version: 1 })
        .await
        .unwrap()
        .reply;
    let revoke = RevokeKey {
        tenant: other.tenant,
        key: other.id,
    };
    let committed = handle.submit(Actor::System, revoke).await.unwrap();
    assert_eq!(handle.unconfirmed(committed.version).await, Ok(vec![node.id]));
    shutdown.cancel();
    timeout(SOON, handle.stopped()).await.unwrap();
}

#[tokio::test]
async fn a_start_without_the_store_knows_the_copy_and_looks_at_the_clusters_identity_first() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let joining = Joining {
        known: None,
        name: Some("millstream".into()),
        root_key_checks: [(1, "check".to_owned())].into(),
        fresh: Uuid::from_u128(1),
    };
    let Identity { id, .. } = establish(store.as_ref(), &Path::default(), &joining)
        .await
        .unwrap();
    let known = |root_key: &str| Joining {
        known: Some(id),
        root_key_checks: [(1, root_key.to_owned())].into(),
        ..joining.clone()
    };
    let first = Process::start(&store, 1);
    first.active().await;
    first
        .handle
        .submit(Actor::System, organisation("a"))
        .await
        .unwrap();
    let image = first.handle.image();
    first.stop().await;
    for (root_key, joins) in [("another", false), ("check", true)] {
        let shutdown = CancellationToken::new();
        let settings = Settings {
            known: image.as_ref().clone(),
            joining: Some(known(root_key)),
            ..settings(1)
        };
        let handle = run(Arc::clone(&store), settings, shutdown.clone());
        assert_eq!(names(&handle.image()), ["a"], "at once");
        if joins {
            timeout(SOON, handle.active()).await.unwrap().unwrap();
            assert!(handle.image().term() > image.term());
        } else {
            // A request is answered between two attempts: both came to nothing.
            for _ in 0..2 {
                let asked = handle.submit(Actor::System, organisation("b"));
                let refused = timeout(SOON, asked).await.unwrap();
                assert_eq!(refused, Err(Refusal::NotController));
            }
            assert_eq!(
                handle.term(),
                None,
                "the catalog is not opened with a wrong root key"
            );
        }
        shutdown.cancel();
        timeout(SOON, handle.stopped()).await.unwrap();
    }
}

async fn leave_lease(store: &Arc<dyn ObjectStore>, lease: &Lease) {
    let bytes = serde_json::to_vec(lease).unwrap();
    store.put(&Path::from("lease.json"), bytes.into()).await.unwrap();
}

/// log.md 38: of a controller that was killed, and of this very journal before its process was killed.
#[tokio::test]
async fn a_lease_that_stands_still_is_waited_out_and_ones_own_is_not() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    leave_lease(&store, &lease(9, 1, 5).unwrap()).await;
    let process = Process::start(&store, 1);
    let mut seen = process.handle.lease();
    let waiting = seen.wait_for(|seen| seen.waiting_since.is_some());
    timeout(SOON, waiting).await.unwrap().unwrap();
    process.active().await;
    process.stop().await;
    // What it writes itself: cluster, term, counter, address.
    let got = store.get(&Path::from("lease.json")).await.unwrap();
    let written: Lease = serde_json::from_slice(&got.bytes().await.unwrap()).unwrap();
    assert_eq!(
        (
            written.cluster,
            written.term,
            written.journal,
            written.address.as_str(),
            written.released
        ),
        (Uuid::from_u128(1), 1, journal(1), "node1:8080", true)
    );
    assert!(written.counter > 0);

    let released = Lease {
        released: false,
        ..written
    };
    leave_lease(&store, &released).await;
    let shutdown = CancellationToken::new();
    let patient = Settings {
        lease_stale: Duration::from_secs(3600),
        ..settings(1)
    };
    let handle = run(Arc::clone(&store), patient, shutdown.clone());
    assert_eq!(timeout(SOON, handle.active()).await.unwrap().unwrap(), 2);
    shutdown.cancel();
    timeout(SOON, handle.stopped()).await.unwrap();
}

/// It is a hint: whatever lies there, a cluster gets its controller.
#[tokio::test]
async fn a_lease_that_does_not_read_stops_nobody_for_long() {
    let newer = br#"{"format": 99}"#.to_vec();
    let foreign = serde_json::to_vec(&Lease {
        cluster: Uuid::from_u128(2),
        ..lease(9, 1, 5).unwrap()
    });
    for bytes in [b"garbage".to_vec(), newer, foreign.unwrap(), vec![b'x'; 100_000]] {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        store.put(&Path::from("lease.json"), bytes.into()).await.unwrap();
        let process = Process::start(&store, 1);
        process.active().await;
        process.stop().await;
    }
}

/// A data folder that was copied while its process runs: the copy finds "its own" lease and takes over, and registers
/// anew. The first process must not serve on beside it (log.md 13, 14).
#[tokio::test]
async fn of_two_processes_with_one_journal_the_first_gives_up() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let first = Process::start(&store, 1);
    first.active().await;
    let twin = Process::start(&store, 1);
    twin.active().await;
    let reason = timeout(SOON, first.handle.given_up()).await.unwrap();
    assert!(reason.contains("copy of this data folder"), "{reason}");
    assert_eq!(
        first.handle.submit(Actor::System, organisation("a")).await,
        Err(Refusal::NotController)
    );
    twin.handle
        .submit(Actor::System, organisation("b"))
        .await
        .unwrap();
    first.stop().await;
    twin.stop().await;
}

/// One that is refused as rolled back is gone at once, and the one that belongs here goes on.
#[tokio::test]
async fn a_twin_that_is_soon_gone_is_outlived() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let first = Process::start(&store, 1);
    let term = first.active().await;
    let gone = millstream_catalog::Catalog::open(Arc::clone(&store), &settings(1).catalog)
        .await
        .unwrap();
    let left = Lease {
        term: gone.image().term(),
        ..lease(1, 0, 1).unwrap()
    };
    let outlived = async {
        loop {
            leave_lease(&store, &left).await;
            if first.handle.term().is_none() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    timeout(SOON, outlived).await.unwrap();
    gone.close().await;
    let again = timeout(SOON, first.handle.active()).await.unwrap().unwrap();
    assert!(again > term);
    first.stop().await;
}

/// log.md 41: a node that meets an unknown version stops, and says which release it needs.
#[tokio::test]
async fn a_catalog_of_a_newer_release_is_not_decided_about() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let process = Process::start(&store, 1);
    process.active().await;
    process.stop().await;
    let db = slatedb::Db::open(Path::from("catalog"), Arc::clone(&store))
        .await
        .unwrap();
    let key =
        millstream_metadata::RowKey::Organisation(millstream_metadata::OrganisationId(Uuid::from_u128(5)));
    db.put(&key.encode(), b"\x63{}").await.unwrap();
    db.close().await.unwrap();
    let process = Process::start(&store, 1);
    let stopped = timeout(SOON, process.handle.active()).await.unwrap();
    let told = stopped.unwrap_err().to_string();
    assert!(told.contains("start a newer release"), "{told}");
    assert!(timeout(SOON, process.handle.given_up()).await.is_ok());
    let refused = process.handle.submit(Actor::System, organisation("a")).await;
    assert_eq!(refused, Err(Refusal::NotController));
    process.stop().await;
}
