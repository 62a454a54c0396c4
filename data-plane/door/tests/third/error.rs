//! The door's one table: the numbers of HTTP.

use millstream_model::Kind;

pub fn code(kind: Kind) -> u16 {
    match kind {
        Kind::Unauthenticated => 401,
        Kind::TopicDenied | Kind::GroupDenied | Kind::ClusterDenied => 403,
        Kind::UnknownTopic | Kind::UnknownTopicId => 404,
        Kind::OffsetOutOfRange => 416,
        Kind::Throttled | Kind::TooManyConnections => 429,
        Kind::BatchTooLarge => 413,
        Kind::NotLeader | Kind::Stopping | Kind::NotEnoughReplicas | Kind::JournalFull => 503,
        Kind::Storage | Kind::JournalDamaged | Kind::RecordsDamaged => 500,
        // This door asks for nothing that is refused for another reason; one with more calls has more lines.
        _ => 400,
    }
}
