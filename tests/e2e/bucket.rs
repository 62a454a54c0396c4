//! A bucket that would not keep what it is given is refused before anything is written to it (log.md 40).

use crate::harness::s3::{S3, on_s3, stored_at};
use crate::harness::server::{spawn, wait};
use crate::harness::{Server, Start, Work};
use serde_json::{Value, json};

fn rule(id: &str, prefix: &str, action: &Value) -> Value {
    let mut rule = json!({ "ID": id, "Status": "Enabled", "Filter": { "Prefix": prefix } });
    rule.as_object_mut()
        .unwrap()
        .extend(action.as_object().unwrap().clone());
    rule
}

/// What a start that has to fail says last.
fn refusal(work: &Work, start: &Start) -> String {
    let (mut child, log) = spawn(work, start, None);
    assert!(!wait(&mut child, &log).success());
    let told = std::fs::read_to_string(&log).unwrap();
    told.lines().last().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_whose_lifecycle_rules_would_take_objects_away_is_refused() {
    let Some(mut s3) = S3::start() else { return };
    let work = Work::new();
    let start = on_s3(Start::service(), &work, &s3.address());
    let expires = json!({ "Expiration": { "Days": 30 } });
    let archives = json!({ "Transitions": [{ "Days": 1, "StorageClass": "DEEP_ARCHIVE" }] });

    s3.set_lifecycle(&json!([rule("sweep", "", &expires)]));
    let told = refusal(&work, &start);
    assert!(
        told.contains(
            "lifecycle rule 'sweep' of bucket millstream deletes objects of this cluster: remove it"
        ),
        "{told}"
    );
    // Rules for others do no harm, nor do those that leave objects readable.
    let harmless = [
        rule("logs", "logs/", &expires),
        rule(
            "cheaper",
            "",
            &json!({ "Transitions": [{ "Days": 30, "StorageClass": "STANDARD_IA" }] }),
        ),
        rule(
            "parts",
            "",
            &json!({ "AbortIncompleteMultipartUpload": { "DaysAfterInitiation": 7 } }),
        ),
    ];
    s3.set_lifecycle(&json!(harmless));
    let server = Server::first(&work, start.clone());
    let identity = server.identity();
    assert!(!server.log().contains("does not tell"), "{}", server.log());
    assert!(server.stop().success());

    // A rule that came later is found by the next start, which must not take it for a store that is down.
    s3.set_lifecycle(&json!([rule("cold", "one/", &archives)]));
    let told = refusal(&work, &start);
    assert!(
        told.contains("lifecycle rule 'cold' of bucket millstream archives objects of this cluster"),
        "{told}"
    );
    s3.set_lifecycle(&json!([]));
    assert!(Server::again(&work, start, &identity).stop().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_bucket_is_named() {
    let Some(s3) = S3::start() else { return };
    let work = Work::new();
    let start = stored_at("s3://nobody/one", Start::service(), &work, &s3.address());
    let told = refusal(&work, &start);
    assert!(told.contains("the bucket nobody does not exist"), "{told}");
}
