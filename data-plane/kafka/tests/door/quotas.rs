//! Quotas bind: a debt delays what takes from the same meter, on every connection, and nothing else.

use crate::client::{Client, batch};
use crate::groups::join_request;
use crate::records::{fetch_request, produce_request};
use crate::server::Server;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use millstream_kafka_wire::messages::{
    HeartbeatRequest, JoinGroupRequest, ListGroupsRequest, MetadataRequest, OffsetCommitRequest,
    OffsetFetchRequest, ProduceResponse, SyncGroupRequest,
};
use millstream_metadata::{Grant, Quota};
use std::time::{Duration, Instant};

fn limited(change: impl FnOnce(&mut Quota)) -> Quota {
    let mut quota = Quota::default();
    change(&mut quota);
    quota
}

fn code(response: &ProduceResponse) -> i16 {
    response.responses[0].partition_responses[0].error_code
}

/// What is taken over any time is at most what the rate gave, one second's worth ahead, and one batch.
#[tokio::test]
async fn who_reconnects_after_each_answer_is_bound_all_the_same() {
    const RATE: u64 = 40_000;
    let server = Server::start().await;
    let mut client = server.client().await;
    let topic = client.create_topic("bound", 1).await;
    let quota = limited(|quota| quota.produce_bytes_per_second = Some(RATE));
    server.catalog.set_quota(1, quota);
    let value = "x".repeat(30_000);
    let (started, mut taken) = (Instant::now(), 0);
    for _ in 0..6 {
        let mut client = server.client().await;
        let records = batch(&[&value]);
        let size = records.len() as u64;
        let response = client
            .ask(13, &produce_request("bound", topic, 0, -1, records))
            .await;
        let passed_ms = u64::try_from(started.elapsed().as_millis()).unwrap();
        if code(&response) == 0 {
            taken += size;
        }
        assert!(
            taken <= RATE + RATE * passed_ms / 1000 + size + 1000,
            "{taken} bytes were taken in {passed_ms} ms"
        );
    }
    assert!(taken > 3 * 30_000, "who waits gets on");
    assert!(server.metric("quota_delays_total{meter=\"produce_bytes\"}") >= 1.0);
    server.stop().await;
}

