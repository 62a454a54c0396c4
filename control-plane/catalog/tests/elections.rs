//! Who leads a group of three (log.md 14, 17-19): sessions that end one after another, restarts, a leader that resigns.

#![allow(clippy::unwrap_used)]

use millstream_catalog::{Batch, Seeds};
use millstream_metadata::{
    Actor, Change, Class, EndSession, GroupPurpose, GroupRow, Heartbeat, HostPort, Image, Refusal,
    RegisterNode, Replica, Request, Resign, Row,
};
use millstream_model::{Epoch, GroupId, JournalId, Registration, TimestampMs};
use std::sync::Arc;
use uuid::Uuid;

const GROUP: GroupId = GroupId(1_000);

/// Three nodes and a group that they hold together, led by the first.
struct World {
    image: Image,
}

fn journal(number: u128) -> JournalId {
    JournalId(Uuid::from_u128(number))
}

impl World {
    fn new() -> World {
        let mut world = World { image: Image::new() };
        (1..=3).for_each(|number| world.start(number, None));
        let member = |number| Replica {
            journal: journal(number),
            registration: world.image.node_of(journal(number)).unwrap().registration,
        };
        let row = GroupRow {
            id: GROUP,
            purpose: GroupPurpose::Tenants,
            class: Class::THREE,
            epoch: Epoch(1),
            version: 1,
            leader: Some(journal(1)),
            isr: [1, 2, 3].map(member).into(),
            members: [1, 2, 3].map(journal).into(),
            snapshot: None,
            snapshot_previous: None,
        };
        world.image.apply(&Change::Put(Row::Group(Arc::new(row))));
        world
    }

    fn run<R: Request>(&mut self, actor: &Actor, request: R) -> Result<R::Reply, Refusal> {
        let mut batch = Batch::new(&self.image);
        let reply = batch.submit(&mut Seeds::new(TimestampMs(1), [1; 32]), actor, request);
        if !batch.is_empty() {
            self.image = batch.finish().0;
        }
        reply
    }

    fn node(&self, number: u128) -> (Actor, Registration) {
        let node = self.image.node_of(journal(number)).unwrap();
        (Actor::Node(node.id), node.registration)
    }

    fn start(&mut self, number: u128, registration_last: Option<Registration>) {
        let address = HostPort {
            host: "127.0.0.1".into(),
            port: 1,
        };
        let start = RegisterNode {
            journal: journal(number),
            registration_last,
            kafka: address.clone(),
            http: address,
            feature_level_max: 1,
            damaged: false,
        };
        self.run(&Actor::System, start).unwrap();
    }

    fn restart(&mut self, number: u128) {
        let (_, registration) = self.node(number);
        self.start(number, Some(registration));
    }

    fn lose(&mut self, number: u128) {
        let (_, registration) = self.node(number);
        let journal = journal(number);
        let end = EndSession {
            journal,
            registration,
        };
        self.run(&Actor::System, end).unwrap();
    }

    fn beat(&mut self, number: u128) {
        let (actor, registration) = self.node(number);
        let version = self.image.version();
        let beat = Heartbeat {
            registration,
            version,
        };
        self.run(&actor, beat).unwrap();
    }

    /// Who leads, and in which epoch.
    fn leads(&self) -> (Option<JournalId>, u32) {
        let row = self.image.group(GROUP).unwrap();
        (row.leader, row.epoch.0)
    }
}

#[test]
fn a_group_whose_sessions_all_ended_goes_on_with_the_in_sync_member_that_comes_back() {
    let mut world = World::new();
    world.lose(3);
    world.lose(2);
    world.lose(1);
    assert_eq!(world.leads(), (Some(journal(1)), 1), "nobody else could serve");
    world.beat(2);
    assert_eq!(
        world.leads(),
        (Some(journal(2)), 2),
        "the leader may be gone for good"
    );
    world.beat(1);
    assert_eq!(world.leads(), (Some(journal(2)), 2));

    let mut world = World::new();
    (1..=3).rev().for_each(|number| world.lose(number));
    world.restart(3);
    assert_eq!(world.leads(), (Some(journal(3)), 2), "by a new start as well");

    let mut world = World::new();
    (1..=3).rev().for_each(|number| world.lose(number));
    world.beat(1);
    assert_eq!(world.leads(), (Some(journal(1)), 1), "it was alive all the time");
}

#[test]
fn who_is_not_in_sync_takes_no_group_over() {
    let mut world = World::new();
    let mut row = world.image.group(GROUP).unwrap().as_ref().clone();
    row.isr.retain(|replica| replica.journal != journal(3));
    world.image.apply(&Change::Put(Row::Group(Arc::new(row))));
    (1..=3).rev().for_each(|number| world.lose(number));
    world.beat(3);
    world.restart(3);
    assert_eq!(world.leads(), (Some(journal(1)), 1));
}

#[test]
fn a_leader_resigns_in_favour_of_a_live_in_sync_member_only() {
    let mut world = World::new();
    let resign = |epoch| Resign {
        group: GROUP,
        epoch: Epoch(epoch),
    };
    let (first, _) = world.node(1);
    let (second, _) = world.node(2);
    let refused = world.run(&second, resign(1));
    assert!(matches!(refused, Err(Refusal::Fenced { .. })), "{refused:?}");
    world.lose(2);
    world.run(&first, resign(1)).unwrap();
    assert_eq!(world.leads(), (Some(journal(3)), 2));
    let refused = world.run(&first, resign(1));
    assert!(matches!(refused, Err(Refusal::Fenced { .. })), "it came twice");

    let (third, _) = world.node(3);
    world.lose(1);
    world.run(&third, resign(2)).unwrap();
    assert_eq!(world.leads(), (Some(journal(3)), 2), "there is nobody else");
}
