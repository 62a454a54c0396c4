//! What is served beside gRPC: two health questions where tenants come, and everything for operators on their own port.

use crate::health::{self, Health};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use std::sync::Arc;

/// `/livez` and `/readyz` for anybody: a word and reason codes, no names.
pub fn public(health: Health) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(health)
}

/// Before the doors are open: alive, not ready, and nothing else yet.
pub fn starting() -> Router {
    let readyz = || async { (StatusCode::SERVICE_UNAVAILABLE, health::starting().short()) };
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .fallback(not_yet)
}

/// What is asked before the doors are open.
async fn not_yet(headers: HeaderMap) -> Response {
    const TEXT: &str = "the service starts: its doors are not open yet";
    if is_grpc(&headers) {
        return tonic::Status::unavailable(TEXT).into_http::<Body>();
    }
    (StatusCode::SERVICE_UNAVAILABLE, format!("{TEXT}\n")).into_response()
}

/// What the operators' port is made from.
#[derive(Clone)]
struct Admin {
    health: Health,
    registry: Arc<Registry>,
}

/// `/metrics`, `/livez` and `/readyz` with its reasons in full. Nobody logs in here: it is for a loopback address.
pub fn admin(health: Health, registry: Registry) -> Router {
    let admin = Admin {
        health,
        registry: Arc::new(registry),
    };
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(reasons))
        .fallback(async || {
            (
                StatusCode::NOT_FOUND,
                "nothing is here; try /metrics, /livez or /readyz\n",
            )
        })
        .with_state(admin)
}

/// What no service answers: a gRPC status for gRPC calls, 404 for the rest.
pub async fn unknown(headers: HeaderMap) -> Response {
    if is_grpc(&headers) {
        return tonic::Status::unimplemented("there is no such service or method").into_http::<Body>();
    }
    (
        StatusCode::NOT_FOUND,
        "nothing is here; try /livez or /readyz (metrics are on the port of --admin-listen)\n",
    )
        .into_response()
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("application/grpc"))
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    admin.health.measure();
    let mut text = String::new();
    match encode(&mut text, &admin.registry) {
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
    let report = health.last();
    (status(report.is_ready()), report.short())
}

async fn reasons(State(admin): State<Admin>) -> impl IntoResponse {
    let report = admin.health.look();
    (status(report.is_ready()), report.full())
}

fn status(is_ready: bool) -> StatusCode {
    if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
