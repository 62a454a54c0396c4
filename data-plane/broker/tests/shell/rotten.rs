//! A journal that has rotted in places, and an operator who goes on: what is whole is there, what is not is told.

use crate::catalog::partition;
use crate::node::{Node, World, batch, end_of, eventually, fetch, first, idempotent, produce, read_all};
use millstream_access::Principal;
use millstream_broker::Settings;
use millstream_broker::interface::{Isolation, ListOffset, ProduceError};
use millstream_kafka_wire::batch::Producer;
use millstream_model::{Offset, PartitionId, ProducerEpoch, ProducerId, TopicId};
use std::path::PathBuf;
use std::time::Duration;

/// What is done to a place on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    /// A bit of the record's value.
    Value,
    /// A bit of the length in the record's frame.
    FrameLength,
    /// A bit of the group in the entry's header.
    EntryHeader,
    /// A bit in the head of the block.
    BlockHead,
}

/// The files of the journal.
fn files(world: &World) -> Vec<PathBuf> {
    let folder = std::fs::read_dir(world.folder.path().join("journal")).unwrap();
    let mut files: Vec<_> = folder
        .map(|file| file.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("file-"))
        .collect();
    files.sort();
    files
}

/// As if the process had been killed: a stop keeps a snapshot of everything.
fn forget_snapshots(world: &World) {
    std::fs::remove_dir_all(world.folder.path().join("snapshots")).unwrap();
}

/// Flips one bit at the record that has this value, which is the only one of its block.
fn harm(world: &World, value: &str, harm: Harm) {
    for path in files(world) {
        let mut bytes = std::fs::read(&path).unwrap();
        let Some(at) = bytes
            .windows(value.len())
            .position(|window| window == value.as_bytes())
        else {
            continue;
        };
        // A block begins at a page, its only record's frame right behind the head.
        let block = at / 4096 * 4096;
        assert_eq!(
            &bytes[block..block + 4],
            b"MSJB",
            "{value} is in the first page of a block"
        );
        let place = match harm {
            Harm::Value => at,
            Harm::FrameLength => block + 64 + 4,
            Harm::EntryHeader => block + 64 + 16 + 4,
            Harm::BlockHead => block + 24,
        };
        bytes[place] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        return;
    }
    panic!("{value} is not in the journal");
}

fn recovering(world: &World) -> Settings {
    Settings {
        recover_groups: true,
        ..world.settings()
    }
}

async fn fill(node: &Node, who: &Principal, to: PartitionId, values: &[String]) {
    for value in values {
        produce(&node.broker, who, to, batch(&[value])).await.unwrap();
    }
}

fn values(of: &str, range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| format!("{of}-{number:03}-")).collect()
}

