//! The gRPC API end to end over loopback: tenants apart, keys refused, everything made and listed.

#![allow(clippy::unwrap_used)]

#[path = "service/world.rs"]
mod world;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use millstream_metadata::{Change, Image};
use millstream_rpc::control as rpc;
use std::time::Duration;
use tokio::time::timeout;
use tonic::Code;
use world::{Caller, World};

const SOON: Duration = Duration::from_secs(20);

fn topic(name: &str) -> rpc::CreateTopicRequest {
    rpc::CreateTopicRequest {
        name: name.into(),
        partitions: 4,
        ..Default::default()
    }
}

#[tokio::test]
async fn everything_is_provisioned_over_grpc_and_tenants_do_not_meet() {
    let world = World::start().await;
    let mut root = world.root().await;
    let me = root
        .keys()
        .who_am_i(rpc::WhoAmIRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(me.key.unwrap().role(), rpc::Role::Operator);
    assert_eq!((me.cluster_id.as_str(), me.cluster_name.as_str()), ("c1", "test"));
    let (mut a, account_a) = world.tenant(&mut root, "a").await;
    let (mut b, account_b) = world.tenant(&mut root, "b").await;

    let of_a = a
        .topics()
        .create_topic(topic("orders"))
        .await
        .unwrap()
        .into_inner();
    let of_b = b
        .topics()
        .create_topic(topic("orders"))
        .await
        .unwrap()
        .into_inner();
    assert_ne!(of_a.id, of_b.id);
    assert_eq!((of_a.partitions, of_a.replication_factor), (4, 1));
    let twice = a.topics().create_topic(topic("orders")).await.unwrap_err();
    assert_eq!(
        (twice.code(), twice.message()),
        (Code::AlreadyExists, "topic 'orders' already exists")
    );
    assert_eq!(twice.metadata().get("millstream-reason").unwrap(), "TOPIC_EXISTS");
    let alter = rpc::AlterTopicRequest {
        name: "orders".into(),
        set: [("retention.ms".to_owned(), "1000".to_owned())].into(),
        unset: Vec::new(),
    };
    let altered = a.topics().alter_topic(alter).await.unwrap().into_inner();
    assert_eq!(altered.config["retention.ms"], "1000");
    b.topics().create_topic(topic("mine")).await.unwrap();
    let seen = a
        .topics()
        .list_topics(rpc::ListTopicsRequest {})
        .await
        .unwrap()
        .into_inner()
        .topics;
    assert_eq!(seen, [altered]);
    let get = rpc::GetTopicRequest { name: "mine".into() };
    assert_eq!(
        a.topics().get_topic(get).await.unwrap_err().code(),
        Code::NotFound
    );
    b.topics()
        .delete_topic(rpc::DeleteTopicRequest {
            name: "orders".into(),
        })
        .await
        .unwrap();
    assert!(
        a.topics()
            .get_topic(rpc::GetTopicRequest {
                name: "orders".into()
            })
            .await
            .is_ok()
    );

    let keys = rpc::ListKeysRequest {
        account_id: account_b.clone(),
    };
    assert_eq!(a.keys().list_keys(keys).await.unwrap_err().code(), Code::NotFound);
    let foreign = rpc::CreateKeyRequest {
        account_id: account_b.clone(),
        name: "x".into(),
        role: rpc::Role::Producer.into(),
    };
    assert_eq!(
        a.keys().create_key(foreign).await.unwrap_err().code(),
        Code::NotFound
    );
    let revoke = rpc::RevokeKeyRequest { id: b.id.clone() };
    assert_eq!(
        a.keys().revoke_key(revoke).await.unwrap_err().code(),
        Code::NotFound
    );
    let clusters = a
        .organizations()
        .list_virtual_clusters(rpc::ListVirtualClustersRequest::default())
        .await;
    let clusters = clusters.unwrap().into_inner().virtual_clusters;
    assert_eq!(
        clusters.iter().map(|row| &row.account_id).collect::<Vec<_>>(),
        [&account_a]
    );
    let named = rpc::CreateOrganizationRequest { name: "c".into() };
    assert_eq!(
        a.organizations()
            .create_organization(named)
            .await
            .unwrap_err()
            .code(),
        Code::PermissionDenied
    );
    let events = a
        .cluster()
        .list_audit_events(rpc::ListAuditEventsRequest::default())
        .await
        .unwrap();
    let events = events.into_inner().events;
    assert!(
        events
            .iter()
            .any(|event| event.action == "AlterTopicConfig" && event.actor == a.id)
    );
    assert!(
        events.iter().all(|event| event.resource != "mine"),
        "another tenant's events are not shown"
    );
    world.stop().await;
}

/// Every field of every call that takes an id: what is another tenant's reads as what is not there at all.
#[tokio::test]
async fn another_tenants_ids_read_like_none_in_every_call() {
    let world = World::start().await;
    let mut root = world.root().await;
    let (mut a, _) = world.tenant(&mut root, "a").await;
    let (mut b, account) = world.tenant(&mut root, "b").await;
    let clusters = b
        .organizations()
        .list_virtual_clusters(rpc::ListVirtualClustersRequest::default())
        .await
        .unwrap()
        .into_inner()
        .virtual_clusters;
    let theirs = Ids {
        organization: clusters[0].organization_id.clone(),
        environment: clusters[0].environment_id.clone(),
        account,
        key: b.id.clone(),
    };
    let nobodys = Ids {
        organization: "0".repeat(32),
        environment: "0".repeat(32),
        account: "999999999999".into(),
        key: "A".repeat(20),
    };
    let before = world.controller().image();
    let (found, missing) = (theirs.ask(&mut a).await, nobodys.ask(&mut a).await);
    assert_eq!(found.len(), 11);
    assert_eq!(found, missing);
    for (call, code, _) in &found {
        assert_eq!(*code, Code::NotFound, "{call}");
    }
    assert_eq!(world.controller().image(), before, "nothing was changed");
    world.stop().await;
}

/// Ids of somebody.
struct Ids {
    organization: String,
    environment: String,
    account: String,
    key: String,
}

impl Ids {
    /// Names them in every call that takes them: what each was answered, the ids themselves left out.
    async fn ask(&self, caller: &mut Caller) -> Vec<(&'static str, Code, String)> {
        let mut told = Vec::new();
        macro_rules! ask {
            ($service:ident . $call:ident ($request:expr)) => {
                let status = caller.$service().$call($request).await.unwrap_err();
                let text = [
                    &self.organization,
                    &self.environment,
                    &self.account,
                    &self.key,
                ]
                .iter()
                .fold(status.message().to_owned(), |text, id| {
                    text.replace(id.as_str(), "?")
                });
                told.push((stringify!($call), status.code(), text));
            };
        }
        let organization_id = || self.organization.clone();
        let environment_id = || self.environment.clone();
        let account_id = || self.account.clone();
        let name = || "mine".to_owned();
        ask!(organizations.create_environment(rpc::CreateEnvironmentRequest {
            organization_id: organization_id(),
            name: name()
        }));
        ask!(organizations.list_environments(rpc::ListEnvironmentsRequest {
            organization_id: organization_id()
        }));
        ask!(
            organizations.create_virtual_cluster(rpc::CreateVirtualClusterRequest {
                environment_id: environment_id(),
                name: name(),
                auto_create_topics: true
            })
        );
        ask!(
            organizations.list_virtual_clusters(rpc::ListVirtualClustersRequest {
                environment_id: environment_id()
            })
        );
        for role in [rpc::Role::Producer, rpc::Role::OrganizationAdmin] {
            ask!(keys.create_key(rpc::CreateKeyRequest {
                account_id: account_id(),
                name: name(),
                role: role.into()
            }));
        }
        ask!(keys.list_keys(rpc::ListKeysRequest {
            account_id: account_id()
        }));
        ask!(keys.revoke_key(rpc::RevokeKeyRequest { id: self.key.clone() }));
        for (account_id, key_id, remove) in [
            (account_id(), String::new(), false),
            (String::new(), self.key.clone(), false),
            (String::new(), self.key.clone(), true),
        ] {
            ask!(quotas.set_quota(rpc::SetQuotaRequest {
                quota: Some(rpc::Quota {
                    account_id,
                    key_id,
                    name: "partitions".into(),
                    value: 1.0
                }),
                remove
            }));
        }
        told
    }
}

#[tokio::test]
async fn wrong_revoked_and_foreign_keys_are_refused_alike() {
    let world = World::start().await;
    let mut root = world.root().await;
    let (mut a, _) = world.tenant(&mut root, "a").await;
    let request = rpc::CreateKeyRequest {
        name: "x".into(),
        role: rpc::Role::Admin.into(),
        ..Default::default()
    };
    let made = a.keys().create_key(request).await.unwrap().into_inner();
    let (id, secret) = (made.key.unwrap().id, made.secret);
    assert_eq!(secret.len(), 40);
    let mut other = world.caller(&id, &secret).await;
    other
        .topics()
        .list_topics(rpc::ListTopicsRequest {})
        .await
        .unwrap();
    let revoked = a
        .keys()
        .revoke_key(rpc::RevokeKeyRequest { id: id.clone() })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(revoked.key.unwrap().state(), rpc::KeyState::Revoked);
    assert!(revoked.unconfirmed_nodes.is_empty());
    let mut told = Vec::new();
    let unknown = "ABCDEFGHIJKLMNOPQRST";
    for (id, secret) in [
        (&*id, &*secret),
        (&*a.id, &*secret),
        (unknown, "x"),
        ("admin", "admin"),
    ] {
        let refused = world
            .caller(id, secret)
            .await
            .topics()
            .list_topics(rpc::ListTopicsRequest {})
            .await;
        told.push(refused.unwrap_err());
    }
    for status in &told {
        assert_eq!(
            (status.code(), status.message()),
            (Code::Unauthenticated, told[0].message())
        );
    }
    for header in [
        "Basic !",
        "Bearer x.y.z",
        "Nonsense",
        &format!("Basic {}", STANDARD.encode("nocolon")),
    ] {
        let mut caller = Caller::with_header(world.channel().await, header);
        let refused = caller.topics().list_topics(rpc::ListTopicsRequest {}).await;
        assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated, "{header}");
    }
    // The secret of the service itself is no tenant's key, and the other way round.
    let mut node = Caller::with_header(world.channel().await, &world.node_header());
    assert_eq!(
        node.topics()
            .list_topics(rpc::ListTopicsRequest {})
            .await
            .unwrap_err()
            .code(),
        Code::Unauthenticated
    );
    let watch = a
        .cluster()
        .watch_catalog(rpc::WatchCatalogRequest::default())
        .await;
    assert_eq!(watch.unwrap_err().code(), Code::PermissionDenied);
    world.stop().await;
}

