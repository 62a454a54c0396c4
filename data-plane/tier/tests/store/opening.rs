//! From a URL to a store.

use millstream_tier::{Before, OpenError, open_store};
use object_store::ObjectStoreExt;
use object_store::path::Path;

#[tokio::test]
async fn a_folder_is_made_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("not/yet");
    let opened = open_store(&format!("file://{}", inside.display()), Before::Unknown).unwrap();
    assert_eq!(opened.prefix, Path::default());
    opened
        .store
        .put(&Path::from("a/b"), "hello".into())
        .await
        .unwrap();
    assert_eq!(std::fs::read(inside.join("a/b")).unwrap(), b"hello");
}

/// The names in a folder and all below it.
fn names(folder: &std::path::Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => names.append(&mut self::names(&entry.path())),
            false => names.push(entry.file_name().into_string().unwrap()),
        }
    }
    names
}

#[tokio::test]
async fn a_folder_takes_objects_in_parts_of_any_length() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_store(&format!("file://{}", folder.path().display()), Before::Unknown)
        .unwrap()
        .store;
    let bytes: Vec<u8> = (0..5_000_000u32).map(|at| (at % 251) as u8).collect();
    // Parts that begin and end within pages, at pages, and that are smaller than one; in pieces of their own.
    for (number, cuts) in [vec![], vec![4096, 4_500_000], vec![1, 100, 9_000, 4_200_001]]
        .into_iter()
        .enumerate()
    {
        let name = Path::from(format!("made/anew/{number}"));
        let mut upload = store.put_multipart(&name).await.unwrap();
        let ends = cuts.iter().copied().chain([bytes.len()]);
        let mut from = 0;
        let mut parts = Vec::new();
        for to in ends {
            let pieces = bytes[from..to].chunks(70_001).map(bytes::Bytes::copy_from_slice);
            parts.push(upload.put_part(pieces.collect()));
            from = to;
        }
        parts.reverse();
        futures::future::try_join_all(parts).await.unwrap();
        assert!(store.head(&name).await.is_err(), "not before it is complete");
        upload.complete().await.unwrap();
        assert_eq!(store.get(&name).await.unwrap().bytes().await.unwrap(), bytes);
        assert!(upload.complete().await.is_err() && upload.abort().await.is_ok());
        assert_eq!(store.head(&name).await.unwrap().size, bytes.len() as u64);
    }
    assert_eq!(names(folder.path()).len(), 3);
}

#[tokio::test]
async fn an_upload_that_is_given_up_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = open_store(&format!("file://{}", folder.path().display()), Before::Unknown)
        .unwrap()
        .store;
    for abort in [true, false] {
        let mut upload = store.put_multipart(&Path::from("object")).await.unwrap();
        upload.put_part(vec![7; 10_000].into()).await.unwrap();
        assert_eq!(names(folder.path()).len(), 1);
        if abort {
            upload.abort().await.unwrap();
        }
        drop(upload);
        assert_eq!(names(folder.path()), Vec::<String>::new());
    }
}

#[test]
fn a_bucket_has_a_prefix() {
    let opened = open_store("s3://bucket/some/prefix/", Before::Unknown).unwrap();
    assert_eq!(opened.prefix, Path::from("some/prefix"));
    assert_eq!(
        open_store("s3://bucket", Before::Unknown).unwrap().prefix,
        Path::default()
    );
}

#[test]
fn other_urls_are_refused_in_words() {
    for url in [
        "",
        "folder",
        "file://relative",
        "http://x/y",
        "s3://",
        "s3:///prefix",
    ] {
        let error = open_store(url, Before::Unknown).unwrap_err();
        assert!(matches!(error, OpenError::Form { .. }), "{url}");
        assert!(error.to_string().contains("file:///folder or s3://bucket/prefix"));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = open_store(
        &format!("file://{}/below", file.path().display()),
        Before::Unknown,
    )
    .unwrap_err();
    assert!(matches!(error, OpenError::Folder { .. }), "{error}");
}

/// log.md 40, for folders: those above are not in the store, and so no object's name leads there.
#[test]
fn a_folder_inside_another_clusters_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.json");
    let inside = format!("file://{}/some/where", folder.path().display());
    std::fs::write(&file, r#"{"name": "of something else"}"#).unwrap();
    open_store(&inside, Before::Unknown).unwrap();
    std::fs::write(&file, r#"{"format": 1, "root_key_checks": {}}"#).unwrap();
    let error = open_store(&inside, Before::Unknown).unwrap_err();
    assert!(matches!(error, OpenError::Nested { .. }), "{error}");
    open_store(&format!("file://{}", folder.path().display()), Before::Unknown).unwrap();
}
