//! SaslHandshake and SaslAuthenticate: who may log in how. The login itself is the connection's.

use super::{Handler, find};
use crate::connection::End;
use crate::session::Call;
use millstream_kafka_wire::ErrorCode;
use millstream_kafka_wire::frame::RequestFrame;
use millstream_kafka_wire::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};

/// The one mechanism: the key's id as user, its secret as password.
const MECHANISM: &str = "PLAIN";

/// The answer to a handshake, and whether it was accepted.
pub(crate) fn handshake(mechanism: &str, legal: bool) -> (SaslHandshakeResponse, bool) {
    let code = match (legal, mechanism == MECHANISM) {
        (false, _) => ErrorCode::IllegalSaslState,
        (true, false) => ErrorCode::UnsupportedSaslMechanism,
        (true, true) => ErrorCode::None,
    };
    let mechanisms = vec![MECHANISM.to_owned()];
    (
        SaslHandshakeResponse {
            error_code: code.number(),
            mechanisms,
        },
        code.is_none(),
    )
}

/// Refuses versions that the table does not have.
pub(crate) fn check_version(request: &RequestFrame) -> Result<(), End> {
    find(request).map(|_| ())
}

/// A handshake on a connection that is logged in already: sessions have no end, so there is nothing to renew.
pub(super) struct LateHandshake;

impl Handler for LateHandshake {
    type Request = SaslHandshakeRequest;

    async fn handle(call: &Call, request: SaslHandshakeRequest) -> SaslHandshakeResponse {
        let (response, _) = handshake(&request.mechanism, false);
        call.code(&ErrorCode::IllegalSaslState);
        response
    }
}

/// The same for the authentication.
pub(super) struct LateAuthenticate;

impl Handler for LateAuthenticate {
    type Request = SaslAuthenticateRequest;

    async fn handle(call: &Call, _request: SaslAuthenticateRequest) -> SaslAuthenticateResponse {
        SaslAuthenticateResponse {
            error_code: call.code(&ErrorCode::IllegalSaslState),
            error_message: Some("this connection is authenticated already".to_owned()),
            ..SaslAuthenticateResponse::default()
        }
    }
}
