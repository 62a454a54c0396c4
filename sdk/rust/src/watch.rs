//! Watching partitions grow: one stream, no polling.

use crate::client::Client;
use crate::error::Error;
use futures::stream::{self, BoxStream, StreamExt};
use millstream_rpc::data::{Partition, WatchRequest};

/// How far a partition goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watermark {
    /// Its topic.
    pub topic: String,
    /// Its index.
    pub partition: u32,
    /// One past the last committed record.
    pub high_watermark: i64,
    /// The first record that is still there.
    pub log_start: i64,
}

/// The watermarks of partitions: the present ones first, then every change. Ends with an error when the connection
/// does; ask again then.
pub type WatchStream = BoxStream<'static, Result<Watermark, Error>>;

impl Client {
    /// Watches `(topic, partition)` pairs.
    ///
    /// # Errors
    /// When the call is refused; later failures are items of the stream.
    pub async fn watch(&self, partitions: &[(String, u32)]) -> Result<WatchStream, Error> {
        let partitions = partitions
            .iter()
            .map(|(topic, index)| Partition {
                topic: topic.clone(),
                index: *index,
            })
            .collect();
        let answers = self.data().watch(WatchRequest { partitions }).await?.into_inner();
        let flat = answers.flat_map(|answer| {
            let items: Vec<Result<Watermark, Error>> = match answer {
                Err(status) => vec![Err(status.into())],
                Ok(response) => response
                    .watermarks
                    .into_iter()
                    .map(|mark| match &mark.error {
                        Some(error) => Err(Error::partition(mark.partition.as_ref(), error)),
                        None => {
                            let partition = mark.partition.unwrap_or_default();
                            Ok(Watermark {
                                topic: partition.topic,
                                partition: partition.index,
                                high_watermark: mark.high_watermark,
                                log_start: mark.log_start_offset,
                            })
                        }
                    })
                    .collect(),
            };
            stream::iter(items)
        });
        Ok(flat.boxed())
    }
}
