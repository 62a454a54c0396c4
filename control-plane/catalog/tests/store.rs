//! The catalog on a real SlateDB, over stores that fail: nothing acknowledged is lost, nobody writes after another.

#![expect(
    clippy::disallowed_methods,
    reason = "the store is a shell, and is tested as one"
)]
#![allow(clippy::unwrap_used)]

#[path = "store/faulty.rs"]
mod faulty;

use faulty::{Fault, Faulty};
use futures::StreamExt;
use millstream_catalog::{Batch, Catalog, CatalogError, Lost, Seeds, StoreSettings};
use millstream_metadata::{Actor, Command, CreateOrganisation, Image, RowKey};
use millstream_model::{TenantId, TimestampMs};
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

fn settings() -> StoreSettings {
    StoreSettings {
        retries_max: 1,
        timeout: Duration::from_secs(10),
        ..StoreSettings::new(Path::from("c"), true)
    }
}

async fn open(store: &Arc<dyn ObjectStore>) -> Catalog {
    Catalog::open(Arc::clone(store), &settings()).await.unwrap()
}

async fn organisation(catalog: &mut Catalog, name: &str) -> Result<(), Lost> {
    let mut batch = Batch::new(catalog.image());
    let command = Command::CreateOrganisation(CreateOrganisation { name: name.into() });
    let mut entropy = [0; 32];
    entropy[..name.len()].copy_from_slice(name.as_bytes());
    batch
        .add(&mut Seeds::new(TimestampMs(1), entropy), &Actor::System, &command)
        .unwrap();
    catalog.commit(batch).await.map(drop)
}

fn names(image: &Image) -> BTreeSet<String> {
    image.organisations().map(|row| row.name.clone()).collect()
}

fn local() -> (tempfile::TempDir, Arc<dyn ObjectStore>) {
    let folder = tempfile::tempdir().unwrap();
    let store = LocalFileSystem::new_with_prefix(folder.path())
        .unwrap()
        .with_fsync(true);
    (folder, Arc::new(store))
}

/// What a store must do for the catalog; run on each kind.
async fn contract(store: Arc<dyn ObjectStore>) {
    let mut first = open(&store).await;
    assert_eq!((first.image().term(), first.image().version()), (1, 1));
    organisation(&mut first, "a").await.unwrap();
    assert_eq!(names(first.image()), ["a".to_owned()].into());
    first.close().await;

    let mut second = open(&store).await;
    assert_eq!(names(second.image()), ["a".to_owned()].into());
    assert_eq!((second.image().term(), second.image().version()), (2, 3));
    organisation(&mut second, "b").await.unwrap();

    // Not closed: the next one fences it, and has all that it acknowledged.
    let mut third = open(&store).await;
    assert_eq!(names(third.image()), ["a".to_owned(), "b".to_owned()].into());
    assert_eq!(third.image().term(), 3);
    organisation(&mut third, "c").await.unwrap();
    assert_eq!(organisation(&mut second, "d").await, Err(Lost::Fenced));
    assert_eq!(
        names(second.image()),
        ["a".to_owned(), "b".to_owned()].into(),
        "a failed write is not applied"
    );
    organisation(&mut third, "e").await.unwrap();
    let events = third.reader().audit(2, |_| true).await.unwrap();
    assert_eq!(
        events
            .iter()
            .map(|event| event.resource.as_str())
            .collect::<Vec<_>>(),
        ["c", "e"]
    );
    third.close().await;

    let last = open(&store).await;
    let expected: BTreeSet<String> = ["a", "b", "c", "e"].map(str::to_owned).into();
    assert_eq!(names(last.image()), expected);
    last.close().await;
}

#[tokio::test]
async fn memory_keeps_the_contract() {
    contract(Arc::new(InMemory::new())).await;
}

#[tokio::test]
async fn a_local_directory_keeps_the_contract() {
    let (_folder, store) = local();
    contract(store).await;
}

#[tokio::test]
async fn a_store_that_errs_loses_nothing_acknowledged() {
    for seed in 0..3 {
        let faulty = Arc::new(Faulty::new(Arc::new(InMemory::new()), seed));
        let store: Arc<dyn ObjectStore> = Arc::clone(&faulty) as Arc<dyn ObjectStore>;
        let mut catalog = Some(open(&store).await);
        let (mut acknowledged, mut unknown) = (BTreeSet::new(), BTreeSet::new());
        for step in 0..20 {
            faulty.set(match step % 5 {
                2 => Fault::Before,
                3 => Fault::After,
                _ => Fault::None,
            });
            let name = format!("o{step}");
            let Some(open) = catalog.as_mut() else {
                faulty.set(Fault::None);
                catalog = Some(Catalog::open(Arc::clone(&store), &settings()).await.unwrap());
                continue;
            };
            match organisation(open, &name).await {
                Ok(()) => drop(acknowledged.insert(name)),
                Err(_) => {
                    unknown.insert(name);
                    catalog = None;
                }
            }
        }
        faulty.set(Fault::None);
        drop(catalog);
        let found = names(open(&store).await.image());
        assert!(
            acknowledged.is_subset(&found),
            "seed {seed}: lost {:?}",
            acknowledged.difference(&found)
        );
        let explained: BTreeSet<String> = acknowledged.union(&unknown).cloned().collect();
        assert!(found.is_subset(&explained), "seed {seed}");
        assert!(!unknown.is_empty(), "seed {seed}: the faults did something");
    }
}

