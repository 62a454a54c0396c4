//! From a URL to a store.

use millstream_tier::{OpenError, open_store};
use object_store::ObjectStoreExt;
use object_store::path::Path;

#[tokio::test]
async fn a_folder_is_made_and_used() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("not/yet");
    let opened = open_store(&format!("file://{}", inside.display())).unwrap();
    assert_eq!(opened.prefix, Path::default());
    opened
        .store
        .put(&Path::from("a/b"), "hello".into())
        .await
        .unwrap();
    assert_eq!(std::fs::read(inside.join("a/b")).unwrap(), b"hello");
}

#[test]
fn a_bucket_has_a_prefix() {
    let opened = open_store("s3://bucket/some/prefix/").unwrap();
    assert_eq!(opened.prefix, Path::from("some/prefix"));
    assert_eq!(open_store("s3://bucket").unwrap().prefix, Path::default());
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
        let error = open_store(url).unwrap_err();
        assert!(matches!(error, OpenError::Form { .. }), "{url}");
        assert!(error.to_string().contains("file:///folder or s3://bucket/prefix"));
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = open_store(&format!("file://{}/below", file.path().display())).unwrap_err();
    assert!(matches!(error, OpenError::Folder { .. }), "{error}");
}

/// LOG.md 40, for folders: those above are not in the store, and so no object's name leads there.
#[test]
fn a_folder_inside_another_clusters_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cluster.json");
    let inside = format!("file://{}/some/where", folder.path().display());
    std::fs::write(&file, r#"{"name": "of something else"}"#).unwrap();
    open_store(&inside).unwrap();
    std::fs::write(&file, r#"{"format": 1, "root_key_checks": {}}"#).unwrap();
    let error = open_store(&inside).unwrap_err();
    assert!(matches!(error, OpenError::Nested { .. }), "{error}");
    open_store(&format!("file://{}", folder.path().display())).unwrap();
}
