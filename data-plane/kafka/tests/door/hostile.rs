//! Frames that nobody should send: the sender is closed, everybody else goes on.

use crate::client::{Client, batch, raw};
use crate::records::{fetch_request, produce_request};
use crate::server::Server;
use millstream_kafka_wire::ApiKey;
use millstream_kafka_wire::messages::describe_configs_request::DescribeConfigsResource;
use millstream_kafka_wire::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use millstream_kafka_wire::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use millstream_kafka_wire::messages::{
    DescribeConfigsRequest, DescribeGroupsRequest, FetchResponse, ListGroupsRequest, MetadataRequest,
    OffsetCommitRequest, OffsetFetchRequest,
};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

#[tokio::test]
async fn hostile_frames_close_their_own_connection_only() {
    let server = Server::start().await;
    let mut bystander = server.client().await;
    let huge_array = [&[0u8][..], &0x7fff_ffff_i32.to_be_bytes()[..]].concat();
    let frames: Vec<(&str, Vec<u8>)> = vec![
        ("length too large", 0x7fff_ffff_i32.to_be_bytes().to_vec()),
        ("length negative", (-1i32).to_be_bytes().to_vec()),
        ("length zero", 0i32.to_be_bytes().to_vec()),
        ("a TLS hello", vec![0x16, 0x03, 0x01, 0x02, 0x00, 0x01]),
        ("HTTP", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("api key unknown", raw(999, 0, b"")),
        ("api key negative", raw(-1, 0, b"")),
        ("a key of controllers", raw(52, 0, b"")),
        ("a message without its body", raw(50, 0, b"")),
        ("version unknown", raw(3, 99, b"")),
        ("version negative", raw(3, -1, b"")),
        (
            "array longer than the frame",
            raw(3, 1, &0x7fff_ffff_i32.to_be_bytes()),
        ),
        ("array of negative length", raw(3, 0, &(-5i32).to_be_bytes())),
        ("compact array longer than the frame", raw(3, 12, &huge_array)),
        ("header cut off", [&3i32.to_be_bytes()[..], &[0, 3, 0]].concat()),
        (
            "records cut off",
            raw(
                0,
                3,
                &[0xff, 0xff, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, b'a', 0, 0, 0, 1],
            ),
        ),
    ];
    for (what, frame) in frames {
        for logged_in in [false, true] {
            let mut client = if logged_in {
                server.client().await
            } else {
                server.connect().await
            };
            client.send_raw(&frame).await;
            assert!(client.is_closed().await, "{what}, logged in: {logged_in}");
        }
        assert_eq!(
            bystander.newest(&ListGroupsRequest::default()).await.error_code,
            0,
            "{what}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn bytes_behind_a_message_are_passed_over_as_kafka_does() {
    let server = Server::start().await;
    let mut client = server.client().await;
    client.send_raw(&raw(16, 0, b"more")).await;
    assert!(client.frame().await.is_some());
    server.stop().await;
}

#[tokio::test]
async fn large_frames_wait_for_the_login() {
    let server = Server::start().await;
    let mut stranger = server.connect().await;
    stranger.send_raw(&(65 * 1024i32).to_be_bytes()).await;
    assert!(stranger.is_closed().await);
    let mut client = server.client().await;
    let topic = |index: usize| millstream_kafka_wire::messages::metadata_request::MetadataRequestTopic {
        name: Some(format!("a-topic-that-is-not-there-{index}")),
        ..Default::default()
    };
    let topics = Some((0..4000).map(topic).collect());
    let request = MetadataRequest {
        topics,
        allow_auto_topic_creation: false,
        ..Default::default()
    };
    assert_eq!(client.newest(&request).await.topics.len(), 4000);
    server.stop().await;
}

#[tokio::test]
async fn slow_senders_do_not_hold_a_place_for_ever() {
    let server = Server::start_with(|settings| settings.frame_timeout = Duration::from_millis(100)).await;
    let mut client = server.client().await;
    client.stream.write_all(&[0, 0, 1]).await.unwrap();
    assert!(client.is_closed().await);
    let mut client = server.client().await;
    client.stream.write_all(&[0, 0, 1, 0, 0, 3]).await.unwrap();
    assert!(client.is_closed().await);
    assert_eq!(
        server.metric("kafka_connections_closed_total{reason=\"frame_timeout\"}"),
        2.0
    );
    server.stop().await;
}

#[tokio::test]
async fn idle_connections_are_closed() {
    let server = Server::start_with(|settings| settings.idle_timeout = Duration::from_millis(100)).await;
    let mut client = server.client().await;
    assert!(client.is_closed().await);
    assert_eq!(
        server.metric("kafka_connections_closed_total{reason=\"idle\"}"),
        1.0
    );
    server.stop().await;
}

#[tokio::test]
async fn random_bytes_never_hurt() {
    let server = Server::start().await;
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for round in 0..150 {
        let mut client = server.client().await;
        let key = (next() % 62) as i16;
        let version = (next() % 14) as i16;
        let body: Vec<u8> = (0..next() % 200).map(|_| next() as u8).collect();
        client.send_raw(&raw(key, version, &body)).await;
        client.stream.shutdown().await.unwrap();
        while client.frame().await.is_some() {}
        let _ = round;
    }
    let mut client = server.client().await;
    assert_eq!(client.newest(&ListGroupsRequest::default()).await.error_code, 0);
    server.stop().await;
}

/// Readers that ask for much and take nothing hold what there is for that; others read on, a batch at a time.
#[tokio::test]
async fn readers_that_take_nothing_do_not_fill_the_memory() {
    const MIB: usize = 1024 * 1024;
    let server = Server::start_over(|broker| broker.read_bytes_max = 16 * MIB, |_| {}).await;
    let mut client = server.client().await;
    let topic = client.create_topic("t", 1).await;
    let value = "x".repeat(MIB / 2);
    for _ in 0..16 {
        let request = produce_request("", topic, 0, -1, batch(&[&value]));
        let response = client.newest(&request).await;
        assert_eq!(response.responses[0].partition_responses[0].error_code, 0);
    }
    let mut fetch = fetch_request("", topic, 0, 0, 0);
    fetch.max_bytes = 8 * MIB as i32;
    fetch.topics[0].partitions[0].partition_max_bytes = 8 * MIB as i32;
    let newest = *ApiKey::Fetch.versions().end();
    let mut idle = Vec::new();
    for _ in 0..12 {
        // The system takes some of an answer before its reader does: little, if the reader says so.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let stream = socket.connect(server.address).await.unwrap();
        let mut reader = server.client_on(stream).await;
        reader.send(newest, &fetch).await;
        // Its answer is on the way, so its share is taken.
        reader.stream.readable().await.unwrap();
        idle.push(reader);
    }
    let bytes = |response: &FetchResponse| {
        let records = &response.responses[0].partitions[0].records;
        records.as_ref().map_or(0, |records| records.len())
    };
    let read = bytes(&client.newest(&fetch).await);
    assert!((1..2 * MIB).contains(&read), "{read} bytes beside idle readers");
    drop(idle);
    for _ in 0..500 {
        if bytes(&client.newest(&fetch).await) > 7 * MIB {
            server.stop().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("what idle readers held does not come back");
}

/// What a small request names over and over is told once: else it had an answer of gigabytes.
#[tokio::test]
async fn what_is_named_over_and_over_is_told_once() {
    const TIMES: usize = 1_000;
    let server = Server::start().await;
    let mut client = server.client().await;
    client.create_topic("often", 3).await;
    commit_long_metadata(&mut client, "often", 3).await;

    let group = OffsetFetchRequestGroup {
        group_id: "group".to_owned(),
        topics: None,
        ..Default::default()
    };
    let request = OffsetFetchRequest {
        groups: vec![group; TIMES],
        ..Default::default()
    };
    let answer = client.ask(9, &request).await;
    assert_eq!(answer.groups.len(), 1);
    assert_eq!(answer.groups[0].topics[0].partitions.len(), 3);

    // Every partition once, also of topics named in several pieces.
    let topic = |partition_indexes: Vec<i32>| OffsetFetchRequestTopics {
        name: "often".to_owned(),
        partition_indexes,
        ..Default::default()
    };
    let group = OffsetFetchRequestGroup {
        group_id: "group".to_owned(),
        topics: Some(vec![topic([0, 1].repeat(TIMES)), topic([1, 2].repeat(TIMES))]),
        ..Default::default()
    };
    let request = OffsetFetchRequest {
        groups: vec![group],
        ..Default::default()
    };
    let answer = client.ask(9, &request).await;
    let topics = answer.groups[0].topics.iter();
    let told: Vec<Vec<i32>> = topics
        .map(|topic| topic.partitions.iter().map(|one| one.partition_index).collect())
        .collect();
    assert_eq!(told, vec![vec![0, 1], vec![2]]);

    let request = DescribeGroupsRequest {
        groups: vec!["group".to_owned(); TIMES],
        ..Default::default()
    };
    assert_eq!(client.newest(&request).await.groups.len(), 1);

    let resource = |keys: Option<&str>| DescribeConfigsResource {
        resource_type: 2,
        resource_name: "often".to_owned(),
        configuration_keys: keys.map(|key| vec![key.to_owned()]),
    };
    let mut resources = vec![resource(None); TIMES];
    resources.extend(vec![resource(Some("retention.ms")); TIMES]);
    let request = DescribeConfigsRequest {
        resources,
        ..Default::default()
    };
    assert_eq!(client.newest(&request).await.results.len(), 2);
}

async fn commit_long_metadata(client: &mut Client, topic: &str, partitions: i32) {
    let partition = |partition_index| OffsetCommitRequestPartition {
        partition_index,
        committed_offset: 1,
        committed_metadata: Some("m".repeat(4_096)),
        ..Default::default()
    };
    let request = OffsetCommitRequest {
        group_id: "group".to_owned(),
        generation_id_or_member_epoch: -1,
        topics: vec![OffsetCommitRequestTopic {
            name: topic.to_owned(),
            partitions: (0..partitions).map(partition).collect(),
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = client.ask(8, &request).await;
    assert!(answer.topics[0].partitions.iter().all(|one| one.error_code == 0));
}
