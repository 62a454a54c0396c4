//! InitProducerId: ids for idempotent producers.

use super::Handler;
use crate::session::Call;
use millstream_broker::interface::InitProducer;
use millstream_kafka_wire::messages::{InitProducerIdRequest, InitProducerIdResponse};
use millstream_model::{ProducerEpoch, ProducerId};

pub(super) struct InitProducerId;

impl Handler for InitProducerId {
    type Request = InitProducerIdRequest;

    async fn handle(call: &Call, request: InitProducerIdRequest) -> InitProducerIdResponse {
        let known = request.producer_id >= 0;
        let init = InitProducer {
            transactional_id: request.transactional_id,
            current: known.then_some((
                ProducerId(request.producer_id),
                ProducerEpoch(request.producer_epoch),
            )),
        };
        let given = call.broker().init_producer_id(call.who(), init).await;
        let error_code = call.code(&given);
        let (id, epoch) = given.unwrap_or((ProducerId(-1), ProducerEpoch(-1)));
        InitProducerIdResponse {
            error_code,
            producer_id: id.0,
            producer_epoch: epoch.0,
            ..InitProducerIdResponse::default()
        }
    }
}