/// What is to be read: every value at its offset but those.
fn expected(of: &str, range: std::ops::Range<usize>, without: &[usize]) -> Vec<(i64, String)> {
    let all = values(of, range.clone()).into_iter().zip(range);
    all.filter(|(_, number)| !without.contains(number))
        .map(|(value, number)| (number as i64, value))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_flipped_bit_costs_what_it_hit_and_nothing_behind_it() {
    let all = [Harm::Value, Harm::FrameLength, Harm::EntryHeader, Harm::BlockHead];
    for (how, has_snapshot) in all.into_iter().flat_map(|how| [(how, false), (how, true)]) {
        let world = World::new();
        let (one, two) = (
            world.catalog.create_topic(1, "one", 2, &[]),
            world.catalog.create_topic(2, "two", 1, &[]),
        );
        let (who, other) = (world.catalog.tenant(1), world.catalog.tenant(2));
        let places = [
            (&who, first(one), "a"),
            (&who, partition(one, 1), "b"),
            (&other, first(two), "c"),
        ];
        let node = world.start(world.settings()).await;
        for number in 0..20 {
            for (who, to, name) in &places {
                fill(&node, who, *to, &values(name, number..number + 1)).await;
            }
        }
        node.stop().await;
        if !has_snapshot {
            forget_snapshots(&world);
        }
        harm(&world, "b-009-", how);

        // Without the operator it serves what precedes the damage, as often as it is started.
        let node = world.start(world.settings()).await;
        assert!(!node.handle.is_healthy());
        let served = fetch(&node.broker, &who, places[1].1, 0).await;
        assert_eq!(
            served.partitions[0].high_watermark,
            Offset(if has_snapshot { 20 } else { 9 })
        );
        drop(node.broker);
        assert!(node.handle.shutdown().await.is_err(), "nothing more was written");

        let node = world.start(recovering(&world)).await;
        assert!(node.handle.is_healthy());
        let lines = node.handle.mended().to_vec();
        for (who, of, name) in &places {
            assert_eq!(end_of(&node.broker, who, *of).await, 20, "{how:?} {lines:?}");
            let without: &[usize] = if *name == "b" { &[9] } else { &[] };
            assert_eq!(
                read_all(&node.broker, who, *of, 0).await,
                expected(name, 0..20, without),
                "{how:?}"
            );
        }
        let lost: Vec<_> = lines
            .iter()
            .filter(|line| line.starts_with("journal lost "))
            .collect();
        assert_eq!(lost.len(), 1, "{lines:?}");
        assert!(
            lost[0].ends_with("topic=one partition=1 from=9 to=9 count=1"),
            "{lines:?}"
        );
        assert!(
            !lines.iter().any(|line| line.starts_with("journal unknown")),
            "{lines:?}"
        );
        for (who, to, name) in &places {
            fill(&node, who, *to, &values(name, 20..22)).await;
        }
        node.handle.was_told();
        node.stop().await;
        // And all of it is on a sound disk.
        let node = world.start(world.settings()).await;
        assert!(node.handle.is_healthy() && node.handle.mended().is_empty());
        for (who, of, name) in &places {
            let without: &[usize] = if *name == "b" { &[9] } else { &[] };
            end_of(&node.broker, who, *of).await;
            assert_eq!(
                read_all(&node.broker, who, *of, 0).await,
                expected(name, 0..22, without)
            );
        }
        node.stop().await;
    }
}

/// A mended journal looks sound: a start that was killed before anybody read what was lost must not be the last to say it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_is_told_until_somebody_was_told() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let who = world.catalog.tenant(1);
    let node = world.start(world.settings()).await;
    fill(&node, &who, first(topic), &values("v", 0..5)).await;
    node.stop().await;
    forget_snapshots(&world);
    harm(&world, "v-002-", Harm::Value);
    let node = world.start(recovering(&world)).await;
    let lines = node.handle.mended().to_vec();
    assert!(
        lines.iter().any(|line| line.ends_with("from=2 to=2 count=1")),
        "{lines:?}"
    );
    node.stop().await;
    for settings in [recovering(&world), world.settings()] {
        let node = world.start(settings).await;
        assert!(node.handle.is_healthy());
        assert_eq!(node.handle.mended(), lines);
        node.stop().await;
    }
    let node = world.start(world.settings()).await;
    node.handle.was_told();
    node.stop().await;
    let node = world.start(recovering(&world)).await;
    assert!(node.handle.mended().is_empty());
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idempotent_producers_go_on_behind_a_gap() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 1, &[]);
    let (who, of) = (world.catalog.tenant(1), first(topic));
    let numbered = |id: i64, sequence: i32| {
        let producer = Producer {
            id: ProducerId(id),
            epoch: ProducerEpoch(0),
            base_sequence: sequence,
        };
        idempotent(producer, &[&format!("p{id}-{sequence:03}-")])
    };
    let node = world.start(world.settings()).await;
    // The last batch of 7 is lost, 8 goes on behind it, 9 lost one in the middle.
    for (id, sequence) in [(7, 0), (8, 0), (9, 0), (7, 1), (9, 1), (8, 1), (9, 2)] {
        produce(&node.broker, &who, of, numbered(id, sequence))
            .await
            .unwrap();
    }
    node.stop().await;
    forget_snapshots(&world);
    harm(&world, "p7-001-", Harm::Value);
    harm(&world, "p9-001-", Harm::BlockHead);
    let node = world.start(recovering(&world)).await;
    // 7 and 9 and 8 were known before the one damage or the other.
    let forgot: Vec<_> = node
        .handle
        .mended()
        .iter()
        .filter(|it| it.contains("forgot"))
        .collect();
    assert!(
        !forgot.is_empty()
            && forgot.iter().all(|it| it.starts_with("journal forgot_producers ")
                && it.contains("topic=t partition=0 count=3")),
        "{:?}",
        node.handle.mended()
    );
    assert_eq!(end_of(&node.broker, &who, of).await, 7);
    let read: Vec<_> = read_all(&node.broker, &who, of, 0)
        .await
        .into_iter()
        .map(|(offset, _)| offset)
        .collect();
    assert_eq!(read, [0, 1, 2, 5, 6]);
    // What is known is known: a repeat is one.
    let repeated = produce(&node.broker, &who, of, numbered(9, 2)).await.unwrap();
    assert_eq!(repeated.base_offset, Offset(6));
    for (id, sequence, offset) in [(7, 2, 7), (8, 2, 8), (9, 3, 9)] {
        let produced = produce(&node.broker, &who, of, numbered(id, sequence))
            .await
            .unwrap();
        assert_eq!(produced.base_offset, Offset(offset), "{id}");
    }
    let refused = produce(&node.broker, &who, of, numbered(8, 5)).await;
    let Err(ProduceError::OutOfOrderSequence { .. }) = refused else {
        panic!("{refused:?}")
    };
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_opened_in_a_gap_and_what_ended_in_one() {
    let world = World::new();
    let early = world.catalog.create_topic(1, "early", 1, &[]);
    let who = world.catalog.tenant(1);
    let node = world.start(world.settings()).await;
    fill(&node, &who, first(early), &values("a", 0..5)).await;
    let late = world.catalog.create_topic(1, "late", 1, &[]);
    end_of(&node.broker, &who, first(late)).await;
    fill(&node, &who, first(late), &values("b", 0..5)).await;
    fill(&node, &who, first(early), &values("a", 5..6)).await;
    fill(&node, &who, first(late), &values("b", 5..8)).await;
    // The opening of one, and the last batch of the other.
    node.stop().await;
    forget_snapshots(&world);
    harm_opening(&world, late);
    harm(&world, "a-005-", Harm::Value);
    let node = world.start(recovering(&world)).await;
    let lines = node.handle.mended().to_vec();
    assert_eq!(end_of(&node.broker, &who, first(late)).await, 8, "{lines:?}");
    assert_eq!(
        read_all(&node.broker, &who, first(late), 0).await,
        expected("b", 0..8, &[])
    );
    // Nobody knows how many records the lost batch had: more than that it cannot have been.
    let goes_on = end_of(&node.broker, &who, first(early)).await;
    assert_eq!(goes_on, 5 + 1_000_000, "{lines:?}");
    let unknown = format!("topic=early partition=0 from=5 goes_on_at={goes_on}");
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("journal unknown ") && line.ends_with(&unknown)),
        "{lines:?}"
    );
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("journal reopened ") && line.ends_with("topic=late partition=0"))
    );
    let at = produce(&node.broker, &who, first(early), batch(&["next"]))
        .await
        .unwrap();
    assert_eq!(at.base_offset, Offset(goes_on));
    let mut all = expected("a", 0..5, &[]);
    all.push((goes_on, "next".to_owned()));
    assert_eq!(read_all(&node.broker, &who, first(early), 0).await, all);
    node.stop().await;
}

