//! The names of objects: the only module that forms or reads them (design.md, invariant 6).
//!
//! ```text
//! groups/<group>/segments/<epoch>-<number>                       shared by the group's partitions
//! groups/<group>/snapshots/<epoch>-<number>                      the group's snapshots
//! partitions/<topic>/<index>/segments/<group>-<epoch>-<number>   one partition's own
//! ```
//! Numbers are decimal and padded, so that names sort as they were written.

use millstream_model::segment::{ObjectOwner, ObjectRef};
use millstream_model::{Epoch, GroupId, PartitionId, PartitionIndex};
use object_store::path::Path;
use std::str::FromStr;

/// What an object holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectKind {
    /// Runs of batches.
    Segment,
    /// A group's state.
    Snapshot,
}

/// The object's name under `prefix`.
pub fn path(prefix: &Path, kind: ObjectKind, object: &ObjectRef) -> Path {
    let mut parts: Vec<String> = Vec::with_capacity(5);
    let leaf = format!("{:010}-{:020}", object.epoch.0, object.number);
    match object.owner {
        ObjectOwner::Shared(owner) => {
            parts.extend([
                "groups".to_owned(),
                format!("{:010}", owner.0),
                folder(kind).to_owned(),
                leaf,
            ]);
        }
        ObjectOwner::Own(partition) => parts.extend([
            "partitions".to_owned(),
            partition.topic.to_string(),
            format!("{:010}", partition.index.0),
            folder(kind).to_owned(),
            format!("{:010}-{leaf}", object.group.0),
        ]),
    }
    parts
        .into_iter()
        .fold(prefix.clone(), |path, part| path.join(part.as_str()))
}

/// Reads a name under `prefix`; none for names that are not ours.
pub fn parse(prefix: &Path, path: &Path) -> Option<(ObjectKind, ObjectRef)> {
    let parts: Vec<String> = path
        .prefix_match(prefix)?
        .map(|part| part.as_ref().to_owned())
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let found = match parts.as_slice() {
        ["groups", group, kind, leaf] => {
            let group = GroupId(number(group)?);
            let (epoch, count) = leaf.split_once('-')?;
            let owner = ObjectOwner::Shared(group);
            (
                kind_of(kind)?,
                ObjectRef {
                    owner,
                    group,
                    epoch: Epoch(number(epoch)?),
                    number: number(count)?,
                },
            )
        }
        ["partitions", topic, index, kind, leaf] => {
            let partition = PartitionId {
                topic: topic.parse().ok()?,
                index: PartitionIndex(number(index)?),
            };
            let mut leaf = leaf.splitn(3, '-');
            let group = GroupId(number(leaf.next()?)?);
            let epoch = Epoch(number(leaf.next()?)?);
            let owner = ObjectOwner::Own(partition);
            (
                kind_of(kind)?,
                ObjectRef {
                    owner,
                    group,
                    epoch,
                    number: number(leaf.next()?)?,
                },
            )
        }
        _ => return None,
    };
    // One object has one name: a spelling that we would not have chosen is not ours.
    (self::path(prefix, found.0, &found.1) == *path).then_some(found)
}

fn folder(kind: ObjectKind) -> &'static str {
    match kind {
        ObjectKind::Segment => "segments",
        ObjectKind::Snapshot => "snapshots",
    }
}

fn kind_of(folder: &str) -> Option<ObjectKind> {
    match folder {
        "segments" => Some(ObjectKind::Segment),
        "snapshots" => Some(ObjectKind::Snapshot),
        _ => None,
    }
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}
