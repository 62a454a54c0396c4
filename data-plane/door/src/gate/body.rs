//! Reading the body of a request of one message: within its method's limit, the budget of all requests, and time.

use crate::gate::metrics::Arriving;
use crate::gate::refusal::Refusal;
use crate::gate::{Rule, Shared};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use http_body_util::{BodyExt, StreamBody};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::body::Body;
use tower::BoxError;

/// What precedes a gRPC message: a flag and its length.
const PREFIX_BYTES: usize = 5;

pub(crate) struct Reader<'a> {
    shared: &'a Shared,
    method: &'a str,
    bytes_max: usize,
}