/// Flips a bit of the first entry that names this topic: of its opening.
fn harm_opening(world: &World, topic: TopicId) {
    harm_naming(world, topic, |places| places.first().cloned());
}

/// Flips a bit of one of the entries that name this topic.
fn harm_naming(
    world: &World,
    topic: TopicId,
    which: impl Fn(&[(PathBuf, usize)]) -> Option<(PathBuf, usize)>,
) {
    let id = topic.to_bytes();
    let mut places = Vec::new();
    for path in files(world) {
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes
            .windows(id.len())
            .enumerate()
            .filter(|(_, window)| *window == id);
        places.extend(found.map(|(at, _)| (path.clone(), at)));
    }
    let (path, at) = which(&places).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[at] ^= 1;
    std::fs::write(&path, bytes).unwrap();
}

/// log.md 34: the tombstone is there, so a deletion that the log has lost is done again.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_was_in_a_gap_is_repeated() {
    let world = World::new();
    let (gone, stays) = (
        world.catalog.create_topic(1, "gone", 1, &[]),
        world.catalog.create_topic(1, "stays", 1, &[]),
    );
    let who = world.catalog.tenant(1);
    let node = world.start(world.settings()).await;
    fill(&node, &who, first(gone), &values("a", 0..3)).await;
    world.catalog.delete_topic(gone);
    eventually("it is deleted", || {
        world.catalog.image().topic_by_id(gone).unwrap().partitions[0].deleted
    })
    .await;
    fill(&node, &who, first(stays), &values("b", 0..3)).await;
    node.stop().await;
    forget_snapshots(&world);
    harm_naming(&world, gone, |places| places.last().cloned());
    let node = world.start(recovering(&world)).await;
    assert_eq!(end_of(&node.broker, &who, first(stays)).await, 3);
    let again: Vec<_> = node
        .handle
        .mended()
        .iter()
        .filter(|it| it.contains("deleted"))
        .collect();
    assert!(
        matches!(&again[..], [line] if line.starts_with("journal deleted_again ")
            && line.ends_with("topic=gone partition=0")),
        "{:?}",
        node.handle.mended()
    );
    // A group that has it still is found out where the catalog does not know it any more.
    for round in 0..200 {
        let row = world.catalog.lose_topic(gone);
        for name in ["one", "two"] {
            let next = world.catalog.create_topic(1, &format!("{name}-{round}"), 1, &[]);
            end_of(&node.broker, &who, first(next)).await;
            fill(&node, &who, first(next), &values("c", 0..1)).await;
        }
        if node.metric("unknown_partitions") == 0.0 {
            return node.stop().await;
        }
        world.catalog.find_topic(row);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!(
        "what the tombstone says is deleted is there: {:?}",
        node.handle.mended()
    );
}