#[tokio::test]
async fn a_store_that_hangs_is_given_up() {
    let faulty = Arc::new(Faulty::new(Arc::new(InMemory::new()), 1));
    let store: Arc<dyn ObjectStore> = Arc::clone(&faulty) as Arc<dyn ObjectStore>;
    let short = StoreSettings {
        timeout: Duration::from_millis(300),
        ..settings()
    };
    let mut catalog = Catalog::open(Arc::clone(&store), &short).await.unwrap();
    faulty.set(Fault::Hang);
    let lost = organisation(&mut catalog, "a").await;
    assert!(matches!(lost, Err(Lost::Store { .. })), "{lost:?}");
    drop(catalog);
    let opened = Catalog::open(Arc::clone(&store), &short).await;
    assert!(opened.is_err());
    faulty.set(Fault::None);
    open(&store).await;
}

/// The objects under a folder of the database.
async fn objects(store: &Arc<dyn ObjectStore>, folder: &str) -> usize {
    let prefix = Path::from(format!("c/catalog/{folder}"));
    store.list(Some(&prefix)).count().await
}

#[tokio::test]
async fn many_short_lives_leave_nothing_that_the_next_one_waits_for() {
    let (_folder, store) = local();
    let lives = 12;
    for life in 0..lives {
        let mut catalog = open(&store).await;
        organisation(&mut catalog, &format!("o{life}")).await.unwrap();
        catalog.close().await;
    }
    // Tables are merged only in a process that lives for a while: a ninth of them would have to wait for that.
    assert_eq!(objects(&store, "compacted").await, 0);
    let last = open(&store).await;
    assert_eq!(names(last.image()).len(), lives);
    last.close().await;
}

#[tokio::test]
async fn a_log_that_has_grown_long_is_moved_into_tables_whoever_wrote_it() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    for (life, long) in [(0, false), (1, false), (2, true)] {
        let mut catalog = open(&store).await;
        for number in 0..200 {
            organisation(&mut catalog, &format!("o{life}-{number}"))
                .await
                .unwrap();
        }
        while long && objects(&store, "compacted").await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(objects(&store, "compacted").await, usize::from(long));
        catalog.close().await;
    }
    let last = open(&store).await;
    assert_eq!(names(last.image()).len(), 600);
    last.close().await;
}

#[tokio::test]
async fn nothing_works_on_behind_a_writer_that_was_given_up() {
    let faulty = Arc::new(Faulty::new(Arc::new(InMemory::new()), 1));
    let store: Arc<dyn ObjectStore> = Arc::clone(&faulty) as Arc<dyn ObjectStore>;
    let short = StoreSettings {
        timeout: Duration::from_millis(300),
        ..settings()
    };
    let ended = async |what: &str| {
        let begun = std::time::Instant::now();
        let alive = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        while alive() > 0 {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{what}: {} tasks",
                alive()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    // Fenced.
    let mut first = open(&store).await;
    let mut second = open(&store).await;
    organisation(&mut second, "a").await.unwrap();
    assert_eq!(organisation(&mut first, "b").await, Err(Lost::Fenced));
    first.close().await;
    second.close().await;
    ended("fenced").await;
    // The store hangs in the middle of a commit, and comes back.
    let mut catalog = Catalog::open(Arc::clone(&store), &short).await.unwrap();
    faulty.set(Fault::Hang);
    assert!(organisation(&mut catalog, "c").await.is_err());
    catalog.close().await;
    faulty.set(Fault::None);
    ended("hung").await;
    // A row that does not read: the database was open already.
    spoil(&store).await;
    let refused = Catalog::open(Arc::clone(&store), &settings()).await;
    assert!(matches!(refused, Err(CatalogError::Row(_))), "{refused:?}");
    ended("unreadable").await;
}

/// Leaves a row of a newer release in the database.
async fn spoil(store: &Arc<dyn ObjectStore>) {
    let path = Path::from("c/catalog");
    let db = slatedb::Db::open(path, Arc::clone(store)).await.unwrap();
    let key = RowKey::VirtualCluster(TenantId(100_000_000_001)).encode();
    db.put(&key, b"\x63{}").await.unwrap();
    db.close().await.unwrap();
}
