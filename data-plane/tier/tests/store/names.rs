//! Names: every object has one, and it reads back.

use crate::world::{object, partition};
use millstream_model::segment::{ObjectOwner, ObjectRef};
use millstream_model::{Epoch, GroupId, PartitionId, PartitionIndex, TopicId};
use millstream_tier::name::{ObjectKind, parse, path};
use object_store::path::Path;
use proptest::prelude::*;

fn owner() -> impl Strategy<Value = ObjectOwner> {
    prop_oneof![
        any::<u32>().prop_map(|group| ObjectOwner::Shared(GroupId(group))),
        (any::<[u8; 16]>(), any::<u32>()).prop_map(|(topic, index)| ObjectOwner::Own(PartitionId {
            topic: TopicId::from_bytes(topic),
            index: PartitionIndex(index),
        })),
    ]
}

#[test]
fn names_are_as_documented() {
    let prefix = Path::from("a/b");
    assert_eq!(
        path(&prefix, ObjectKind::Segment, &object(12)).to_string(),
        "a/b/groups/0000000003/segments/0000000007-00000000000000000012"
    );
    let own = ObjectRef {
        owner: ObjectOwner::Own(partition(4)),
        ..object(12)
    };
    assert_eq!(
        path(&Path::default(), ObjectKind::Segment, &own).to_string(),
        "partitions/09090909090909090909090909090909/0000000004/segments/0000000003-0000000007-00000000000000000012"
    );
}

#[test]
fn other_names_are_not_ours() {
    let prefix = Path::from("a");
    for name in [
        "a",
        "a/groups",
        "a/cluster.json",
        "b/groups/0000000003/segments/0000000007-00000000000000000012",
        "a/groups/3/segments/7-12",
        "a/groups/0000000003/others/0000000007-00000000000000000012",
        "a/groups/0000000003/segments/0000000007-00000000000000000012/more",
        "a/groups/9999999999/segments/0000000007-00000000000000000012",
        "a/groups/0000000003/segments/0000000007",
        "a/groups/+000000003/segments/0000000007-00000000000000000012",
    ] {
        assert_eq!(parse(&prefix, &Path::from(name)), None, "{name}");
    }
}

proptest! {
    #[test]
    fn names_read_back(owner in owner(), group: u32, epoch: u32, number: u64, snapshot: bool) {
        // A shared object belongs to the group that wrote it.
        let group = match owner {
            ObjectOwner::Shared(owner) => owner,
            ObjectOwner::Own(_) => GroupId(group),
        };
        let object = ObjectRef { owner, group, epoch: Epoch(epoch), number };
        let kind = if snapshot { ObjectKind::Snapshot } else { ObjectKind::Segment };
        for prefix in [Path::default(), Path::from("some/where")] {
            let name = path(&prefix, kind, &object);
            prop_assert_eq!(parse(&prefix, &name), Some((kind, object)));
        }
    }
}
