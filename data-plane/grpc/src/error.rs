//! What went wrong as this door's messages and statuses say it: Kafka's names, so that every door uses the same words.

use millstream_door::{Refused, kafka_code};
use millstream_model::{Kind, Problem, Retry};
use millstream_rpc::data::Error;
use tonic::Status;

/// An error that concerns one partition.
pub(crate) fn error(cause: &impl Refused) -> Error {
    error_of(cause.problem())
}

/// The same of what was told already.
pub(crate) fn error_of(problem: Problem) -> Error {
    Error {
        code: word(problem.kind).to_owned(),
        message: problem.text,
        retriable: problem.retry != Retry::Never,
    }
}

/// An error that concerns the call as a whole.
pub(crate) fn status(cause: &impl Refused) -> Status {
    millstream_rpc::status::status(cause.problem())
}

/// Kafka's name, but for what Kafka has no word for, or one that only Kafka's clients take amiss.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::FencedOwner => "OWNER_FENCED",
        Kind::Throttled => "THROTTLING_QUOTA_EXCEEDED",
        kind => kafka_code(kind).name(),
    }
}

#[cfg(test)]
mod tests {
    use super::{error, word};
    use millstream_broker::interface::groups::GroupError;
    use millstream_broker::interface::{FetchError, ProduceError};
    use millstream_door::kafka_code;
    use millstream_model::Kind;

    #[test]
    fn only_owners_and_quotas_have_another_word_than_at_the_kafka_door() {
        let differ: Vec<Kind> = Kind::ALL
            .iter()
            .copied()
            .filter(|kind| word(*kind) != kafka_code(*kind).name())
            .collect();
        assert_eq!(differ, [Kind::Throttled, Kind::FencedOwner]);
    }

    #[test]
    fn errors_say_their_word_and_whether_the_same_may_be_sent_again() {
        let table = [
            (error(&ProduceError::Full), "NOT_ENOUGH_REPLICAS", true),
            (error(&ProduceError::ShuttingDown), "NOT_LEADER_OR_FOLLOWER", true),
            (error(&ProduceError::Damaged), "KAFKA_STORAGE_ERROR", false),
            (
                error(&ProduceError::UnknownPartition),
                "UNKNOWN_TOPIC_OR_PARTITION",
                true,
            ),
            (error(&FetchError::Denied), "TOPIC_AUTHORIZATION_FAILED", false),
            (error(&GroupError::TooManyGroups), "POLICY_VIOLATION", false),
            (error(&GroupError::IllegalGeneration), "ILLEGAL_GENERATION", false),
            (error(&GroupError::NotCoordinator), "NOT_COORDINATOR", true),
        ];
        for (told, code, retriable) in table {
            assert_eq!(
                (told.code.as_str(), told.retriable),
                (code, retriable),
                "{told:?}"
            );
        }
    }
}