/// A snapshot that is newer than the damage knows what was appended; only the records are gone.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_newer_snapshot_knows_is_lost_as_records_only() {
    let world = World::new();
    let topic = world.catalog.create_topic(1, "t", 2, &[]);
    let (who, of, other) = (world.catalog.tenant(1), first(topic), partition(topic, 1));
    let mut settings = world.settings();
    settings.snapshot_interval = Duration::from_millis(20);
    let node = world.start(settings).await;
    fill(&node, &who, of, &values("a", 0..10)).await;
    fill(&node, &who, other, &values("b", 0..3)).await;
    // One request after the other makes runs of several entries; a stop keeps a snapshot of everything.
    node.stop().await;
    harm(&world, "a-004-", Harm::BlockHead);
    harm(&world, "a-009-", Harm::Value);
    harm(&world, "b-001-", Harm::Value);
    let node = world.start(recovering(&world)).await;
    let lines = node.handle.mended().to_vec();
    assert_eq!(end_of(&node.broker, &who, of).await, 10, "{lines:?}");
    assert_eq!(end_of(&node.broker, &who, other).await, 3, "{lines:?}");
    assert_eq!(
        read_all(&node.broker, &who, of, 0).await,
        expected("a", 0..10, &[4, 9]),
        "{lines:?}"
    );
    assert_eq!(
        read_all(&node.broker, &who, other, 0).await,
        expected("b", 0..3, &[1]),
        "{lines:?}"
    );
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.starts_with("journal lost "))
            .count(),
        3,
        "{lines:?}"
    );
    // The flush takes all of it to the store.
    fill(&node, &who, of, &values("a", 10..11)).await;
    node.stop().await;
    let mut settings = world.settings();
    settings.flush.age_ms = 0;
    let node = world.start(settings).await;
    let tiered = async || {
        let (what, isolation) = (ListOffset::LatestTiered, Isolation::ReadUncommitted);
        let found = node.broker.list_offset(&who, of, None, what, isolation).await;
        found.map_or(-1, |found| found.offset.0)
    };
    for _ in 0..2000 {
        if tiered().await == 10 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(tiered().await, 10);
    assert_eq!(
        read_all(&node.broker, &who, of, 0).await,
        expected("a", 0..11, &[4, 9])
    );
    assert_eq!(node.metric("flush_failures_total"), 0.0);
    node.stop().await;
}
