//! Everything that hostile tenants and strangers do, at once, while a quiet tenant's day goes on and takes about as long
//! as it does alone.

use crate::harness::http::get;
use crate::harness::tools::leave_out;
use crate::harness::{Key, Server, Start, Work};
use crate::hostile::bystander::Quiet;
use crate::hostile::crowds::{four_addresses, raise_open_files, silent_frames, strangers};
use crate::hostile::debts::{
    impatient_producer, impatient_reader, reconnecting_producer, reconnecting_reader, set_quota,
};
use crate::hostile::http::{CREATE_KEY, PRODUCE, silent_sockets, unfinished_calls};
use crate::hostile::statements::heavy_statements;
use crate::tenants::tenant;
use crate::wire::Wire;
use millstream_kafka_wire::messages::MetadataRequest;
use millstream_rust::rpc::control::Role;
use millstream_rust::rpc::data::DeleteGroupRequest;
use millstream_rust::{Client, Position};
use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Files that the server may have: each door then has 3,488 places, so that a crowd need not be larger than this to take
/// them all. The tests of each door alone have as many as were found.
const SERVER_FILES: u64 = 8_000;

/// Silent sockets at the HTTP door, and logged-in connections at the Kafka door: half of its places are 1,744.
const CROWD: usize = 2_500;

/// Strangers of each of four addresses at the Kafka door; a quarter of their places is 436.
const STRANGERS: usize = 500;

const TOPIC: &str = "hostile";

/// How often the quiet tenant's day goes by meanwhile, at least: it goes on until the door has closed somebody for each of
/// the reasons that it has.
const DAYS: usize = 10;

const REASONS: [&str; 4] = [
    "strangers",
    "strangers_of_address",
    "connections_of_owner",
    "connection_quota",
];

/// How long the crowds may take until they are too many for each of its limits.
const ALL_SEEN_WITHIN: Duration = Duration::from_secs(120);

/// Moves bytes of a topic with this key until it is told to stop, and says how many.
type Debtor = fn(&str, &Key, &str, &CancellationToken) -> u64;

/// Opens connections with this key, and asks over them, until it is told to stop.
type Caller = fn(&CancellationToken, &str, &Key);

/// What goes on until it is told to stop.
struct Attacks {
    stop: CancellationToken,
    tasks: Vec<(&'static str, JoinHandle<()>)>,
}

impl Attacks {
    fn begin(&mut self, name: &'static str, attack: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push((name, tokio::spawn(attack)));
    }

    fn begin_on_a_thread(
        &mut self,
        name: &'static str,
        attack: impl FnOnce(CancellationToken) + Send + 'static,
    ) {
        let stop = self.stop.clone();
        self.tasks.push((name, spawn_blocking(move || attack(stop))));
    }

    /// Ends them all; none may have ended before.
    async fn end(self) {
        let ended = self.tasks.iter().filter(|(_, task)| task.is_finished());
        let ended: Vec<&str> = ended.map(|(name, _)| *name).collect();
        self.stop.cancel();
        for (name, task) in self.tasks {
            task.await.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        assert!(ended.is_empty(), "these attacks were over too early: {ended:?}");
    }
}

/// The newest sockets, so many at most.
struct Crowd<T> {
    open: VecDeque<T>,
    most: usize,
}

impl Crowd<TcpStream> {
    /// From one address, at the Kafka door.
    async fn strangers(stop: CancellationToken, kafka: String, from: IpAddr) {
        let mut crowd = Crowd::of(STRANGERS);
        while !stop.is_cancelled() {
            crowd.grow(strangers(&kafka, from, 20).await).await;
        }
    }
}

impl Crowd<std::net::TcpStream> {
    /// At the HTTP door.
    async fn silent(stop: CancellationToken, http: String) {
        let mut crowd = Crowd::of(CROWD);
        while !stop.is_cancelled() {
            crowd.grow(silent_sockets(&http, 50).await).await;
        }
    }
}

impl<T> Crowd<T> {
    fn of(most: usize) -> Crowd<T> {
        Crowd {
            open: VecDeque::new(),
            most,
        }
    }