#[tokio::test]
async fn roles_bound_what_a_key_may_do() {
    let world = World::start().await;
    let mut root = world.root().await;
    let (mut a, account) = world.tenant(&mut root, "a").await;
    let mut by_role = async |role: rpc::Role| {
        let request = rpc::CreateKeyRequest {
            name: "x".into(),
            role: role.into(),
            ..Default::default()
        };
        let made = a.keys().create_key(request).await?.into_inner();
        Ok::<_, tonic::Status>(world.caller(&made.key.unwrap().id, &made.secret).await)
    };
    assert_eq!(
        by_role(rpc::Role::Operator).await.err().unwrap().code(),
        Code::PermissionDenied
    );
    assert_eq!(
        by_role(rpc::Role::Unspecified).await.err().unwrap().code(),
        Code::InvalidArgument
    );
    let mut producer = by_role(rpc::Role::Producer).await.unwrap();
    let mut admin = by_role(rpc::Role::Admin).await.unwrap();
    assert!(
        producer
            .topics()
            .list_topics(rpc::ListTopicsRequest {})
            .await
            .is_ok()
    );
    let refused = producer.topics().create_topic(topic("t")).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let refused = producer
        .keys()
        .list_keys(rpc::ListKeysRequest::default())
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    admin.topics().create_topic(topic("t")).await.unwrap();
    let quota = |name: &str, value: f64| rpc::SetQuotaRequest {
        quota: Some(rpc::Quota {
            account_id: account.clone(),
            name: name.into(),
            value,
            ..Default::default()
        }),
        remove: false,
    };
    let refused = admin
        .quotas()
        .set_quota(quota("partitions", 5.0))
        .await
        .unwrap_err();
    assert_eq!(
        refused.code(),
        Code::PermissionDenied,
        "a tenant does not raise its own quota"
    );
    a.quotas().set_quota(quota("partitions", 5.0)).await.unwrap();
    a.quotas()
        .set_quota(quota("producer_byte_rate", 1e6))
        .await
        .unwrap();
    for (name, value) in [
        ("partitions", 1.5),
        ("partitions", -1.0),
        ("partitions", f64::NAN),
        ("partitions", f64::INFINITY),
        ("storage_bytes", 1e300),
        ("connections", 4_294_967_296.0),
        ("sql_cpu_ms_rate", 9_007_199_254_740_992.0),
        ("producer_byte_rate", 0.0),
        ("", 1.0),
        ("nonsense", 1.0),
        ("request_rate", 0.0),
    ] {
        let refused = a.quotas().set_quota(quota(name, value)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{name}={value}");
    }
    let listed = admin
        .quotas()
        .list_quotas(rpc::ListQuotasRequest {})
        .await
        .unwrap()
        .into_inner()
        .quotas;
    let listed: Vec<_> = listed
        .iter()
        .map(|quota| (quota.name.as_str(), quota.value))
        .collect();
    assert_eq!(listed, [("producer_byte_rate", 1e6), ("partitions", 5.0)]);
    let refused = admin.topics().create_topic(topic("u")).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    world.stop().await;
}

#[tokio::test]
async fn sql_rows_are_written_all_or_none_and_seen_at_their_version() {
    let world = World::start().await;
    let mut root = world.root().await;
    let (mut owner, account_a) = world.tenant(&mut root, "a").await;
    let (_, account_b) = world.tenant(&mut root, "b").await;
    let mut a = world.service_of(&account_a).await;
    let mut b = world.service_of(&account_b).await;
    let row = |name: &str| rpc::SqlRow {
        kind: "query".into(),
        name: name.into(),
        text: "SELECT 1;".into(),
        body: "{}".into(),
        version: 0,
        pinned_topics: Vec::new(),
    };
    let write = |put: Vec<rpc::SqlRow>, expected_version| rpc::WriteSqlRowsRequest {
        put,
        delete: vec![rpc::SqlRowName {
            kind: "query".into(),
            name: "gone".into(),
        }],
        expected_version,
    };
    // No client writes them, nor reads them: not their owner, not the operator.
    for client in [&mut owner, &mut root] {
        let denied = client.sql().write_sql_rows(write(vec![row("q1")], None)).await;
        let denied = denied.unwrap_err();
        assert_eq!(denied.code(), Code::PermissionDenied);
        assert!(denied.message().contains("write statements"), "{denied}");
        let denied = client
            .sql()
            .list_sql_rows(rpc::ListSqlRowsRequest::default())
            .await;
        assert_eq!(denied.unwrap_err().code(), Code::PermissionDenied);
    }
    let written = a
        .sql()
        .write_sql_rows(write(vec![row("q1"), row("q2")], Some(0)))
        .await
        .unwrap()
        .into_inner();
    let list = rpc::ListSqlRowsRequest {
        at_least_version: written.version,
    };
    let listed = a.sql().list_sql_rows(list).await.unwrap().into_inner();
    let names: Vec<_> = listed
        .rows
        .iter()
        .map(|row| (row.name.as_str(), row.version))
        .collect();
    assert_eq!(names, [("q1", written.version), ("q2", written.version)]);
    let theirs = b.sql().list_sql_rows(rpc::ListSqlRowsRequest::default()).await;
    let theirs = theirs.unwrap().into_inner();
    assert!(theirs.rows.is_empty());
    // Versions are nobody else's, and tell nobody how much others change.
    assert_ne!(theirs.version, listed.version);
    assert_ne!(theirs.version, world.controller().image().version());
    let made_up = rpc::ListSqlRowsRequest {
        at_least_version: written.version,
    };
    let refused = b.sql().list_sql_rows(made_up).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let conflict = a
        .sql()
        .write_sql_rows(write(vec![row("q3")], Some(0)))
        .await
        .unwrap_err();
    assert_eq!(conflict.code(), Code::Aborted);
    assert!(
        conflict.message().ends_with("has changed since it was read"),
        "no versions: {}",
        conflict.message()
    );
    let bad = a
        .sql()
        .write_sql_rows(write(vec![row("q3"), row("")], None))
        .await
        .unwrap_err();
    assert_eq!(bad.code(), Code::InvalidArgument);
    let listed = a.sql().list_sql_rows(list).await.unwrap().into_inner();
    assert_eq!(listed.rows.len(), 2);
    world.stop().await;
}

/// What a tenant is told of the catalog's version tells it nothing of how much the others change.
#[tokio::test]
async fn each_tenant_sees_the_catalogs_version_under_a_veil_of_its_own() {
    async fn version(caller: &mut Caller) -> u64 {
        let mut cluster = caller.cluster();
        let asked = cluster.describe_cluster(rpc::DescribeClusterRequest {});
        asked.await.unwrap().into_inner().version
    }
    let world = World::start().await;
    let mut root = world.root().await;
    let (mut a, _) = world.tenant(&mut root, "a").await;
    let (mut b, _) = world.tenant(&mut root, "b").await;
    let plain = || world.controller().image().version();
    assert_eq!(version(&mut root).await, plain(), "operators see it as it is");
    let (of_a, of_b) = (version(&mut a).await, version(&mut b).await);
    assert!(
        of_a != plain() && of_b != plain() && of_a != of_b,
        "{of_a} and {of_b} for {}",
        plain()
    );
    assert_eq!(version(&mut a).await, of_a, "the same for the same version");
    let before = plain();
    for number in 0..10 {
        let seen = version(&mut a).await;
        b.topics()
            .create_topic(topic(&format!("t{number}")))
            .await
            .unwrap();
        let distance = seen.abs_diff(version(&mut a).await);
        assert!(distance > 1 << 32, "b changed something, and a sees {distance}");
    }
    assert_eq!(plain(), before + 10, "nothing else changes it");
    world.stop().await;
}

#[tokio::test]
async fn a_node_follows_the_catalog() {
    let world = World::start().await;
    let mut root = world.root().await;
    let mut node = Caller::with_header(world.channel().await, &world.node_header());
    let stream = node
        .cluster()
        .watch_catalog(rpc::WatchCatalogRequest::default())
        .await
        .unwrap();
    let mut stream = stream.into_inner();
    let mut image = Image::new();
    let snapshot = timeout(SOON, stream.message()).await.unwrap().unwrap().unwrap();
    assert!(snapshot.snapshot);
    let apply = |image: &mut Image, message: &rpc::WatchCatalogResponse| {
        for change in &message.changes {
            image.apply(&Change::from_bytes(change).unwrap());
        }
        assert_eq!(image.version(), message.version);
    };
    apply(&mut image, &snapshot);
    root.topics().create_topic(topic("orders")).await.unwrap();
    let created = timeout(SOON, stream.message()).await.unwrap().unwrap().unwrap();
    assert!(!created.snapshot);
    apply(&mut image, &created);
    assert_eq!(image, *world.controller().image());
    let cluster = root
        .cluster()
        .describe_cluster(rpc::DescribeClusterRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (cluster.version, cluster.term, cluster.nodes.len()),
        (image.version(), 1, 1)
    );
    world.drain();
    assert!(
        timeout(SOON, stream.message()).await.unwrap().unwrap().is_none(),
        "streams end when draining"
    );
    world.stop().await;
}

#[tokio::test]
async fn health_and_reflection_answer() {
    let world = World::start().await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(world.channel().await);
    let request = tonic_health::pb::HealthCheckRequest {
        service: String::new(),
    };
    let answer = health.check(request).await.unwrap().into_inner();
    assert_eq!(
        answer.status(),
        tonic_health::pb::health_check_response::ServingStatus::Serving
    );
    let mut reflection = tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient::new(
        world.channel().await,
    );
    let request = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            tonic_reflection::pb::v1::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
    };
    let mut answers = reflection
        .server_reflection_info(tokio_stream::iter([request]))
        .await
        .unwrap()
        .into_inner();
    let answer = format!("{:?}", answers.message().await.unwrap().unwrap());
    assert!(answer.contains("millstream.control.v1.Topics"), "{answer}");
    world.stop().await;
}
