//! The bugs that can be put into the production code, by name.

use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    None,
    AcknowledgeBeforeFsync,
    AppendAfterRestart,
    StaleBlockAccepted,
    CorruptMiddleIsTornTail,
    RetryFailedFsync,
    EpochLedByTwoIncarnations,
    HighWatermarkOnReceive,
    ApplyBeforeCommit,
    ReleaseByLiveState,
    RemovalCountsWhenProposed,
    AppendWithoutPrevious,
    OverlayOutlivesItsEpoch,
    RepeatIsAppended,
    EndIsKnownAtOnce,
    HeaderTimestampBelieved,
    StampedAnEpochLow,
    RefusedGoesBehind,
    OnlyARefusalAsksAgain,
    WaitersForgotten,
    ReportedBeforeStored,
    OlderSnapshotCounts,
    ReleasedBeforeReported,
    AssignedByEpoch,
    // Of the controller, which misuses the catalog.
    StaleProposalAccepted,
    AnsweredBeforeDurable,
    RefusedBeforeDurable,
    // Of the commits of a SQL shard.
    SqlStateBeforeCommit,
    SqlTrimBeforeFlush,
    SqlReplayBeforeFence,
    SqlHalfARun,
    SqlForeignEnd,
    SqlRepeatVoids,
    SqlOffsetsOutsideTheRun,
    SqlStreamTimeNotRestored,
    SqlOverlayInPulls,
    SqlLeftoversCount,
}

impl FromStr for Plant {
    type Err = String;
    fn from_str(name: &str) -> Result<Plant, String> {
        Ok(match name {
            "none" => Plant::None,
            "acknowledge-before-fsync" => Plant::AcknowledgeBeforeFsync,
            "append-after-restart" => Plant::AppendAfterRestart,
            "stale-block-accepted" => Plant::StaleBlockAccepted,
            "corrupt-middle-is-torn-tail" => Plant::CorruptMiddleIsTornTail,
            "retry-failed-fsync" => Plant::RetryFailedFsync,
            "epoch-led-by-two-incarnations" => Plant::EpochLedByTwoIncarnations,
            "high-watermark-on-receive" => Plant::HighWatermarkOnReceive,
            "apply-before-commit" => Plant::ApplyBeforeCommit,
            "release-by-live-state" => Plant::ReleaseByLiveState,
            "removal-counts-when-proposed" => Plant::RemovalCountsWhenProposed,
            "append-without-previous" => Plant::AppendWithoutPrevious,
            "overlay-outlives-its-epoch" => Plant::OverlayOutlivesItsEpoch,
            "repeat-is-appended" => Plant::RepeatIsAppended,
            "end-is-known-at-once" => Plant::EndIsKnownAtOnce,
            "header-timestamp-believed" => Plant::HeaderTimestampBelieved,
            "stamped-an-epoch-low" => Plant::StampedAnEpochLow,
            "refused-goes-behind" => Plant::RefusedGoesBehind,
            "only-a-refusal-asks-again" => Plant::OnlyARefusalAsksAgain,
            "waiters-forgotten" => Plant::WaitersForgotten,
            "older-snapshot-counts" => Plant::OlderSnapshotCounts,
            "reported-before-stored" => Plant::ReportedBeforeStored,
            "released-before-reported" => Plant::ReleasedBeforeReported,
            "assigned-by-epoch" => Plant::AssignedByEpoch,
            "stale-proposal-accepted" => Plant::StaleProposalAccepted,
            "refused-before-durable" => Plant::RefusedBeforeDurable,
            "answered-before-durable" => Plant::AnsweredBeforeDurable,
            "sql-state-before-commit" => Plant::SqlStateBeforeCommit,
            "sql-trim-before-flush" => Plant::SqlTrimBeforeFlush,
            "sql-replay-before-fence" => Plant::SqlReplayBeforeFence,
            "sql-half-a-run" => Plant::SqlHalfARun,
            "sql-foreign-end" => Plant::SqlForeignEnd,
            "sql-repeat-voids" => Plant::SqlRepeatVoids,
            "sql-offsets-outside-the-run" => Plant::SqlOffsetsOutsideTheRun,
            "sql-stream-time-not-restored" => Plant::SqlStreamTimeNotRestored,
            "sql-overlay-in-pulls" => Plant::SqlOverlayInPulls,
            "sql-leftovers-count" => Plant::SqlLeftoversCount,
            _ => return Err(format!("no planted bug is called {name}")),
        })
    }
}

