//! gRPC calls by method and code, those that were refused before a service saw them too.
//!
//! ```text
//!   request ─► known method? ─► services ─► head (code of who is refused at once) ─► body … trailers (code of all others)
//! ```

use http::{HeaderMap, Request, Response, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;
use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tonic::Code;
use tower::{Layer, Service};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    method: Arc<str>,
    code: &'static str,
}

/// Counts the gRPC calls of the services below it.
#[derive(Clone)]
pub struct Calls {
    counted: Family<CallLabels, Counter>,
    /// Every method of ours as paths name them; others share one label, for anybody can make up names.
    known: Arc<BTreeSet<Arc<str>>>,
}

impl Calls {
    /// Counters that the registry shows, for these methods (`package.Service/Method`).
    pub fn register(registry: &mut Registry, methods: impl IntoIterator<Item = String>) -> Calls {
        let counted = Family::default();
        registry.register(
            "grpc_requests",
            "gRPC calls that have ended, by method and code",
            Family::clone(&counted),
        );
        Calls {
            counted,
            known: Arc::new(methods.into_iter().map(Arc::from).collect()),
        }
    }

    fn begin(&self, path: &str) -> Call {
        let path = path.strip_prefix('/').unwrap_or(path);
        let known = self.known.get(path).cloned();
        Call {
            counted: self.counted.clone(),
            method: known.unwrap_or_else(|| Arc::from("other")),
            is_over: false,
        }
    }
}

/// A call under way. One that is dropped before its code is known was given up by its client.
struct Call {
    counted: Family<CallLabels, Counter>,
    method: Arc<str>,
    is_over: bool,
}

impl Call {
    fn end(&mut self, code: Code) {
        if !std::mem::replace(&mut self.is_over, true) {
            let labels = CallLabels {
                method: Arc::clone(&self.method),
                code: name(code),
            };
            self.counted.get_or_create(&labels).inc();
        }
    }

    /// Ends it if these headers or trailers say how.
    fn look(&mut self, headers: &HeaderMap) {
        if let Some(code) = headers.get("grpc-status") {
            self.end(Code::from_bytes(code.as_bytes()));
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

impl<S> Layer<S> for Calls {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted {
            inner,
            calls: self.clone(),
        }
    }
}

/// A service whose calls are counted.
#[derive(Clone)]
pub struct Counted<S> {
    inner: S,
    calls: Calls,
}

impl<S, In, Out> Service<Request<In>> for Counted<S>
where
    S: Service<Request<In>, Response = Response<Out>>,
    S::Future: Send + 'static,
{
    type Response = Response<CountedBody<Out>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let is_grpc = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
        let mut call = is_grpc.then(|| self.calls.begin(request.uri().path()));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            if let Some(call) = &mut call {
                call.look(answer.headers());
            }
            Ok(answer.map(|body| CountedBody { body, call }))
        })
    }
}

/// A body at whose end the code is.
pub struct CountedBody<B> {
    body: B,
    call: Option<Call>,
}

impl<B: HttpBody + Unpin> HttpBody for CountedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = &mut *self;
        let frame = ready!(Pin::new(&mut this.body).poll_frame(context));
        if let (Some(call), Some(Ok(frame))) = (&mut this.call, &frame)
            && let Some(trailers) = frame.trailers_ref()
        {
            call.look(trailers);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A code as gRPC writes it.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::Calls;
    use http::{HeaderMap, HeaderValue, Request, Response};
    use http_body::Frame;
    use http_body_util::{BodyExt, Empty, StreamBody};
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;
    use std::convert::Infallible;
    use tower::{Layer, Service, service_fn};

    type Frames =
        StreamBody<futures::stream::Iter<std::vec::IntoIter<Result<Frame<&'static [u8]>, Infallible>>>>;

    fn answer(head: Option<&'static str>, trailer: Option<&'static str>) -> Response<Frames> {
        let status =
            |code| HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static(code))]);
        let mut frames = vec![Ok(Frame::data(&b"bytes"[..]))];
        frames.extend(trailer.map(|code| Ok(Frame::trailers(status(code)))));
        let mut answer = Response::new(StreamBody::new(futures::stream::iter(frames)));
        if let Some(code) = head {
            *answer.headers_mut() = status(code);
        }
        answer
    }

    fn request(path: &str, kind: &'static str) -> Request<Empty<&'static [u8]>> {
        let request = Request::builder().uri(path).header("content-type", kind);
        request.body(Empty::new()).unwrap()
    }

    #[tokio::test]
    async fn calls_are_counted_by_method_and_code() {
        let mut registry = Registry::default();
        let calls = Calls::register(&mut registry, ["p.S/M".to_owned()]);
        let grpc = "application/grpc+proto";
        for (path, kind, head, trailer, read) in [
            // Refused from the headers, and served to the end.
            ("/p.S/M", grpc, Some("16"), None, false),
            ("/p.S/M", grpc, None, Some("0"), true),
            ("/p.S/M", grpc, None, Some("8"), true),
            // The client goes away before the end.
            ("/p.S/M", grpc, None, Some("0"), false),
            ("/made/up", grpc, Some("12"), None, false),
            ("/livez", "text/plain", None, None, true),
        ] {
            let mut service = calls.layer(service_fn(move |_: Request<Empty<&'static [u8]>>| async move {
                Ok::<_, Infallible>(answer(head, trailer))
            }));
            let answer = service.call(request(path, kind)).await.unwrap();
            if read {
                answer.into_body().collect().await.unwrap();
            }
        }
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let lines = text
            .lines()
            .filter(|line| line.starts_with("grpc_requests_total"));
        let mut lines: Vec<&str> = lines.collect();
        lines.sort_unstable();
        let line = |method: &str, code: &str| {
            format!("grpc_requests_total{{method=\"{method}\",code=\"{code}\"}} 1")
        };
        let expected = [
            line("other", "UNIMPLEMENTED"),
            line("p.S/M", "CANCELLED"),
            line("p.S/M", "OK"),
            line("p.S/M", "RESOURCE_EXHAUSTED"),
            line("p.S/M", "UNAUTHENTICATED"),
        ];
        assert_eq!(lines, expected);
    }
}
