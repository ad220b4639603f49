//! The operator's listener: metrics and health. Keep it private; it has no accounts.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::core::Core;
use crate::lifecycle::Lifecycle;

#[derive(Clone)]
struct Ops {
    core: Arc<Core>,
    lifecycle: Lifecycle,
}

/// `/metrics`, `/healthz`, `/readyz`.
pub fn routes(core: Arc<Core>, lifecycle: Lifecycle) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .layer(axum::middleware::map_response(|response| async { super::headers::secure(response, false) }))
        .with_state(Ops { core, lifecycle })
}

async fn metrics(State(ops): State<Ops>) -> impl IntoResponse {
    ([(CONTENT_TYPE, prometheus::TEXT_FORMAT)], ops.core.metrics.render())
}

async fn readyz(State(ops): State<Ops>) -> (StatusCode, String) {
    let store = ops.core.store.ping().await.is_ok();
    let plugins = ops.core.moderator.is_ready();
    let draining = ops.lifecycle.is_draining();
    let status = if store && plugins && !draining { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let say = |good| if good { "ok" } else { "failing" };
    (
        status,
        format!("store {}\nplugins {}\ndrain {}\n", say(store), say(plugins), if draining { "draining" } else { "no" }),
    )
}