impl Plant {
    pub fn journal(self) -> millstream_journal::Planted {
        use millstream_journal::Planted;
        match self {
            Plant::AcknowledgeBeforeFsync => Planted::AcknowledgeBeforeFsync,
            Plant::AppendAfterRestart => Planted::AppendAfterRestart,
            Plant::StaleBlockAccepted => Planted::StaleBlockAccepted,
            Plant::CorruptMiddleIsTornTail => Planted::CorruptMiddleIsTornTail,
            Plant::RetryFailedFsync => Planted::RetryFailedFsync,
            _ => Planted::None,
        }
    }

    pub fn replication(self) -> millstream_replication::Planted {
        millstream_replication::Planted {
            epoch_led_by_two_incarnations: self == Plant::EpochLedByTwoIncarnations,
            high_watermark_on_receive: self == Plant::HighWatermarkOnReceive,
            removal_counts_when_proposed: self == Plant::RemovalCountsWhenProposed,
            append_without_previous: self == Plant::AppendWithoutPrevious,
        }
    }

    pub fn replica(self) -> millstream_broker::replica::Planted {
        millstream_broker::replica::Planted {
            apply_before_commit: self == Plant::ApplyBeforeCommit,
            release_by_live_state: self == Plant::ReleaseByLiveState,
            overlay_outlives_its_epoch: self == Plant::OverlayOutlivesItsEpoch,
            repeat_is_appended: self == Plant::RepeatIsAppended,
            end_is_known_at_once: self == Plant::EndIsKnownAtOnce,
            header_timestamp_believed: self == Plant::HeaderTimestampBelieved,
            stamped_an_epoch_low: self == Plant::StampedAnEpochLow,
            older_snapshot_counts: self == Plant::OlderSnapshotCounts,
            waiters_forgotten: self == Plant::WaitersForgotten,
            tiering: millstream_broker::replica::PlantedTiering {
                reported_before_stored: self == Plant::ReportedBeforeStored,
                released_before_reported: self == Plant::ReleasedBeforeReported,
            },
            writes: millstream_broker::replica::PlantedWrites {
                refused_goes_behind: self == Plant::RefusedGoesBehind,
                only_a_refusal_asks_again: self == Plant::OnlyARefusalAsksAgain,
            },
        }
    }

    pub fn follow(self) -> millstream_broker::follow::Planted {
        millstream_broker::follow::Planted {
            assigned_by_epoch: self == Plant::AssignedByEpoch,
            ..Default::default()
        }
    }

    pub fn shard(self) -> millstream_runtime::PlantedCore {
        millstream_runtime::PlantedCore {
            offsets_outside_the_run: self == Plant::SqlOffsetsOutsideTheRun,
            stream_time_not_restored: self == Plant::SqlStreamTimeNotRestored,
            overlay_in_pulls: self == Plant::SqlOverlayInPulls,
            leftovers_count: self == Plant::SqlLeftoversCount,
        }
    }

    pub fn commits(self) -> millstream_state::Planted {
        millstream_state::Planted {
            state_before_commit: self == Plant::SqlStateBeforeCommit,
            trim_before_flush: self == Plant::SqlTrimBeforeFlush,
            replay_before_fence: self == Plant::SqlReplayBeforeFence,
            replay: millstream_state::PlantedReplay {
                half_run: self == Plant::SqlHalfARun,
                foreign_end: self == Plant::SqlForeignEnd,
                repeat_voids: self == Plant::SqlRepeatVoids,
            },
        }
    }
}
