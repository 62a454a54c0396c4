//! Members: they join, sync, live, leave; dynamic and static ones.

use super::ask::{Talk, versions};
use crate::wire::{Outcome, Wire};
use bytes::Bytes;
use millstream_kafka_wire::frame::{decode_response, encode_request};
use millstream_kafka_wire::message::Request;
use millstream_kafka_wire::messages::join_group_request::JoinGroupRequestProtocol;
use millstream_kafka_wire::messages::leave_group_request::MemberIdentity;
use millstream_kafka_wire::messages::sync_group_request::SyncGroupRequestAssignment;
use millstream_kafka_wire::messages::{
    DescribeGroupsRequest, HeartbeatRequest, JoinGroupRequest, JoinGroupResponse, LeaveGroupRequest,
    SyncGroupRequest,
};

/// A consumer's join.
pub fn join(group: &str, member: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_id: group.to_owned(),
        session_timeout_ms: 30_000,
        rebalance_timeout_ms: 30_000,
        member_id: member.to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: offers(&["range", "roundrobin"]),
        ..Default::default()
    }
}

fn offers(names: &[&str]) -> Vec<JoinGroupRequestProtocol> {
    let offer = |name: &&str| JoinGroupRequestProtocol {
        name: (*name).to_owned(),
        metadata: subscription("topic"),
    };
    names.iter().map(offer).collect()
}

/// A consumer's subscription to one topic, version 0.
fn subscription(topic: &str) -> Bytes {
    let mut bytes = vec![0, 0, 0, 0, 0, 1];
    bytes.extend(u16::try_from(topic.len()).unwrap().to_be_bytes());
    bytes.extend(topic.as_bytes());
    bytes.extend((-1i32).to_be_bytes());
    Bytes::from(bytes)
}

fn with_instance(join: JoinGroupRequest, instance: &str) -> JoinGroupRequest {
    JoinGroupRequest {
        group_instance_id: Some(instance.to_owned()),
        ..join
    }
}

pub fn sync(group: &str, member: &str, generation_id: i32, assigned: &[&str]) -> SyncGroupRequest {
    let assign = |member: &&str| SyncGroupRequestAssignment {
        member_id: (*member).to_owned(),
        assignment: Bytes::from_static(b"work"),
    };
    SyncGroupRequest {
        group_id: group.to_owned(),
        generation_id,
        member_id: member.to_owned(),
        protocol_type: Some("consumer".to_owned()),
        protocol_name: Some("range".to_owned()),
        assignments: assigned.iter().map(assign).collect(),
        ..Default::default()
    }
}

fn heartbeat(group: &str, member: &str, generation_id: i32) -> HeartbeatRequest {
    HeartbeatRequest {
        group_id: group.to_owned(),
        generation_id,
        member_id: member.to_owned(),
        ..Default::default()
    }
}

fn leave(group: &str, members: &[(&str, Option<&str>)]) -> LeaveGroupRequest {
    LeaveGroupRequest {
        group_id: group.to_owned(),
        member_id: members.first().map(|it| it.0.to_owned()).unwrap_or_default(),
        members: members
            .iter()
            .map(|(member, instance)| MemberIdentity {
                member_id: (*member).to_owned(),
                group_instance_id: instance.map(str::to_owned),
                ..Default::default()
            })
            .collect(),
    }
}

fn describe(group: &str) -> DescribeGroupsRequest {
    DescribeGroupsRequest {
        groups: vec![group.to_owned()],
        ..Default::default()
    }
}

/// Sends on a connection; the answer may be long in coming.
fn begin<R: Request>(wire: &mut Wire, version: i16, request: &R) {
    let frame = encode_request(version, 1, Some("oracle"), request).unwrap();
    wire.send(&frame.into_bytes());
}

fn end<R: Request>(wire: &mut Wire, version: i16) -> R::Response {
    match wire.outcome() {
        Outcome::Answer(frame) => decode_response::<R>(frame, version).unwrap().1,
        Outcome::Closed => panic!("closed instead of an answer"),
    }
}

