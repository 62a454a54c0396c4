//! Three machines, a faulty network, disks that forget what was not synced, and a model of the controller: what was
//! committed once must stay, at the same place, on whoever leads next. A failure prints its seed.

#![allow(clippy::unwrap_used)]

#[path = "network/controller.rs"]
mod controller;
#[path = "network/node.rs"]
mod node;
#[path = "network/world.rs"]
mod world;

use millstream_replication::Planted;
use world::World;

fn first_failure(seeds: std::ops::Range<u64>, planted: Planted) -> Option<(u64, String)> {
    seeds
        .into_iter()
        .find_map(|seed| World::new(seed, planted).run().err().map(|why| (seed, why)))
}

#[test]
fn committed_entries_never_differ_or_vanish() {
    let count = std::env::var("MILLSTREAM_REPLICATION_SEEDS")
        .ok()
        .and_then(|it| it.parse().ok())
        .unwrap_or(12);
    let failure = first_failure(0..count, Planted::default());
    assert!(failure.is_none(), "(seed, why): {failure:?}");
}

#[test]
fn one_seed_twice_is_the_same_run() {
    let run = || {
        let mut world = World::new(7, Planted::default());
        world.trace = Some(String::new());
        world.run().unwrap();
        world.trace.unwrap()
    };
    let trace = run();
    assert!(trace.len() > 1000);
    assert_eq!(trace, run());
}

#[test]
fn finds_an_epoch_led_by_two_incarnations() {
    let planted = Planted {
        epoch_led_by_two_incarnations: true,
        ..Planted::default()
    };
    assert!(first_failure(0..400, planted).is_some());
}

#[test]
fn finds_a_high_watermark_on_receive() {
    let planted = Planted {
        high_watermark_on_receive: true,
        ..Planted::default()
    };
    assert!(first_failure(0..400, planted).is_some());
}
