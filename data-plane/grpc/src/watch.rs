//! Watch: the high watermarks of partitions as they change, until the caller goes or its key is revoked.

use crate::error::of_offset;
use crate::names::{Names, resolve};
use futures::stream::{self, BoxStream, StreamExt};
use millstream_access::{AuthError, Principal, recheck};
use millstream_broker::Broker;
use millstream_broker::interface::WatchStream;
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
    match broker.watch(who, ids) {
        Ok(updates) => Ok(answers(updates, names, broker.image_watch(), who.clone())),
        Err(cause) => {
            let error = of_offset(&cause);
            let code = if error.retriable {
                tonic::Code::Unavailable
            } else {
                tonic::Code::PermissionDenied
            };
            Err(Status::new(code, error.message))
        }
    }
}

fn answers(updates: WatchStream, names: Names, image: ImageWatch, who: Principal) -> Answers {
    // What is ready at once travels in one message.
    let updates = updates.ready_chunks(256);
    let state = (updates, names, image, who, false);
    stream::unfold(state, |(mut updates, names, mut image, who, ended)| async move {
        if ended {
            return None;
        }
        loop {
            tokio::select! {
                biased;
                changed = image.changed() => {
                    if recheck(&image.image(), &who).is_err() {
                        let status = Status::unauthenticated(AuthError::CLIENT_TEXT);
                        return Some((Err(status), (updates, names, image, who, true)));
                    }
                    if changed.is_err() {
                        let status = Status::unavailable("the broker is shutting down");
                        return Some((Err(status), (updates, names, image, who, true)));
                    }
                }
                batch = updates.next() => {
                    let batch = batch?;
                    let watermarks = batch
                        .into_iter()
                        .map(|it| Watermark {
                            partition: Some(names.of(it.partition)),
                            error: None,
                            high_watermark: it.high_watermark.0,
                            log_start_offset: it.log_start.0,
                        })
                        .collect();
                    return Some((Ok(WatchResponse { watermarks }), (updates, names, image, who, false)));
                }
            }
        }
    })
    .boxed()
}
