//! How often a read is planned anew before it is given up.

use super::{GaveUp, InStore, PLANS_MAX, Tries};
use crate::reading::FailedRead;
use millstream_journal::ReadError;
use millstream_model::segment::{ObjectOwner, ObjectRef, SegmentRef};
use millstream_model::{Epoch, GroupId, Offset, TimestampMs};
use millstream_tier::TierError;
use std::time::Duration;

fn place(number: u64) -> Option<InStore> {
    let group = GroupId(1);
    let segment = SegmentRef {
        object: ObjectRef {
            owner: ObjectOwner::Shared(group),
            group,
            epoch: Epoch(1),
            number,
        },
        position: 0,
        length: 1,
        checksum: 0,
        base_offset: Offset(0),
        end_offset: Offset(1),
        timestamp_max: TimestampMs(0),
    };
    Some((segment, Offset(0)))
}

#[test]
fn only_what_is_found_damaged_or_missing_twice_is() {
    let name = || "o".to_owned();
    let corrupt = || {
        FailedRead::Store(TierError::Corrupt {
            name: name(),
            what: "",
        })
    };
    let missing = || FailedRead::Missing(TierError::NotFound { name: name() });
    for error in [corrupt(), missing()] {
        let mut tries = Tries::default();
        assert_eq!(
            tries.failed(&error, place(1)),
            Ok(()),
            "it is looked at once more"
        );
        assert_eq!(tries.failed(&error, place(2)), Ok(()), "it has moved meanwhile");
        assert_eq!(tries.failed(&error, place(2)), Err(GaveUp::Damaged));
    }
    let mut tries = Tries::default();
    for _ in 0..PLANS_MAX {
        assert_eq!(tries.failed(&FailedRead::Moved, None), Ok(()));
    }
    assert_eq!(tries.failed(&FailedRead::Moved, None), Err(GaveUp::Storage));
    let damaged = FailedRead::Journal(ReadError::Damaged);
    assert_eq!(Tries::default().failed(&damaged, None), Err(GaveUp::Damaged));
    let slow = FailedRead::Store(TierError::Timeout {
        call: "get",
        name: name(),
        within: Duration::from_secs(1),
    });
    assert_eq!(
        Tries::default().failed(&slow, place(1)),
        Err(GaveUp::Storage),
        "later it may answer"
    );
}
