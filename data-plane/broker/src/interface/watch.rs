//! Following how far partitions have grown, without fetching.

use futures::Stream;
use millstream_model::{Offset, PartitionId};
use std::pin::Pin;
use std::task::{Context, Poll};

/// A partition's bounds at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchUpdate {
    /// Which one.
    pub partition: PartitionId,
    /// One past the last committed offset.
    pub high_watermark: Offset,
    /// The first offset.
    pub log_start: Offset,
}

/// Updates of the watched partitions: the present values first, then changes, the latest only when the reader is slow.
///
/// Ends when one of the partitions is gone or the broker stops.
pub struct WatchStream(pub(crate) Pin<Box<dyn Stream<Item = WatchUpdate> + Send>>);

impl Stream for WatchStream {
    type Item = WatchUpdate;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<WatchUpdate>> {
        self.0.as_mut().poll_next(context)
    }
}
