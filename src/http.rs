//! What the HTTP port serves beside gRPC: metrics and the two health questions.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use millstream_broker::{Handle, Standing};
use millstream_controller as controller;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

/// What the answers are made from.
#[derive(Clone)]
pub struct Health {
    registry: Arc<Registry>,
    controller: controller::Handle,
    /// False before every door answers and while draining.
    ready: Arc<AtomicBool>,
    sound: Arc<dyn Fn() -> bool + Send + Sync>,
    standing: Arc<dyn Fn() -> Option<Standing> + Send + Sync>,
    /// Brings the broker's gauges up to date.
    measure: Arc<dyn Fn() + Send + Sync>,
}

impl Health {
    /// Over the controller and the broker; not ready yet.
    pub fn new(registry: Registry, controller: controller::Handle, broker: &Arc<Handle>) -> Health {
        let broker = Arc::downgrade(broker);
        Health {
            registry: Arc::new(registry),
            controller,
            ready: Arc::new(AtomicBool::new(false)),
            standing: Arc::new({
                let broker = broker.clone();
                move || broker.upgrade().map(|it| it.standing())
            }),
            measure: Arc::new({
                let broker = Weak::clone(&broker);
                move || {
                    if let Some(it) = broker.upgrade() {
                        it.measure();
                    }
                }
            }),
            sound: Arc::new(move || broker.upgrade().is_some_and(|it| it.is_healthy())),
        }
    }

    /// Says whether the process takes work.
    pub fn set_ready(&self, ready: bool) {
        self.ready.store(ready, Ordering::Release);
    }
}

/// `/metrics`, `/livez`, `/readyz`.
pub fn routes(health: Health) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(health)
}

/// What no service answers: a gRPC status for gRPC calls, 404 for the rest.
pub async fn unknown(headers: HeaderMap) -> Response {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|it| it.to_str().ok())
        .unwrap_or_default();
    if kind.starts_with("application/grpc") {
        return tonic::Status::unimplemented("there is no such service or method").into_http::<Body>();
    }
    (
        StatusCode::NOT_FOUND,
        "nothing is here; try /metrics, /livez or /readyz\n",
    )
        .into_response()
}

async fn metrics(State(health): State<Health>) -> impl IntoResponse {
    (health.measure)();
    let mut text = String::new();
    match encode(&mut text, &health.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Alive: this answers at all. What is wrong beyond that wants an operator, not a restart: `/readyz` tells it.
async fn livez() -> &'static str {
    "alive\n"
}

async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    if !health.ready.load(Ordering::Acquire) {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "starting or draining\n".to_owned(),
        );
    }
    if !(health.sound)() {
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            "the journal is damaged\n".to_owned(),
        );
    }
    let unready = match (health.standing)() {
        Some(Standing::Member) => None,
        Some(Standing::Waiting) => Some(
            "reads only, from this disk: the object store cannot be reached, and writes, groups, SQL and \
             administration wait for it\n",
        ),
        Some(Standing::Refused) => Some("the controller refuses this node: it serves nothing\n"),
        None => Some("starting or draining\n"),
    };
    if let Some(text) = unready {
        return (StatusCode::SERVICE_UNAVAILABLE, text.to_owned());
    }
    // Without a controller it serves on: records flow, only changes to the catalog wait.
    let decides = match health.controller.term() {
        Some(term) => format!("controller in term {term}"),
        None => "not the controller, so topics and keys cannot be changed now".to_owned(),
    };
    let version = health.controller.image().version();
    (
        StatusCode::OK,
        format!("ready, catalog version {version}, {decides}\n"),
    )
}
