//! Hostile values in every field of every RPC.

use crate::harness::{self, Server, Start, Work, tools};
use crate::tenants::tenant;
use millstream_rust::rpc::control::{Key, Role};
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;

#[tokio::test(flavor = "multi_thread")]
async fn every_rpc_answers_hostile_values_clearly() {
    let Some(mut script) = tools::script("hostile_rpc.py") else {
        return;
    };
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let operator = server.client();
    let (_, caller) = tenant(&operator, "caller").await;
    let (account, other) = tenant(&operator, "other").await;
    let organizations = operator.admin().list_organizations().await.unwrap();
    let organization = organizations
        .into_iter()
        .find(|it| it.name == "other")
        .unwrap()
        .id;
    let environments = operator.admin().list_environments(&organization).await.unwrap();
    let there = server.client_as(&other);
    there
        .admin()
        .create_topic("theirs", 1, Default::default())
        .await
        .unwrap();
    // One for the operator to revoke: they may.
    let spare = there
        .admin()
        .create_key("", "spare", Role::Producer)
        .await
        .unwrap();
    let spare = spare.key.unwrap().id;
    let before = (
        there.admin().list_topics().await.unwrap(),
        there.admin().list_keys("").await.unwrap(),
    );

    let stubs = work.path("stubs");
    std::fs::create_dir(&stubs).unwrap();
    let key = |key: &harness::Key| json!({"id": key.id, "secret": key.secret});
    let told = json!({
        "operator": key(&server.key),
        "caller": key(&caller),
        "foreign": [account, organization, environments[0].id, spare, "theirs"],
    });
    script
        .arg(&server.doors.http)
        .arg(tools::source("../../proto/rpc/proto"))
        .arg(stubs)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let answer = tokio::task::spawn_blocking(move || {
        let mut child = script.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(told.to_string().as_bytes()).unwrap();
        drop(input);
        child.wait_with_output().unwrap()
    })
    .await
    .unwrap();
    assert!(answer.status.success(), "{}", answer.status);
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap();
    assert_eq!(
        answer["unclear"],
        json!([]),
        "answers that are not clear:\n{answer:#}"
    );
    assert!(answer["calls"].as_u64().unwrap() > 1500, "{answer:#}");
    for code in ["OK", "INVALID_ARGUMENT", "NOT_FOUND", "UNAUTHENTICATED"] {
        assert!(answer["codes"][code].as_u64().unwrap_or(0) > 50, "{answer:#}");
    }
    // The operator may have changed what is theirs; the tenant's own topics and keys it cannot name.
    let after = (
        there.admin().list_topics().await.unwrap(),
        there.admin().list_keys("").await.unwrap(),
    );
    assert_eq!(before.0, after.0);
    let own = |keys: Vec<Key>| keys.into_iter().find(|key| key.id == other.id);
    assert_eq!(own(before.1), own(after.1));
    let log = server.log();
    let bad: Vec<&str> = log.lines().filter(|line| line.contains(" ERROR ")).collect();
    assert!(bad.is_empty(), "{bad:#?}");
}
