//! Asking, and writing down what is answered.

use super::text;
use crate::harness::Key;
use crate::wire::{Outcome, Wire};
use millstream_kafka_wire::frame::{decode_response, encode_request};
use millstream_kafka_wire::message::Request;
use millstream_kafka_wire::messages::{
    ApiVersionsRequest, CreateTopicsRequest, FindCoordinatorRequest, HeartbeatRequest, ListOffsetsRequest,
    MetadataRequest, create_topics_request, list_offsets_request, metadata_request,
};
use millstream_kafka_wire::{ApiKey, ErrorCode};
use std::fmt::Write;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long a broker may take to know of its topics and groups.
const PATIENCE: Duration = Duration::from_secs(30);

/// A conversation with a broker, and its minutes.
pub struct Talk {
    address: String,
    key: Option<Key>,
    wire: Wire,
    minutes: String,
    /// What the broker called something, and what the minutes call it.
    labels: Vec<(String, String)>,
}

/// The versions that Kafka 4.3 has of an API: where Millstream has older ones too, nobody can say what they answer.
pub fn versions<R: Request>() -> RangeInclusive<i16> {
    let from = match R::KEY {
        ApiKey::Produce => 3,
        ApiKey::Fetch => 4,
        ApiKey::OffsetCommit | ApiKey::CreateTopics => 2,
        ApiKey::ListOffsets | ApiKey::OffsetFetch | ApiKey::DeleteTopics | ApiKey::DescribeConfigs => 1,
        ApiKey::DescribeAcls | ApiKey::DescribeLogDirs => 1,
        _ => *R::KEY.versions().start(),
    };
    from..=*R::KEY.versions().end()
}

impl Talk {
    pub fn new(address: &str, key: Option<&Key>) -> Talk {
        let mut talk = Talk {
            address: address.to_owned(),
            key: key.cloned(),
            wire: Wire::connect(address),
            minutes: String::new(),
            labels: Vec::new(),
        };
        talk.wire = talk.another();
        talk
    }

    /// Another connection to the same broker.
    pub fn another(&self) -> Wire {
        match &self.key {
            Some(key) => Wire::authenticated(&self.address, key),
            None => Wire::connect(&self.address),
        }
    }

    pub fn text(&self) -> String {
        self.minutes.clone()
    }

    /// From here on the minutes say `label` where the broker says `text`.
    pub fn label(&mut self, text: &str, label: &str) {
        if !text.is_empty() {
            self.labels.push((text.to_owned(), label.to_owned()));
        }
    }

    /// Asks once without writing down; none when the connection was closed instead.
    pub fn quietly<R: Request>(&mut self, version: i16, request: &R) -> Option<R::Response> {
        let frame = encode_request(version, 1, Some("oracle"), request).unwrap();
        self.wire.send(&frame.into_bytes());
        match self.wire.outcome() {
            Outcome::Answer(frame) => Some(decode_response::<R>(frame, version).expect("a whole answer").1),
            Outcome::Closed => {
                self.wire = self.another();
                None
            }
        }
    }

    /// Asks in one version.
    pub fn ask<R: Request>(&mut self, step: &str, version: i16, request: &R) -> R::Response {
        self.ask_seen(step, version, request, |answer| answer)
    }

    /// The same, for an answer of which only a part can be compared.
    pub fn ask_seen<R: Request>(
        &mut self,
        step: &str,
        version: i16,
        request: &R,
        see: impl Fn(R::Response) -> R::Response,
    ) -> R::Response {
        println!("{step}");
        let answer = self.quietly(version, request).map(see);
        let text = self.said(version, answer.as_ref());
        let _ = writeln!(self.minutes, "# {step}\nv{version}: {text}");
        answer.unwrap_or_default()
    }

    /// Asks in every version.
    pub fn each<R: Request>(&mut self, step: &str, request: impl Fn(i16) -> R) {
        self.each_of(step, versions::<R>(), request);
    }

    /// Asks in these versions; those that are answered alike are written down once.
    pub fn each_of<R: Request>(
        &mut self,
        step: &str,
        versions: RangeInclusive<i16>,
        request: impl Fn(i16) -> R,
    ) {
        self.each_seen(step, versions, request, |answer| answer);
    }

    /// The same, for answers of which only a part can be compared.
    pub fn each_seen<R: Request>(
        &mut self,
        step: &str,
        versions: RangeInclusive<i16>,
        request: impl Fn(i16) -> R,
        see: impl Fn(R::Response) -> R::Response,
    ) {
        let mut alike: Vec<(i16, i16, String)> = Vec::new();
        for version in versions {
            println!("{step}, version {version}");
            let answer = self.quietly(version, &request(version)).map(&see);
            let text = self.said(version, answer.as_ref());
            match alike.last_mut() {
                Some((_, last, same)) if *same == text => *last = version,
                _ => alike.push((version, version, text)),
            }
        }
        let _ = writeln!(self.minutes, "# {step}");
        for (first, last, text) in alike {
            let _ = if first == last {
                writeln!(self.minutes, "v{first}: {text}")
            } else {
                writeln!(self.minutes, "v{first}-{last}: {text}")
            };
        }
    }