/// Members in the order of what they are called here.
fn ordered(mut answer: JoinGroupResponse, first: &str) -> JoinGroupResponse {
    answer.members.sort_by_key(|member| member.member_id != first);
    answer
}

/// A member that has joined a group of its own and synced; its id is called `<label>`.
pub fn member(talk: &mut Talk, group: &str, label: &str) -> String {
    let id = talk.quietly(4, &join(group, "")).expect("an answer").member_id;
    talk.label(&id, &format!("<{label}>"));
    let joined = talk.quietly(4, &join(group, &id)).expect("an answer");
    assert_eq!(joined.error_code, 0, "{joined:?}");
    let synced = talk.quietly(5, &sync(group, &id, joined.generation_id, &[&id]));
    assert_eq!(synced.expect("an answer").error_code, 0);
    id
}

pub fn script(talk: &mut Talk) {
    talk.groups_ready();
    // All join at once: the first join of a group may wait a while for others.
    let begun: Vec<(i16, Wire, String)> = versions::<JoinGroupRequest>()
        .map(|version| begin_life(talk, version))
        .collect();
    for (version, wire, id) in begun {
        life(talk, version, wire, &id);
    }
    refused_joins(talk);
    mistaken(talk);
    two(talk);
}

/// A member's first steps; the answer to its join is still to come.
fn begin_life(talk: &mut Talk, version: i16) -> (i16, Wire, String) {
    let group = format!("life-{version}");
    let step = |what: &str| format!("life {version}: {what}");
    let mut id = String::new();
    if version >= 4 {
        let told = talk.quietly(version, &join(&group, "")).expect("an answer");
        id = told.member_id.clone();
        talk.label(&id, &format!("<member {version}>"));
        talk.note(&step("join without an id"), &told);
        talk.ask(&step("describe what pends"), 6, &describe(&group));
    }
    let mut wire = talk.another();
    begin(&mut wire, version, &join(&group, &id));
    (version, wire, id)
}

/// The rest of its life, everything in about the same version.
fn life(talk: &mut Talk, version: i16, mut wire: Wire, id: &str) {
    let group = format!("life-{version}");
    let step = |what: &str| format!("life {version}: {what}");
    let joined = end::<JoinGroupRequest>(&mut wire, version);
    let id = if id.is_empty() {
        joined.member_id.clone()
    } else {
        id.to_owned()
    };
    talk.label(&id, &format!("<member {version}>"));
    talk.note(&step("join"), &joined);
    let within = |max: i16| version.min(max);
    talk.ask(&step("describe before the sync"), within(6), &describe(&group));
    talk.ask(
        &step("heartbeat before the sync"),
        within(4),
        &heartbeat(&group, &id, 1),
    );
    talk.ask(&step("sync"), within(5), &sync(&group, &id, 1, &[&id]));
    talk.ask(&step("sync again"), within(5), &sync(&group, &id, 1, &[]));
    talk.ask(&step("heartbeat"), within(4), &heartbeat(&group, &id, 1));
    talk.ask(&step("describe"), within(6), &describe(&group));
    talk.ask(&step("join again"), version, &join(&group, &id));
    talk.ask(&step("sync after that"), within(5), &sync(&group, &id, 2, &[&id]));
    talk.ask(&step("leave"), within(5), &leave(&group, &[(&id, None)]));
    talk.ask(&step("leave again"), within(5), &leave(&group, &[(&id, None)]));
    talk.ask(
        &step("heartbeat after the end"),
        within(4),
        &heartbeat(&group, &id, 2),
    );
    talk.ask(&step("describe what is empty"), within(6), &describe(&group));
}

