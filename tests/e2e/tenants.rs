//! Two tenants with the same names, revoked keys, keys of somebody else.

use crate::harness::{Key, Server, Start, Work};
use crate::wire::{Outcome, Wire};
use bytes::Bytes;
use futures::StreamExt;
use millstream_kafka_wire::frame::encode_request;
use millstream_kafka_wire::messages::fetch_request::{FetchPartition, FetchTopic};
use millstream_kafka_wire::messages::{
    FetchRequest, MetadataRequest, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use millstream_rust::rpc::control::{CreateVirtualClusterRequest, Role};
use millstream_rust::rpc::data::{
    CommitOffsetsRequest, CommittedOffset, FetchOffsetsRequest, ListGroupsRequest, Partition,
};
use millstream_rust::{Client, ConsumerSettings, Error, ProducerSettings, Record, SqlAnswer, Start as From};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

/// How long a revocation may take to be seen here: 2 s by the promise, and room for a busy machine.
const SOON: Duration = Duration::from_secs(15);

/// An administrator's key of a new tenant.
pub async fn tenant(operator: &Client, name: &str) -> (String, Key) {
    let admin = operator.admin();
    let organization = admin.create_organization(name).await.unwrap();
    let environment = admin
        .create_environment(&organization.id, "default")
        .await
        .unwrap();
    let request = CreateVirtualClusterRequest {
        environment_id: environment.id,
        name: "default".into(),
        auto_create_topics: false,
    };
    let cluster = admin.create_virtual_cluster(request).await.unwrap();
    let made = admin
        .create_key(&cluster.account_id, "admin", Role::Admin)
        .await
        .unwrap();
    (
        cluster.account_id,
        Key {
            id: made.key.unwrap().id,
            secret: made.secret,
        },
    )
}

async fn all_values(client: &Client, topic: &str, count: usize) -> Vec<String> {
    let mut consumer = client.consumer(ConsumerSettings::new(topic, From::Earliest));
    let mut values = Vec::new();
    while values.len() < count {
        let record = timeout(SOON, consumer.next()).await.unwrap().unwrap();
        values.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap());
    }
    values
}

fn offset(at: i64) -> CommittedOffset {
    let partition = Some(Partition {
        topic: "same".into(),
        index: 0,
    });
    CommittedOffset {
        partition,
        offset: at,
        ..CommittedOffset::default()
    }
}

