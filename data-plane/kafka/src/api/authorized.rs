//! What the caller may do, as the bits that describe requests ask for (KIP-430).

use crate::session::Call;
use millstream_access::Operation;
use millstream_door::Action;

/// "Not asked for".
pub(super) const NOT_ASKED: i32 = i32::MIN;

// Bits are the numbers of Kafka's `AclOperation`.
const READ: i32 = 1 << 3;
const WRITE: i32 = 1 << 4;
const CREATE: i32 = 1 << 5;
const DELETE: i32 = 1 << 6;
const ALTER: i32 = 1 << 7;
const DESCRIBE: i32 = 1 << 8;
const DESCRIBE_CONFIGS: i32 = 1 << 10;
const ALTER_CONFIGS: i32 = 1 << 11;
const IDEMPOTENT_WRITE: i32 = 1 << 12;

/// On a topic.
pub(super) fn topic(call: &Call) -> i32 {
    bits(
        call,
        &[
            (Operation::Consume, READ),
            (Operation::Produce, WRITE),
            (Operation::Describe, DESCRIBE | DESCRIBE_CONFIGS),
            (Operation::Manage, CREATE | DELETE | ALTER | ALTER_CONFIGS),
        ],
    )
}

/// On a consumer group.
pub(super) fn group(call: &Call) -> i32 {
    bits(
        call,
        &[
            (Action::UseGroup.operation(), READ),
            (Action::DeleteGroup.operation(), DELETE),
            (Operation::Describe, DESCRIBE),
        ],
    )
}

/// On the (virtual) cluster.
pub(super) fn cluster(call: &Call) -> i32 {
    bits(
        call,
        &[
            (Operation::Produce, IDEMPOTENT_WRITE),
            (Operation::Describe, DESCRIBE | DESCRIBE_CONFIGS),
            (Operation::Manage, CREATE),
        ],
    )
}

fn bits(call: &Call, grants: &[(Operation, i32)]) -> i32 {
    grants
        .iter()
        .filter(|(operation, _)| call.may(*operation))
        .fold(0, |bits, (_, more)| bits | more)
}
