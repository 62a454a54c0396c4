//! Groups: found, listed, described, deleted.

use super::ask::{Talk, versions};
use super::members::member;
use super::offsets::{commit, commit_to};
use millstream_kafka_wire::messages::offset_delete_request::{
    OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use millstream_kafka_wire::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, FindCoordinatorRequest, ListGroupsRequest,
    ListGroupsResponse, OffsetDeleteRequest,
};

pub fn script(talk: &mut Talk) {
    talk.groups_ready();
    talk.topic("grouped", 2, &[]);
    finding(talk);
    // One with a member, one with offsets only.
    member(talk, "g-live", "live");
    commit(talk, "g-simple", "grouped", 0, 5);
    listing(talk);
    describing(talk);
    forgetting(talk);
    deleting(talk);
}

fn finding(talk: &mut Talk) {
    let find = |key: &str, key_type: i8| FindCoordinatorRequest {
        key: key.to_owned(),
        key_type,
        coordinator_keys: vec![key.to_owned()],
    };
    talk.each("find a group's coordinator", |_| find("g", 0));
    talk.each("find the coordinator of a group without a name", |_| find("", 0));
    talk.each_of("find the coordinator of an odd kind", 1..=6, |_| find("g", 9));
    talk.each_of("find several", 4..=6, |_| FindCoordinatorRequest {
        coordinator_keys: vec!["g".to_owned(), "h".to_owned(), "g".to_owned()],
        ..Default::default()
    });
    talk.each_of("find none", 4..=6, |_| FindCoordinatorRequest::default());
}

/// The groups of this script.
fn ours(mut answer: ListGroupsResponse) -> ListGroupsResponse {
    answer.groups.retain(|group| group.group_id.starts_with("g-"));
    answer.groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
    answer
}

fn listing(talk: &mut Talk) {
    let list = |states: &[&str], types: &[&str]| ListGroupsRequest {
        states_filter: states.iter().map(|it| (*it).to_owned()).collect(),
        types_filter: types.iter().map(|it| (*it).to_owned()).collect(),
    };
    let all = versions::<ListGroupsRequest>();
    talk.each_seen("list", all, |_| list(&[], &[]), ours);
    talk.each_seen("list the stable", 4..=5, |_| list(&["Stable"], &[]), ours);
    talk.each_seen(
        "list the empty in small letters",
        4..=5,
        |_| list(&["empty"], &[]),
        ours,
    );
    talk.each_seen(
        "list a state that nobody knows",
        4..=5,
        |_| list(&["Odd"], &[]),
        ours,
    );
    talk.each_seen("list the classic", 5..=5, |_| list(&[], &["classic"]), ours);
    talk.each_seen("list the new", 5..=5, |_| list(&[], &["consumer"]), ours);
    talk.each_seen(
        "list a type that nobody knows",
        5..=5,
        |_| list(&[], &["odd"]),
        ours,
    );
}

fn describing(talk: &mut Talk) {
    let describe = |groups: &[&str]| DescribeGroupsRequest {
        groups: groups.iter().map(|it| (*it).to_owned()).collect(),
        ..Default::default()
    };
    talk.each("describe a group", |_| describe(&["g-live"]));
    talk.each("describe a group of offsets", |_| describe(&["g-simple"]));
    talk.each("describe no group", |_| describe(&["g-none"]));
    talk.each("describe a group without a name", |_| describe(&[""]));
    talk.each("describe a group twice", |_| describe(&["g-simple", "g-simple"]));
    talk.each("describe nothing", |_| describe(&[]));
    talk.each_of("describe a group with rights", 3..=6, |_| DescribeGroupsRequest {
        include_authorized_operations: true,
        ..describe(&["g-simple"])
    });
}

fn forgetting(talk: &mut Talk) {
    let forget = |group: &str, topic: &str, partition_index: i32| OffsetDeleteRequest {
        group_id: group.to_owned(),
        topics: vec![OffsetDeleteRequestTopic {
            name: topic.to_owned(),
            partitions: vec![OffsetDeleteRequestPartition { partition_index }],
        }],
    };
    commit_to(talk, "g-forget", "grouped", &[(0, 5), (1, 6)]);
    talk.each("forget an offset", |_| forget("g-forget", "grouped", 0));
    talk.each("forget an offset that is not there", |_| {
        forget("g-forget", "grouped", 0)
    });
    talk.each("forget an offset of no partition", |_| {
        forget("g-forget", "grouped", 9)
    });
    talk.each("forget an offset of nothing", |_| {
        forget("g-forget", "nothing", 0)
    });
    talk.each("forget an offset of no group", |_| forget("g-none", "grouped", 0));
    talk.each("forget an offset of a group without a name", |_| {
        forget("", "grouped", 0)
    });
    talk.each("forget an offset of a live group", |_| {
        forget("g-live", "grouped", 0)
    });
    talk.each("forget the last offset", |_| forget("g-forget", "grouped", 1));
    talk.each("describe a group without offsets", |_| DescribeGroupsRequest {
        groups: vec!["g-forget".to_owned()],
        ..Default::default()
    });
    talk.each_of("delete a group without offsets", 2..=2, |_| DeleteGroupsRequest {
        groups_names: vec!["g-forget".to_owned()],
    });
    talk.each("forget an offset that is read", |_| forget("g-live", "topic", 0));
}

fn deleting(talk: &mut Talk) {
    let delete = |groups: &[&str]| DeleteGroupsRequest {
        groups_names: groups.iter().map(|it| (*it).to_owned()).collect(),
    };
    for version in versions::<DeleteGroupsRequest>() {
        commit(talk, &format!("g-gone-v{version}"), "grouped", 0, 5);
    }
    talk.each("delete a group", |version| {
        delete(&[&format!("g-gone-v{version}")])
    });
    talk.each("delete a group that is gone", |version| {
        delete(&[&format!("g-gone-v{version}")])
    });
    talk.each("delete a live group", |_| delete(&["g-live"]));
    talk.each("delete no group", |_| delete(&["g-none"]));
    talk.each("delete a group without a name", |_| delete(&[""]));
    talk.each("delete nothing", |_| delete(&[]));
    talk.each("delete no group twice", |_| delete(&["g-none", "g-none"]));
}