/// Of the first partition, from its beginning; it waits a minute for the first record.
pub fn fetch_that_waits(topic: &str) -> FetchRequest {
    FetchRequest {
        replica_id: -1,
        max_wait_ms: 60_000,
        min_bytes: 1,
        max_bytes: 1 << 20,
        topics: vec![FetchTopic {
            topic: topic.into(),
            partitions: vec![FetchPartition {
                partition_max_bytes: 1 << 20,
                ..FetchPartition::default()
            }],
            ..FetchTopic::default()
        }],
        ..FetchRequest::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_with_the_same_names_never_meet() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let operator = server.client();
    let (one_account, one_key) = tenant(&operator, "one").await;
    let (two_account, two_key) = tenant(&operator, "two").await;
    assert_ne!(one_account, two_account);
    let (one, two) = (server.client_as(&one_key), server.client_as(&two_key));
    one.admin()
        .create_topic("same", 1, BTreeMap::new())
        .await
        .unwrap();
    one.admin()
        .create_topic("only one has it", 1, BTreeMap::new())
        .await
        .expect_err("a name with blanks");
    one.admin()
        .create_topic("only-one", 1, BTreeMap::new())
        .await
        .unwrap();
    two.admin()
        .create_topic("same", 2, BTreeMap::new())
        .await
        .unwrap();
    for (client, name) in [(&one, "one"), (&two, "two")] {
        let producer = client.producer(ProducerSettings::default());
        for number in 0..100 {
            let record = Record::new().value(format!("{name} {number}")).partition(0);
            let delivered = producer.send("same", record).await.unwrap();
            assert_eq!(delivered.offset, number, "offsets are a tenant's own");
        }
    }
    assert!(
        all_values(&one, "same", 100)
            .await
            .iter()
            .all(|it| it.starts_with("one "))
    );
    assert!(
        all_values(&two, "same", 100)
            .await
            .iter()
            .all(|it| it.starts_with("two "))
    );
    let names = |topics: Vec<millstream_rust::rpc::control::Topic>| -> Vec<String> {
        topics
            .into_iter()
            .filter(|it| !it.internal)
            .map(|it| it.name)
            .collect()
    };
    assert_eq!(names(two.admin().list_topics().await.unwrap()), ["same"]);
    let hidden = two
        .list_offsets("only-one", &[0], millstream_rust::Position::Latest)
        .await;
    let nowhere = two
        .list_offsets("no-one", &[0], millstream_rust::Position::Latest)
        .await;
    let text = |it: Result<Vec<i64>, Error>| {
        it.unwrap_err()
            .to_string()
            .replace("only-one", "?")
            .replace("no-one", "?")
    };
    assert_eq!(
        text(hidden),
        text(nowhere),
        "what is another's reads as what does not exist"
    );

    // Groups of the same name have their own offsets.
    for (client, at) in [(&one, 10), (&two, 20)] {
        let request = CommitOffsetsRequest {
            group: "same".into(),
            offsets: vec![offset(at)],
        };
        let answer = client.data().commit_offsets(request).await.unwrap().into_inner();
        assert!(answer.results[0].error.is_none(), "{answer:?}");
    }
    for (client, at) in [(&one, 10), (&two, 20)] {
        let request = FetchOffsetsRequest {
            group: "same".into(),
            partitions: Vec::new(),
        };
        let answer = client.data().fetch_offsets(request).await.unwrap().into_inner();
        let found: Vec<i64> = answer.offsets.iter().map(|it| it.offset).collect();
        assert_eq!(found, [at]);
        let groups = client
            .data()
            .list_groups(ListGroupsRequest {})
            .await
            .unwrap()
            .into_inner()
            .groups;
        assert_eq!(groups.len(), 1, "{groups:?}");
    }

    // The same at the Kafka door.
    let mut wire = Wire::authenticated(&server.doors.kafka, &two_key);
    let all = wire.call(
        12,
        &MetadataRequest {
            topics: None,
            ..MetadataRequest::default()
        },
    );
    let listed: Vec<_> = all.topics.iter().filter_map(|it| it.name.clone()).collect();
    assert_eq!(listed, ["same"]);
    assert_eq!(all.topics[0].partitions.len(), 2);

    // A tenant's administrator reaches nothing of another's.
    let denied = two.admin().create_key(&one_account, "mine", Role::Admin).await;
    assert!(
        matches!(denied, Err(Error::PermissionDenied(_) | Error::NotFound(_))),
        "{denied:?}"
    );
    let denied = two.admin().revoke_key(&one_key.id).await;
    assert!(
        matches!(denied, Err(Error::PermissionDenied(_) | Error::NotFound(_))),
        "{denied:?}"
    );
    let denied = two.admin().create_organization("three").await;
    assert!(matches!(denied, Err(Error::PermissionDenied(_))), "{denied:?}");
    assert!(one.admin().list_topics().await.is_ok());

    // SQL lives in the tenant too.
    let create = "CREATE STREAM s (v STRING) WITH (KAFKA_TOPIC='same', VALUE_FORMAT='JSON');";
    one.sql_rows(create, &BTreeMap::new()).await.unwrap();
    let unknown = two.sql_rows("DESCRIBE s;", &BTreeMap::new()).await;
    assert!(matches!(unknown, Err(Error::Sql { .. })), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_out_everywhere_at_once() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let operator = server.client();
    let (_, admin_key) = tenant(&operator, "one").await;
    let admin = server.client_as(&admin_key);
    admin.admin().create_topic("t", 1, BTreeMap::new()).await.unwrap();
    let made = admin
        .admin()
        .create_key("", "short-lived", Role::Developer)
        .await
        .unwrap();
    let key = Key {
        id: made.key.unwrap().id,
        secret: made.secret,
    };
    let client = server.client_as(&key);
    let mut idle = Wire::authenticated(&server.doors.kafka, &key);
    let mut other = Wire::authenticated(&server.doors.kafka, &admin_key);
    let mut watch = client.watch(&[("t".to_owned(), 0)]).await.unwrap();
    assert!(watch.next().await.unwrap().is_ok());

    // One fetch waits at each door.
    let mut waiting = Wire::authenticated(&server.doors.kafka, &key);
    let frame = encode_request(12, 1, Some("wire"), &fetch_that_waits("t")).unwrap();
    waiting.send(&frame.into_bytes());
    let fetching = {
        let client = client.clone();
        tokio::spawn(async move {
            let place = [("t".to_owned(), 0, 0)];
            client.fetch(&place, 1 << 20, Duration::from_secs(60)).await
        })
    };
    server.wait_for_metric("broker_fetches_parked", |parked| parked >= 2.0);

    let revoked = admin.admin().revoke_key(&key.id).await.unwrap();
    assert!(revoked.unconfirmed_nodes.is_empty(), "{revoked:?}");
    let ended = timeout(SOON, fetching)
        .await
        .expect("a fetch that waits ends")
        .unwrap();
    assert!(matches!(ended, Err(Error::Unauthenticated(_))), "{ended:?}");
    let closed = tokio::task::spawn_blocking(move || waiting.outcome())
        .await
        .unwrap();
    assert_eq!(closed, Outcome::Closed, "so does one at the Kafka door");
    let ended = timeout(SOON, watch.next()).await.expect("an open watch ends");
    assert!(matches!(ended, None | Some(Err(_))), "{ended:?}");
    let closed = tokio::task::spawn_blocking(move || idle.outcome()).await.unwrap();
    assert_eq!(closed, Outcome::Closed, "an open Kafka connection ends");

    let refused = client.admin().list_topics().await;
    assert!(matches!(refused, Err(Error::Unauthenticated(_))), "{refused:?}");
    let refused = client.sql_rows("SHOW TOPICS;", &BTreeMap::new()).await;
    assert!(matches!(refused, Err(Error::Unauthenticated(_))), "{refused:?}");
    let mut wire = Wire::connect(&server.doors.kafka);
    wire.call(
        1,
        &SaslHandshakeRequest {
            mechanism: "PLAIN".into(),
        },
    );
    let token = Bytes::from(format!("\0{}\0{}", key.id, key.secret));
    let answer = wire.call(2, &SaslAuthenticateRequest { auth_bytes: token });
    assert_eq!(answer.error_code, 58, "SASL_AUTHENTICATION_FAILED");
    assert!(answer.error_message.is_some_and(|it| !it.is_empty()));
    // Nobody else notices.
    assert_eq!(other.call(12, &MetadataRequest::default()).brokers.len(), 1);
    assert!(admin.admin().list_topics().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_service_is_refused() {
    let (here, there) = (Work::new(), Work::new());
    let server = Server::first(&here, Start::service());
    let foreign = Server::first(&there, Start::service()).key.clone();
    let client = server.client_as(&foreign);
    let refused = client.admin().list_topics().await;
    assert!(matches!(refused, Err(Error::Unauthenticated(_))), "{refused:?}");
    let refused = client.sql_rows("SHOW TOPICS;", &BTreeMap::new()).await;
    assert!(matches!(refused, Err(Error::Unauthenticated(_))), "{refused:?}");
    let refused = client.watch(&[("t".to_owned(), 0)]).await.err();
    assert!(matches!(refused, Some(Error::Unauthenticated(_))), "{refused:?}");
    let told = server
        .cli()
        .run(&["whoami", "--key", &foreign.id, "--secret", &foreign.secret], "");
    let told = String::from_utf8_lossy(&told.stderr).into_owned();
    assert!(
        told.lines().count() == 1 && told.contains("key"),
        "one line that says what to do: {told}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_keys_endless_query_ends() {
    let work = Work::new();
    let server = Server::first(&work, Start::service());
    let operator = server.client();
    let made = operator.admin().create_key("", "sql", Role::Admin).await.unwrap();
    let key = Key {
        id: made.key.unwrap().id,
        secret: made.secret,
    };
    let client = server.client_as(&key);
    let properties = BTreeMap::from([("auto.offset.reset".to_owned(), "earliest".to_owned())]);
    let setup = "CREATE STREAM s (v INT) WITH (KAFKA_TOPIC = 's', VALUE_FORMAT = 'JSON', PARTITIONS = 1);
        CREATE TABLE t AS SELECT v, COUNT(*) AS n FROM s GROUP BY v;
        INSERT INTO s (v) VALUES (1);";
    client.sql_rows(setup, &properties).await.unwrap();
    let text = "SELECT * FROM t EMIT CHANGES;";
    let mut query = client.sql(text, &properties).await.unwrap();
    let mut others = operator.sql(text, &properties).await.unwrap();
    for stream in [&mut query, &mut others] {
        while !matches!(
            timeout(SOON, stream.next_answer()).await.unwrap().unwrap(),
            Some(SqlAnswer::Rows(_))
        ) {}
    }
    operator.admin().revoke_key(&key.id).await.unwrap();
    let ended = timeout(SOON, async {
        loop {
            match query.next_answer().await {
                Ok(Some(_)) => {}
                ended => return ended,
            }
        }
    });
    let ended = ended.await.expect("an open query ends");
    assert!(matches!(ended, Err(Error::Unauthenticated(_))), "{ended:?}");
    // The continuous query is the tenant's, not the key's; and the other's query goes on.
    operator
        .sql_rows("INSERT INTO s (v) VALUES (2);", &properties)
        .await
        .unwrap();
    let more = timeout(SOON, others.next_answer()).await.unwrap().unwrap();
    assert!(matches!(more, Some(SqlAnswer::Rows(_))), "{more:?}");
}
