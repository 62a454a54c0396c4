//! InitProducerId: ids for idempotent producers.

use super::Handler;
use crate::session::Call;
use millstream_broker::interface::InitProducer;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::messages::{InitProducerIdRequest, InitProducerIdResponse};
use millstream_model::{ProducerEpoch, ProducerId};

pub(super) struct InitProducerId;

impl Handler for InitProducerId {
    type Request = InitProducerIdRequest;

    async fn handle(call: &Call, request: InitProducerIdRequest) -> InitProducerIdResponse {
        let nameless = request.transactional_id.as_deref() == Some("");
        if nameless || (request.producer_id < 0) != (request.producer_epoch < 0) {
            return refused(call.code(&ErrorCode::InvalidRequest));
        }
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
        match given {
            Ok((id, epoch)) => InitProducerIdResponse {
                producer_id: id.0,
                producer_epoch: epoch.0,
                ..InitProducerIdResponse::default()
            },
            Err(_) => refused(error_code),
        }
    }
}

fn refused(error_code: i16) -> InitProducerIdResponse {
    InitProducerIdResponse {
        error_code,
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    }
}
