//! Watch: the high watermarks of partitions as they change, until the caller goes or its key is revoked.

use crate::caller::unauthenticated;
use crate::error::status;
use crate::names::{Names, resolve};
use futures::stream::{self, BoxStream, StreamExt};
use millstream_access::Principal;
use millstream_broker::Broker;
use millstream_broker::interface::WatchStream;
use millstream_door::login::while_valid_each;
use millstream_metadata::ImageWatch;
use millstream_rpc::data::{WatchRequest, WatchResponse, Watermark};
use tonic::Status;

/// Answers of one call.
pub(crate) type Answers = BoxStream<'static, Result<WatchResponse, Status>>;

pub(crate) fn watch(broker: &Broker, who: &Principal, request: WatchRequest) -> Result<Answers, Status> {
    if request.partitions.is_empty() {
        return Err(Status::invalid_argument("a watch needs at least one partition"));
    }
    let image = broker.image();
    let (mut names, mut ids, mut failed) = (Names::default(), Vec::new(), Vec::new());
    for named in request.partitions {
        match resolve(&image, who, Some(&named)) {
            Ok(id) => {
                names.note(id, &named);
                ids.push(id);
            }
            Err(error) => failed.push(Watermark {
                partition: Some(named),
                error: Some(error),
                high_watermark: -1,
                log_start_offset: -1,
            }),
        }
    }
    if !failed.is_empty() {
        return Ok(stream::iter([Ok(WatchResponse { watermarks: failed })]).boxed());
    }
    let updates = broker.watch(who, ids).map_err(|cause| status(&cause))?;
    Ok(answers(updates, names, broker.image_watch(), who.clone()))
}

fn answers(updates: WatchStream, names: Names, images: ImageWatch, who: Principal) -> Answers {
    // What is ready at once travels in one message.
    let updates = updates.ready_chunks(256);
    let valid = while_valid_each(images, who, updates);
    valid
        .map(move |batch| {
            let batch = batch.map_err(|error| unauthenticated(&error))?;
            let watermarks = batch.into_iter().map(|it| Watermark {
                partition: Some(names.of(it.partition)),
                error: None,
                high_watermark: it.high_watermark.0,
                log_start_offset: it.log_start.0,
            });
            Ok(WatchResponse {
                watermarks: watermarks.collect(),
            })
        })
        .boxed()
}
