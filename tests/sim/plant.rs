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
        }
    }

    pub fn replica(self) -> millstream_broker::replica::Planted {
        millstream_broker::replica::Planted {
            apply_before_commit: self == Plant::ApplyBeforeCommit,
        }
    }
}