fn refused_joins(talk: &mut Talk) {
    let new = |change: &dyn Fn(&mut JoinGroupRequest)| {
        let mut request = join("refused", "");
        change(&mut request);
        request
    };
    type Change = fn(&mut JoinGroupRequest);
    let steps: [(&str, Change); 8] = [
        ("a group without a name", |it| it.group_id = String::new()),
        ("too short a session", |it| it.session_timeout_ms = 5999),
        ("too long a session", |it| it.session_timeout_ms = 1_800_001),
        ("no session", |it| it.session_timeout_ms = 0),
        ("a member that nobody knows", |it| {
            it.member_id = "nobody".to_owned()
        }),
        ("no protocols", |it| it.protocols = Vec::new()),
        ("no protocol type", |it| it.protocol_type = String::new()),
        ("an instance and an unknown member", |it| {
            it.group_instance_id = Some("i".to_owned());
            it.member_id = "nobody".to_owned();
        }),
    ];
    for (step, change) in steps {
        let from = if step.contains("an instance") { 5 } else { 0 };
        talk.each_of(&format!("join with {step}"), from..=9, |_| new(&change));
    }
}

/// A good member, and all that can be wrong about it.
fn mistaken(talk: &mut Talk) {
    let id = member(talk, "one", "one");
    talk.each("heartbeat of nobody", |_| heartbeat("one", "nobody", 1));
    talk.each("heartbeat in no group", |_| heartbeat("none", &id, 1));
    talk.each("heartbeat in a group without a name", |_| heartbeat("", &id, 1));
    talk.each("heartbeat of a generation to come", |_| heartbeat("one", &id, 2));
    talk.each("heartbeat of a generation past", |_| heartbeat("one", &id, 0));
    talk.each("heartbeat of generation minus one", |_| heartbeat("one", &id, -1));
    talk.each("sync of nobody", |_| sync("one", "nobody", 1, &[]));
    talk.each("sync in no group", |_| sync("none", &id, 1, &[]));
    talk.each("sync in a group without a name", |_| sync("", &id, 1, &[]));
    talk.each("sync of a generation to come", |_| sync("one", &id, 2, &[]));
    talk.each_of("sync of another protocol", 5..=5, |_| SyncGroupRequest {
        protocol_name: Some("roundrobin".to_owned()),
        ..sync("one", &id, 1, &[])
    });
    talk.each_of("sync of another protocol type", 5..=5, |_| SyncGroupRequest {
        protocol_type: Some("connect".to_owned()),
        ..sync("one", &id, 1, &[])
    });
    talk.each_of("sync of no protocol", 5..=5, |_| SyncGroupRequest {
        protocol_type: None,
        protocol_name: None,
        ..sync("one", &id, 1, &[])
    });
    talk.each("leave of nobody", |_| leave("one", &[("nobody", None)]));
    talk.each("leave of no group", |_| leave("none", &[(&id, None)]));
    talk.each("leave of a group without a name", |_| leave("", &[(&id, None)]));
    talk.each_of("leave of nobody at all", 3..=5, |_| leave("one", &[]));
    talk.each_of("leave of two that are nobody", 3..=5, |_| {
        leave("one", &[("nobody", None), ("none", Some("i"))])
    });
    talk.each("join with another protocol type", |_| JoinGroupRequest {
        protocol_type: "connect".to_owned(),
        ..join("one", "")
    });
    talk.each("join with no protocol of the others", |_| JoinGroupRequest {
        protocols: offers(&["other"]),
        ..join("one", "")
    });
    talk.ask("the member is still there", 4, &heartbeat("one", &id, 1));
}