    /// Writes down an answer that came by another way.
    pub fn note<A: std::fmt::Debug>(&mut self, step: &str, answer: &A) {
        let text = self.said(-1, Some(answer));
        let _ = writeln!(self.minutes, "# {step}\n{text}");
    }

    fn said<A: std::fmt::Debug>(&self, version: i16, answer: Option<&A>) -> String {
        let Some(answer) = answer else {
            return "closed".to_owned();
        };
        let mut text = text::of(answer);
        for (theirs, label) in &self.labels {
            text = text.replace(theirs.as_str(), label);
        }
        // Names that end in the version, and partitions that bear its number.
        text = text.replace(&format!("-v{version}\""), "-vN\"");
        for name in [" index", "{index", "partition_index"] {
            if version >= 3 {
                text = text.replace(&format!("{name}: {version},"), &format!("{name}: N,"));
            }
        }
        text
    }

    /// Which versions the broker advertises of each API: key, lowest, highest.
    pub fn advertised(&mut self) -> Vec<(i16, i16, i16)> {
        let request = ApiVersionsRequest {
            client_software_name: "oracle".to_owned(),
            client_software_version: "1".to_owned(),
        };
        let answer = self.quietly(3, &request).expect("an answer");
        let ranges = answer.api_keys.into_iter();
        ranges
            .map(|api| (api.api_key, api.min_version, api.max_version))
            .collect()
    }

    /// The number of the only broker.
    pub fn broker(&mut self) -> i32 {
        let answer = self.quietly(8, &MetadataRequest::default()).expect("an answer");
        assert_eq!(answer.brokers.len(), 1, "{answer:?}");
        answer.brokers[0].node_id
    }

    /// Makes a topic and waits until it can be used. Its id is called `<id of NAME>`. It keeps its records for ever unless
    /// `configs` say otherwise: those of the scripts are years old, and both brokers look from time to time what is too
    /// old for a topic with the default.
    pub fn topic(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> Uuid {
        let for_ever = ("retention.ms", "-1");
        let says = configs.iter().any(|(name, _)| *name == for_ever.0);
        let configs = configs
            .iter()
            .chain((!says).then_some(&for_ever))
            .map(|(name, value)| create_topics_request::CreatableTopicConfig {
                name: (*name).to_owned(),
                value: Some((*value).to_owned()),
            });
        let topic = create_topics_request::CreatableTopic {
            name: name.to_owned(),
            num_partitions: partitions,
            replication_factor: 1,
            configs: configs.collect(),
            ..Default::default()
        };
        let request = CreateTopicsRequest {
            topics: vec![topic],
            timeout_ms: 10_000,
            ..Default::default()
        };
        let made = self.quietly(7, &request).expect("an answer");
        assert_eq!(made.topics[0].error_code, 0, "{made:?}");
        let id = made.topics[0].topic_id;
        self.label(&id.to_string(), &format!("<id of {name}>"));
        self.wait_for_topic(name, partitions);
        id
    }

    fn wait_for_topic(&mut self, name: &str, partitions: i32) {
        let request = MetadataRequest {
            topics: Some(vec![metadata_request::MetadataRequestTopic {
                name: Some(name.to_owned()),
                ..Default::default()
            }]),
            allow_auto_topic_creation: false,
            ..Default::default()
        };
        self.wait_until(&request, |answer| {
            let topic = &answer.topics[0];
            topic.error_code == 0
                && topic.partitions.len() == usize::try_from(partitions).unwrap()
                && topic.partitions.iter().all(|partition| partition.error_code == 0)
        });
        // Kafka tells of a partition before it serves it.
        let all = (0..partitions).map(|partition_index| list_offsets_request::ListOffsetsPartition {
            partition_index,
            timestamp: -1,
            ..Default::default()
        });
        let request = ListOffsetsRequest {
            replica_id: -1,
            topics: vec![list_offsets_request::ListOffsetsTopic {
                name: name.to_owned(),
                partitions: all.collect(),
            }],
            ..Default::default()
        };
        self.wait_until(&request, |answer| {
            answer.topics[0]
                .partitions
                .iter()
                .all(|partition| partition.error_code == 0)
        });
    }

    /// Waits until groups can be used: Kafka makes their topic when somebody asks first.
    pub fn groups_ready(&mut self) {
        let find = FindCoordinatorRequest {
            coordinator_keys: vec!["warm".to_owned()],
            ..Default::default()
        };
        self.wait_until(&find, |answer| answer.coordinators[0].error_code == 0);
        let heartbeat = HeartbeatRequest {
            group_id: "warm".to_owned(),
            member_id: "nobody".to_owned(),
            ..Default::default()
        };
        self.wait_until(&heartbeat, |answer| {
            answer.error_code == ErrorCode::UnknownMemberId.number()
        });
    }

    /// Asks without writing down until the answer is as hoped.
    pub fn wait_until<R: Request>(&mut self, request: &R, done: impl Fn(&R::Response) -> bool) {
        let begun = Instant::now();
        let newest = *R::KEY.versions().end();
        while !self.quietly(newest, request).is_some_and(|answer| done(&answer)) {
            assert!(begun.elapsed() < PATIENCE, "{} never answered as hoped", R::NAME);
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