    /// The first are there at once; from then on others come in their place, and without end.
    async fn grow(&mut self, more: Vec<T>) {
        self.open.extend(more);
        let pause_ms = if self.open.len() < self.most { 10 } else { 200 };
        while self.open.len() > self.most {
            self.open.pop_front();
        }
        sleep(Duration::from_millis(pause_ms)).await;
    }
}

/// Logs in over and over, and keeps every connection that it is let in with.
fn logged_in_crowd(stop: &CancellationToken, kafka: &str, key: &Key) {
    let mut crowd = Vec::new();
    while !stop.is_cancelled() {
        match Wire::try_authenticated(kafka, key) {
            Some(wire) if crowd.len() < CROWD => crowd.push(wire),
            _ => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

/// Asks as fast as it is answered, over connections of which its quota allows few.
fn hurried(stop: &CancellationToken, kafka: &str, key: &Key) {
    let mut connections = VecDeque::new();
    while !stop.is_cancelled() {
        match Wire::try_authenticated(kafka, key) {
            Some(wire) => connections.push_back(wire),
            None => std::thread::sleep(Duration::from_millis(5)),
        }
        for wire in &mut connections {
            let _ = wire.try_call(12, &MetadataRequest::default());
        }
        if connections.len() > 8 {
            connections.pop_front();
        }
    }
}

/// The same over gRPC; what is refused is asked again.
async fn hurried_over_grpc(stop: CancellationToken, client: Client) {
    while !stop.is_cancelled() {
        let _ = client.list_offsets(TOPIC, &[0], Position::Latest).await;
    }
}

/// Frames of which half arrives.
fn half_frames(stop: &CancellationToken, kafka: &str, key: &Key) {
    let mut frame = (64 * 1024u32).to_be_bytes().to_vec();
    frame.resize(32 * 1024, 0);
    let mut crowd = VecDeque::new();
    while !stop.is_cancelled() {
        match Wire::try_authenticated(kafka, key) {
            Some(mut wire) => {
                wire.send(&frame);
                crowd.push_back(wire);
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
        if crowd.len() > 64 {
            crowd.pop_front();
        }
    }
}

/// Deletes consumer groups with a key that may only produce.
async fn deletes_groups(stop: CancellationToken, producer: Client) {
    while !stop.is_cancelled() {
        let group = DeleteGroupRequest {
            group: "quiet".into(),
        };
        let refused = producer.data().delete_group(group).await;
        assert_eq!(refused.unwrap_err().code(), tonic::Code::PermissionDenied);
        sleep(Duration::from_millis(20)).await;
    }
}

/// Asks the tenants' port about everybody.
fn asks_for_metrics(stop: &CancellationToken, http: &str) {
    while !stop.is_cancelled() {
        // The crowd at this door may have closed this connection.
        if let Ok((status, _)) = get(http, "/metrics") {
            assert_eq!(status, 404);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A tenant with a topic and these quotas.
async fn hostile(server: &Server, name: &str, quotas: &[(&str, f64)]) -> Key {
    let (account, key) = tenant(&server.client(), name).await;
    let topics = server.client_as(&key).admin();
    topics.create_topic(TOPIC, 1, BTreeMap::new()).await.unwrap();
    for (quota, value) in quotas {
        set_quota(server, &account, quota, *value).await;
    }
    key
}

async fn begin(server: &Server, silent: &Key) -> Attacks {
    let byte_rates = [("producer_byte_rate", 50_000.0), ("consumer_byte_rate", 50_000.0)];
    let debtor = hostile(server, "debtor", &byte_rates).await;
    let crowd = hostile(server, "crowd", &[]).await;
    let few = [("request_rate", 5.0), ("connections", 6.0)];
    let hasty = hostile(server, "hurried", &few).await;
    let mut attacks = Attacks {
        stop: CancellationToken::new(),
        tasks: Vec::new(),
    };
    let stop = attacks.stop.clone();
    let (kafka, http) = (&server.doors.kafka, &server.doors.http);

    for from in four_addresses() {
        attacks.begin("strangers", Crowd::strangers(stop.clone(), kafka.clone(), from));
    }
    attacks.begin("silent sockets", Crowd::silent(stop.clone(), http.clone()));
    for (name, path, key) in [
        ("bodies of strangers", CREATE_KEY, None),
        ("bodies of a tenant", PRODUCE, Some(silent)),
        ("more of them", PRODUCE, Some(silent)),
        ("too large for their method", CREATE_KEY, Some(silent)),
    ] {
        let calls = unfinished_calls(http.clone(), path, key.cloned(), stop.clone());
        attacks.begin(name, calls);
    }
    let debtors: [(_, Debtor); 2] = [
        ("reconnecting producer", reconnecting_producer),
        ("reconnecting reader", reconnecting_reader),
    ];
    for (name, attack) in debtors {
        let (kafka, key) = (kafka.clone(), debtor.clone());
        attacks.begin_on_a_thread(name, move |stop| {
            attack(&kafka, &key, TOPIC, &stop);
        });
    }
    let (producer, reader) = (server.client_as(&debtor), server.client_as(&debtor));
    let (until, also) = (stop.clone(), stop.clone());
    attacks.begin("impatient producer", async move {
        impatient_producer(&producer, TOPIC, &until).await;
    });
    attacks.begin("impatient reader", async move {
        impatient_reader(&reader, TOPIC, &also).await;
    });
    let crowds: [(_, Caller, _); 5] = [
        ("half frames", half_frames, silent),
        ("logged-in crowd", logged_in_crowd, &crowd),
        ("logged-in crowd too", logged_in_crowd, &crowd),
        ("hurried", hurried, &hasty),
        ("hurried too", hurried, &hasty),
    ];
    for (name, attack, key) in crowds {
        let (kafka, key) = (kafka.clone(), key.clone());
        attacks.begin_on_a_thread(name, move |stop| attack(&stop, &kafka, &key));
    }
    let client = server.client_as(&hasty);
    attacks.begin("hurried over gRPC", hurried_over_grpc(stop.clone(), client));
    let made = server
        .client_as(silent)
        .admin()
        .create_key("", "producer", Role::Producer)
        .await;
    let made = made.unwrap();
    let producer = Key {
        id: made.key.unwrap().id,
        secret: made.secret,
    };
    attacks.begin(
        "deletes groups",
        deletes_groups(stop, server.client_as(&producer)),
    );
    let heavy = hostile(server, "heavy", &[]).await;
    for session in heavy_statements(server, &heavy, &attacks.stop).await {
        attacks.tasks.push(("heavy statements", session));
    }
    let http = http.clone();
    attacks.begin_on_a_thread("asks for metrics", move |stop| asks_for_metrics(&stop, &http));
    attacks
}

/// The reasons for which the Kafka door has closed nobody so far.
fn not_closed_for_yet(server: &Server) -> Vec<&'static str> {
    let (_, text) = get(&server.doors.admin, "/metrics").unwrap();
    let seen = |reason: &&str| {
        text.contains(&format!(
            "millstream_kafka_connections_closed_total{{reason=\"{reason}\"}}"
        ))
    };
    REASONS.into_iter().filter(|reason| !seen(reason)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_at_once_they_stop_nobody() {
    if !raise_open_files(2 * SERVER_FILES) {
        leave_out("left out: all attacks at once, for a process may not have 16,000 open files");
        return;
    }
    let work = Work::new();
    let pid = work.path("pid");
    let fewer = format!(
        "echo $$ > {}; ulimit -n {SERVER_FILES}; exec \"$@\"",
        pid.display()
    );
    let under = ["sh", "-c", &fewer, "sh"].map(str::to_owned);
    let server = Server::first(&work, Start::service().under(&under));
    let mut quiet = Quiet::new(&server, "quiet").await;
    let silent = hostile(&server, "hostile", &[]).await;
    let frames = silent_frames(&server, &silent, 6, 100 << 20);
    let attacks = begin(&server, &silent).await;
    // Both doors are full.
    server.wait_for_metric("kafka_connections", |open| open >= 3_000.0);
    server.wait_for_metric("quota_delays_total", |delays| delays >= 3.0);
    let begun = Instant::now();
    let mut days = 0;
    while let unseen = not_closed_for_yet(&server)
        && (days < DAYS || !unseen.is_empty())
    {
        assert!(
            begun.elapsed() < ALL_SEEN_WITHIN,
            "nobody was closed for {unseen:?}"
        );
        quiet.goes_on().await;
        days += 1;
        let used = server.metric("requests_room_used_bytes");
        assert!(used <= f64::from(640 << 20), "{used} bytes are held by requests");
        let resident = server.resident() >> 20;
        assert!(resident < 1400, "{resident} MiB are resident");
    }
    quiet.kept_its_times();
    attacks.end().await;
    drop(frames);
    quiet.goes_on().await;
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
