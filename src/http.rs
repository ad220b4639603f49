//! The HTTP side: page, JSON API and WebSocket on one port, operations on another. Every response carries
//! the security headers.

mod api;
mod headers;
pub mod ops;
mod origin;
mod socket;
mod web;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::core::Core;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::transport::gate::{Gate, Ticket};
use crate::transport::stream::Stream;
use crate::transport::websocket::WebSocketLink;

/// From accepting to the end of the request's head, and between requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A whole request with its response; an upgrade ends it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
const TLS_TIMEOUT: Duration = Duration::from_secs(5);
const HEAD_BYTES_MAX: usize = 8 * 1024;
const HEADERS_MAX: usize = 64;
/// Bytes that the kernel takes for a peer before they can be sent (`TCP_NOTSENT_LOWAT`). By itself it would hoard
/// megabytes for each peer that stopped reading, and the peer would be found slow only after them.
const UNSENT_BYTES_MAX: u32 = 256 * 1024;
/// Largest body of a request to the API.
const BODY_BYTES_MAX: usize = 8 * 1024;

/// Takes an upgraded WebSocket and its place; runs on its own.
pub type OnSocket = Arc<dyn Fn(WebSocketLink, Ticket) + Send + Sync>;

/// What the handlers share.
#[derive(Clone)]
pub struct State {
    core: Arc<Core>,
    metrics: Metrics,
    origins: Arc<[String]>,
    on_socket: OnSocket,
    lifecycle: Lifecycle,
}

/// The public listener's routes.
pub fn routes(core: Arc<Core>, origins: &[String], on_socket: OnSocket, lifecycle: Lifecycle, is_tls: bool) -> Router {
    let metrics = core.metrics.clone();
    let state = State { core, metrics, origins: origins.into(), on_socket, lifecycle };
    let api = Router::new()
        .route("/register", post(api::register))
        .route("/login", post(api::login))
        .route("/refresh", post(api::refresh))
        .route("/logout", post(api::logout))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    Router::new()
        .nest("/api/v1", api)
        .route("/ws", get(socket::upgrade))
        .route("/", get(web::index))
        .route("/assets/{name}", get(web::asset))
        .fallback(|| async { api::Failure::not_found().into_response() })
        .layer(axum::middleware::from_fn_with_state(state.metrics.clone(), headers::count))
        .layer(axum::middleware::map_response(move |response| async move { headers::secure(response, is_tls) }))
        .with_state(state)
}

/// Accepts until the server drains.
pub async fn accept(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    routes: Router,
    gate: Arc<Gate>,
    metrics: Metrics,
    lifecycle: Lifecycle,
) {
    loop {
        let accepted = tokio::select! {
            () = lifecycle.draining() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: give others time to close theirs.
                tracing::warn!(%error, "cannot accept");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let ticket = match gate.admit(peer.ip()) {
            Ok(ticket) => ticket,
            Err(limit) => {
                metrics.connections_refused_total.with_label_values(&[limit]).inc();
                continue;
            }
        };
        tune(&stream);
        lifecycle.spawn(serve(stream, peer, tls.clone(), routes.clone(), ticket, lifecycle.clone()));
    }
}

/// Small frames must not wait for acknowledgements (Nagle), and the kernel must not hoard for a peer that does not read.
fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
}

async fn serve(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    routes: Router,
    ticket: Ticket,
    lifecycle: Lifecycle,
) {
    match tls {
        None => serve_stream(Stream::Plain(Arc::new(stream)), peer, routes, ticket, lifecycle).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(TLS_TIMEOUT, tls.accept(stream)).await {
                serve_stream(Stream::Tls(Box::new(stream)), peer, routes, ticket, lifecycle).await;
            }
        }
    }
}

async fn serve_stream(stream: Stream, peer: SocketAddr, routes: Router, ticket: Ticket, lifecycle: Lifecycle) {
    // The place goes over to an upgraded connection; until then it is the request's.
    let place = socket::Place::new(ticket);
    let is_tls = matches!(stream, Stream::Tls(_));
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(place.clone());
        let mut routes = routes.clone();
        async move {
            let handled = tower_service::Service::call(&mut routes, request);
            Ok::<_, std::convert::Infallible>(match tokio::time::timeout(REQUEST_TIMEOUT, handled).await {
                Ok(Ok(response)) => response,
                Ok(Err(never)) => match never {},
                Err(_) => headers::secure(StatusCode::REQUEST_TIMEOUT.into_response(), is_tls),
            })
        }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    let connection = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // What a peer does wrong in HTTP is its own affair.
        _ = connection.as_mut() => {}
        () = lifecycle.draining() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
