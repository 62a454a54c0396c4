//! Lists of replicas that clients choose. The service places replicas itself, so a list is taken where it names what the
//! service does anyway: where there are as many nodes as replicas, there is one way to place them.

use millstream_door::leadership::nodes;
use millstream_kafka_wire::ErrorCode;
use millstream_metadata::Image;
use std::collections::BTreeSet;

/// Checks the lists of a topic's new partitions; returns how many replicas each has.
pub(super) fn check(image: &Image, lists: &[&[i32]]) -> Result<i16, (ErrorCode, String)> {
    let refused = |text: String| Err((ErrorCode::InvalidReplicaAssignment, text));
    let known: BTreeSet<i32> = nodes(image).map(|node| node.id.0).collect();
    let replicas = lists.first().map_or(0, |first| first.len());
    for list in lists {
        if list.is_empty() || list.len() != replicas {
            return refused("every partition needs replicas, and all partitions as many".to_owned());
        }
        if let Some(unknown) = list.iter().find(|node| !known.contains(node)) {
            return refused(format!("there is no broker {unknown}"));
        }
        let distinct: BTreeSet<i32> = list.iter().copied().collect();
        if distinct.len() < list.len() {
            return refused("a broker holds one replica of a partition, not two".to_owned());
        }
        if distinct != known {
            return refused(
                "replicas are placed by the service: give a number of partitions and no assignment"
                    .to_owned(),
            );
        }
    }
    Ok(i16::try_from(replicas).unwrap_or(i16::MAX))
}