/// A debt far beyond what is told at once is kept; what moves no bytes does not wait for it; others do not, either.
#[tokio::test]
async fn a_large_debt_is_kept_and_holds_up_only_its_own_meter() {
    let server = Server::start_with(|settings| settings.debt_patience = Duration::from_millis(300)).await;
    let quiet = server.catalog.key(2, 2, &[Grant::Admin]);
    let mut client = server.client().await;
    let topic = client.create_topic("deep", 1).await;
    let quota = limited(|quota| quota.produce_bytes_per_second = Some(10));
    server.catalog.set_quota(1, quota);
    let request = produce_request("deep", topic, 0, -1, batch(&["x"; 200]));
    let response = client.ask(13, &request).await;
    assert_eq!(
        (code(&response), response.throttle_time_ms),
        (0, 30_000),
        "the rest is kept"
    );
    for _ in 0..2 {
        let mut other = server.client().await;
        let response = other.ask(13, &request).await;
        // The code that every client tries again after, and the reason in words.
        let refused = ErrorCode::NotEnoughReplicas.number();
        assert_eq!((code(&response), response.throttle_time_ms), (refused, 30_000));
        let text = &response.responses[0].partition_responses[0].error_message;
        assert!(text.as_ref().is_some_and(|it| it.contains("quota")), "{text:?}");
    }
    // On the indebted connection itself. A member joins, commits and beats.
    let delays = || {
        let meters = ["produce_bytes", "fetch_bytes", "requests"].map(|meter| {
            let name = format!("quota_delays_total{{meter=\"{meter}\"}}");
            server.metric(&name)
        });
        meters.iter().sum::<f64>()
    };
    assert_eq!(delays(), 2.0, "both waited before they were refused");
    let member = member(&mut client).await;
    let commit = OffsetCommitRequest {
        group_id: "g".to_owned(),
        generation_id_or_member_epoch: member.generation_id,
        member_id: member.member_id.clone(),
        topics: vec![OffsetCommitRequestTopic {
            name: "deep".to_owned(),
            partitions: vec![OffsetCommitRequestPartition {
                committed_offset: 7,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let committed = client.ask(9, &commit).await;
    assert_eq!(committed.topics[0].partitions[0].error_code, 0);
    assert_eq!(client.newest(&member).await.error_code, 0);
    assert_eq!(client.newest(&ListGroupsRequest::default()).await.error_code, 0);
    let beat = HeartbeatRequest {
        group_id: "g".to_owned(),
        member_id: "nobody".to_owned(),
        ..Default::default()
    };
    assert_eq!(
        client.newest(&beat).await.error_code,
        ErrorCode::UnknownMemberId.number()
    );
    client.newest(&MetadataRequest::default()).await;
    client.newest(&OffsetFetchRequest::default()).await;
    client.create_topic("made", 1).await;
    server.client().await;
    assert_eq!(delays(), 2.0, "none of it has waited");
    let fetched = client.ask(13, &fetch_request("deep", topic, 0, 0, 0)).await;
    let partition = &fetched.responses[0].partitions[0];
    assert_eq!(
        (partition.error_code, partition.high_watermark),
        (0, 200),
        "nothing refused was written"
    );
    assert_eq!(server.metric("quota_refused_total{meter=\"produce_bytes\"}"), 2.0);
    let mut other = server.client_of(&quiet).await;
    let topic = other.create_topic("quiet", 1).await;
    let response = other
        .ask(13, &produce_request("quiet", topic, 0, -1, batch(&["x"])))
        .await;
    assert_eq!(code(&response), 0);
    server.stop().await;
}

/// A fetch is cut to what the meter has, one batch at least; who owes is told the ends and given nothing.
#[tokio::test]
async fn a_fetch_is_cut_to_what_the_meter_has_left() {
    let server = Server::start().await;
    let mut client = server.client().await;
    let topic = client.create_topic("cut", 1).await;
    let value = "x".repeat(10_000);
    for _ in 0..10 {
        client
            .ask(13, &produce_request("cut", topic, 0, -1, batch(&[&value])))
            .await;
    }
    let quota = limited(|quota| quota.fetch_bytes_per_second = Some(25_000));
    server.catalog.set_quota(1, quota);
    let mut fetch = fetch_request("cut", topic, 0, 0, 0);
    fetch.max_bytes = 1 << 20;
    fetch.topics[0].partitions[0].partition_max_bytes = 1 << 20;
    let length = |response: &millstream_kafka_wire::messages::FetchResponse| {
        response.responses[0].partitions[0]
            .records
            .as_ref()
            .map_or(0, |records| records.len())
    };
    let first = client.ask(13, &fetch).await;
    assert!(
        (10_000..=25_000).contains(&length(&first)),
        "{} bytes",
        length(&first)
    );
    let quota = limited(|quota| quota.fetch_bytes_per_second = Some(100));
    server.catalog.set_quota(1, quota);
    let second = client.ask(13, &fetch).await;
    assert!((10_000..11_000).contains(&length(&second)), "one batch at least");
    let (started, mut other) = (Instant::now(), server.client().await);
    let third = other.ask(13, &fetch).await;
    assert_eq!(length(&third), 0);
    assert_eq!(third.responses[0].partitions[0].high_watermark, 10);
    assert_eq!(third.throttle_time_ms, 30_000);
    assert!(
        started.elapsed() >= Duration::from_millis(400),
        "it is held a little, whatever it does next"
    );
    server.stop().await;
}

/// Requests are counted over all connections; who owes some waits, and what moves no bytes goes on then.
#[tokio::test]
async fn requests_are_counted_over_all_connections() {
    let server = Server::start_with(|settings| settings.debt_patience = Duration::from_millis(400)).await;
    let (mut one, mut two) = (server.client().await, server.client().await);
    let quota = limited(|quota| quota.requests_per_second = Some(5));
    server.catalog.set_quota(1, quota);
    for _ in 0..6 {
        one.newest(&ListGroupsRequest::default()).await;
    }
    for _ in 0..8 {
        two.newest(&ListGroupsRequest::default()).await;
    }
    assert!(server.metric("quota_delays_total{meter=\"requests\"}") >= 2.0);
    // Metadata goes on after its patience, and the debt stays: a produce is refused.
    let topics = one.newest(&MetadataRequest::default()).await;
    assert_eq!(topics.brokers.len(), 1);
    server.stop().await;
}

/// A member with the shortest session timeout joins a group.
async fn member(client: &mut Client) -> HeartbeatRequest {
    let join = |member_id: &str| JoinGroupRequest {
        session_timeout_ms: 6_000,
        ..join_request("g", member_id)
    };
    let named = client.newest(&join("")).await;
    let joined = client.newest(&join(&named.member_id)).await;
    assert_eq!(joined.error_code, 0);
    let sync = SyncGroupRequest {
        group_id: "g".to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id.clone(),
        protocol_type: joined.protocol_type,
        protocol_name: joined.protocol_name,
        ..Default::default()
    };
    assert_eq!(client.newest(&sync).await.error_code, 0);
    HeartbeatRequest {
        group_id: "g".to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id,
        ..Default::default()
    }
}

/// A debt of requests holds a member up for a third of its session at most, also where it comes back over a new connection
/// that it has not joined by.
#[tokio::test]
async fn no_member_is_thrown_out_for_a_debt_of_requests() {
    const SESSION: Duration = Duration::from_secs(6);
    // What a busy machine adds.
    const BUSY: Duration = Duration::from_millis(800);
    let server = Server::start().await;
    let mut client = server.client().await;
    let beat = member(&mut client).await;
    let quota = limited(|quota| quota.requests_per_second = Some(1));
    server.catalog.set_quota(1, quota);
    // A login is a request, and goes on after its patience: a minute of debt in a moment.
    futures::future::join_all((0..60).map(|_| server.client())).await;
    let begun = Instant::now();
    let mut rounds = 0;
    while begun.elapsed() < 2 * SESSION {
        let asked = Instant::now();
        assert_eq!(client.newest(&beat).await.error_code, 0, "on the old connection");
        assert!(asked.elapsed() < SESSION / 3 + BUSY, "{:?}", asked.elapsed());
        let asked = Instant::now();
        client = server.client().await;
        assert_eq!(client.newest(&beat).await.error_code, 0, "on a new one");
        let most = SESSION / 2 + BUSY;
        assert!(asked.elapsed() < most, "a login before it: {:?}", asked.elapsed());
        rounds += 1;
    }
    assert!(rounds < 10, "it waits for what it owes: {rounds} rounds");
    server.stop().await;
}
