//! A folder that goes away under its user: unmounted, or moved.

use futures::TryStreamExt;
use millstream_tier::{Before, open_store};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions};
use std::sync::Arc;

fn store_in(folder: &std::path::Path) -> Arc<dyn ObjectStore> {
    open_store(&format!("file://{}", folder.display()), Before::Unknown)
        .unwrap()
        .store
}

fn is_gone<T>(result: Result<T, Error>) -> bool {
    let Err(error) = result else { return false };
    let text = error.to_string();
    !matches!(error, Error::NotFound { .. })
        && text.contains("cluster.json is missing; is its file system mounted, and is --store right?")
}

#[tokio::test]
async fn nothing_is_written_to_a_folder_in_anothers_place_nor_believed_of_it() {
    let outer = tempfile::tempdir().unwrap();
    let (here, away) = (outer.path().join("store"), outer.path().join("away"));
    let store = store_in(&here);
    let (cluster, name, other) = (Path::from("cluster.json"), Path::from("a/b"), Path::from("a/c"));
    // Whoever is first writes before there is a cluster.
    store.put(&other, "1".into()).await.unwrap();
    store.put(&cluster, "{}".into()).await.unwrap();
    store.put(&name, "1".into()).await.unwrap();
    let mut begun = store.put_multipart(&Path::from("begun")).await.unwrap();

    std::fs::rename(&here, &away).unwrap();
    // As a mount point is: there, and empty.
    for is_there in [false, true] {
        if is_there {
            std::fs::create_dir(&here).unwrap();
        }
        assert!(is_gone(store.put(&name, "2".into()).await));
        let create = PutOptions::from(PutMode::Create);
        assert!(is_gone(
            store.put_opts(&Path::from("new"), "2".into(), create).await
        ));
        assert!(is_gone(store.put_multipart(&name).await));
        assert!(is_gone(store.copy(&name, &other).await));
        assert!(is_gone(store.rename(&name, &other).await));
        assert!(is_gone(store.get(&name).await));
        assert!(is_gone(store.head(&name).await));
        assert!(is_gone(store.get_range(&name, 0..1).await));
        assert!(is_gone(store.list_with_delimiter(None).await));
        assert!(is_gone(store.list(None).try_collect::<Vec<_>>().await));
        assert!(is_gone(store.delete(&name).await));
        let left = std::fs::read_dir(&here).map_or(0, |names| names.count());
        assert_eq!(left, 0, "nothing was made there");
    }
    assert!(begun.complete().await.is_err());

    std::fs::remove_dir(&here).unwrap();
    std::fs::rename(&away, &here).unwrap();
    assert_eq!(store.get(&name).await.unwrap().bytes().await.unwrap(), "1");
    store.put(&name, "3".into()).await.unwrap();
    store.delete(&other).await.unwrap();
    let missing = store.get(&other).await;
    assert!(matches!(missing, Err(Error::NotFound { .. })), "that is true");
    assert_eq!(store.list(None).try_collect::<Vec<_>>().await.unwrap().len(), 2);
}

/// The cluster was made by an earlier process: it is seen when the folder is opened.
#[tokio::test]
async fn a_folder_that_holds_a_cluster_already_is_known_by_it() {
    let outer = tempfile::tempdir().unwrap();
    let (here, away) = (outer.path().join("store"), outer.path().join("away"));
    let cluster = Path::from("cluster.json");
    store_in(&here).put(&cluster, "{}".into()).await.unwrap();
    let store = store_in(&here);
    std::fs::rename(&here, &away).unwrap();
    assert!(is_gone(store.put(&Path::from("a"), "1".into()).await));
    assert!(!here.exists());
}

/// A node that has joined begins while its store is not mounted: there is nothing at the path, or an empty folder.
#[tokio::test]
async fn a_folder_that_held_a_cluster_is_missed_from_the_first_moment_on() {
    let outer = tempfile::tempdir().unwrap();
    let (here, away) = (outer.path().join("store"), outer.path().join("away"));
    let cluster = Path::from("cluster.json");
    store_in(&here).put(&cluster, "{}".into()).await.unwrap();
    std::fs::rename(&here, &away).unwrap();
    for is_there in [false, true] {
        if is_there {
            std::fs::create_dir(&here).unwrap();
        }
        let url = format!("file://{}", here.display());
        let store = open_store(&url, Before::HeldCluster).unwrap().store;
        assert!(is_gone(store.get(&cluster).await));
        assert!(is_gone(store.put(&Path::from("a"), "1".into()).await));
        assert!(is_gone(store.list(None).try_collect::<Vec<_>>().await));
        assert!(is_gone(store.delete(&Path::from("a")).await));
        let left = std::fs::read_dir(&here).map_or(0, |names| names.count());
        assert_eq!((here.exists(), left), (is_there, 0), "nothing was made there");
        if is_there {
            std::fs::remove_dir(&here).unwrap();
        }
        std::fs::rename(&away, &here).unwrap();
        assert_eq!(store.get(&cluster).await.unwrap().bytes().await.unwrap(), "{}");
        std::fs::rename(&here, &away).unwrap();
    }
}