/// A second member comes, and goes.
fn two(talk: &mut Talk) {
    let (mut a, mut b) = (talk.another(), talk.another());
    let first = member(talk, "two", "first");
    let told = talk.quietly(9, &join("two", "")).expect("an answer");
    let second = told.member_id.clone();
    talk.label(&second, "<second>");
    talk.note("the second is told its id", &told);
    begin(
        &mut b,
        9,
        &JoinGroupRequest {
            protocols: offers(&["roundrobin", "range"]),
            ..join("two", &second)
        },
    );
    while talk
        .quietly(4, &heartbeat("two", &first, 1))
        .expect("an answer")
        .error_code
        == 0
    {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    talk.ask("the first hears of it", 4, &heartbeat("two", &first, 1));
    talk.ask("a sync meanwhile", 5, &sync("two", &first, 1, &[]));
    talk.ask(
        "describe meanwhile",
        6,
        &DescribeGroupsRequest {
            groups: vec!["none".to_owned()],
            ..Default::default()
        },
    );
    begin(&mut a, 9, &join("two", &first));
    let joined = ordered(end::<JoinGroupRequest>(&mut a, 9), &first);
    talk.note("the first joins again", &joined);
    let joined = end::<JoinGroupRequest>(&mut b, 9);
    talk.note("the second joins", &joined);
    talk.ask(
        "heartbeat while the leader assigns",
        4,
        &heartbeat("two", &second, 2),
    );
    begin(&mut b, 5, &sync("two", &second, 2, &[]));
    talk.ask(
        "the leader assigns",
        5,
        &sync("two", &first, 2, &[&first, &second]),
    );
    let synced = end::<SyncGroupRequest>(&mut b, 5);
    talk.note("the second is assigned", &synced);
    talk.ask(
        "a follower joins again",
        9,
        &JoinGroupRequest {
            protocols: offers(&["roundrobin", "range"]),
            ..join("two", &second)
        },
    );
    talk.ask("the second leaves", 5, &leave("two", &[(&second, None)]));
    talk.ask("the first hears of that too", 4, &heartbeat("two", &first, 2));
    talk.ask("the first is alone", 9, &join("two", &first));
}

pub fn static_script(talk: &mut Talk) {
    talk.groups_ready();
    let group = "static";
    let joined = talk
        .quietly(9, &with_instance(join(group, ""), "i"))
        .expect("an answer");
    let old = joined.member_id.clone();
    talk.label(&old, "<old>");
    talk.note("a static member joins", &joined);
    let instanced = |mut request: SyncGroupRequest| {
        request.group_instance_id = Some("i".to_owned());
        request
    };
    talk.ask("it syncs", 5, &instanced(sync(group, &old, 1, &[&old])));
    talk.ask("it is described", 6, &describe(group));
    let beat = |member: &str, instance: &str| HeartbeatRequest {
        group_instance_id: Some(instance.to_owned()),
        ..heartbeat(group, member, 1)
    };
    talk.each_of("heartbeat of the instance", 3..=4, |_| beat(&old, "i"));
    talk.each_of("heartbeat of another instance", 3..=4, |_| beat(&old, "j"));
    talk.each_of("heartbeat of another member of the instance", 3..=4, |_| {
        beat("nobody", "i")
    });
    talk.each("heartbeat without the instance", |_| heartbeat(group, &old, 1));
    let again = talk
        .quietly(9, &with_instance(join(group, ""), "i"))
        .expect("an answer");
    let new = again.member_id.clone();
    talk.label(&new, "<new>");
    talk.note("it comes back", &again);
    talk.each_of("heartbeat of who it was", 3..=4, |_| beat(&old, "i"));
    talk.each_of("heartbeat of who it is", 3..=4, |_| beat(&new, "i"));
    talk.ask("who it was joins", 9, &with_instance(join(group, &old), "i"));
    talk.ask("who it was syncs", 5, &instanced(sync(group, &old, 1, &[])));
    talk.ask("who it is syncs", 5, &instanced(sync(group, &new, 1, &[])));
    talk.each_of("leave of who it was", 3..=5, |_| {
        leave(group, &[(&old, Some("i"))])
    });
    talk.each_of("leave of another instance", 3..=5, |_| {
        leave(group, &[("", Some("j"))])
    });
    let back = talk
        .quietly(8, &with_instance(join(group, ""), "i"))
        .expect("an answer");
    talk.label(&back.member_id, "<newest>");
    talk.note("it comes back in an older version", &back);
    talk.ask(
        "leave by the instance alone",
        5,
        &leave(group, &[("", Some("i"))]),
    );
    talk.ask("nobody is left", 6, &describe(group));
}
