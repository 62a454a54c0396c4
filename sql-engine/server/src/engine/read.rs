//! One partition read for a statement: patient with a log that cannot answer at once, never silent about what it misses.

use super::of_streams;
use crate::answer::StatementError;
use millstream_model::{Backoff, Retry, Waits};
use millstream_runtime::{StreamFetch, StreamFetched, Streams, StreamsError};
use std::time::{Duration, Instant};

/// How long a partition that has more and brings nothing is asked again.
const PATIENCE: Duration = Duration::from_secs(10);

/// The waits between two attempts.
const AGAIN: Waits = Waits::new(Duration::from_millis(20), Duration::from_millis(500));

/// Reads on from an offset below the partition's end; what comes back is behind it. What retention has taken
/// meanwhile is passed over.
pub(super) async fn read_on(
    streams: &dyn Streams,
    request: &StreamFetch,
) -> Result<StreamFetched, StatementError> {
    let until = Instant::now() + PATIENCE;
    let mut backoff = Backoff::new(AGAIN);
    loop {
        let answer = streams.fetch(std::slice::from_ref(request)).await.pop();
        let missed = match answer {
            Some(Ok(fetched)) if fetched.next > request.offset => return Ok(fetched),
            Some(Err(StreamsError::OffsetOutOfRange { start, end, .. })) if start > request.offset => {
                return Ok(StreamFetched {
                    end,
                    start,
                    next: start,
                    records: Vec::new(),
                    writers: Vec::new(),
                });
            }
            Some(Err(error)) if error.retry().1 == Retry::Never => return Err(of_streams(error)),
            Some(Err(error)) => of_streams(error),
            Some(Ok(_)) | None => StatementError::unavailable(format!(
                "{}-{} brings nothing from offset {} on",
                request.topic, request.partition, request.offset
            )),
        };
        if Instant::now() >= until {
            return Err(missed);
        }
        tokio::time::sleep(backoff.next(rand::random())).await;
    }
}
