//! The HTTP side: page, JSON API and WebSocket on one port, operations on another. Every response carries
//! the security headers.

mod api;
mod client;
mod cookie;
mod headers;
pub mod ops;
mod origin;
mod socket;
mod web;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use self::origin::Origins;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get, post};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

pub use self::socket::{OnSocket, Sockets};
use crate::core::Core;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::transport::gate::{Gate, Ticket};
use crate::transport::stream::Stream;
use crate::transport::websocket::Terms;

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

/// What the handlers of the API share.
#[derive(Clone)]
pub struct State {
    core: Arc<Core>,
    origins: Origins,
}

/// The public listener's routes.
pub fn routes(core: Arc<Core>, origins: Origins, on_socket: OnSocket, lifecycle: Lifecycle, is_tls: bool) -> Router {
    let metrics = core.metrics.clone();
    let sockets =
        Sockets { terms: Terms::SERVER, origins: origins.clone(), on_socket, metrics: metrics.clone(), lifecycle };
    let state = State { core, origins };
    let api = Router::new()
        .route("/register", post(api::register))
        .route("/login", post(api::login))
        .route("/refresh", post(api::refresh))
        .route("/logout", post(api::logout))
        .route("/reset", post(api::reset))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX));
    Router::new()
        .nest("/api/v1", api)
        .route("/ws", upgrades(sockets))
        .route("/", get(web::index))
        .route("/assets/{name}", get(web::asset))
        .fallback(|| async { api::Failure::not_found().into_response() })
        .layer(axum::middleware::from_fn_with_state(metrics, headers::count))
        .layer(axum::middleware::map_response(move |response| async move { headers::secure(response, is_tls) }))
        .with_state(state)
}

/// The WebSocket's handshake, and what it is for.
pub fn upgrades<S: Clone + Send + Sync + 'static>(sockets: Sockets) -> MethodRouter<S> {
    get(socket::upgrade).with_state(sockets)
}

/// A listener with what it needs to know of those who come.
pub struct Door {
    /// Where they come in.
    pub listener: TcpListener,
    /// How, if not in clear.
    pub tls: Option<TlsAcceptor>,
    /// Who speaks for others.
    pub proxies: Arc<[IpNet]>,
    /// How many.
    pub gate: Arc<Gate>,
}

/// Accepts until the server drains.
pub async fn accept(door: Door, routes: Router, metrics: Metrics, lifecycle: Lifecycle) {
    let Door { listener, tls, proxies, gate } = door;
    let is_private = listener.local_addr().is_ok_and(|address| address.ip().is_loopback());
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
        let is_proxy = client::is_proxy(peer.ip(), &proxies);
        // In clear to others than loopback: only proxies, who have TLS themselves.
        if tls.is_none() && !is_private && !is_proxy {
            metrics.connections_refused_total.with_label_values(&["not_a_proxy"]).inc();
            continue;
        }
        let admitted = if is_proxy { gate.admit_proxy() } else { gate.admit(peer.ip()) };
        let ticket = match admitted {
            Ok(ticket) => ticket,
            Err(limit) => {
                metrics.connections_refused_total.with_label_values(&[limit]).inc();
                continue;
            }
        };
        tune(&stream);
        let guest = Guest { peer, proxies: Arc::clone(&proxies), routes: routes.clone(), ticket };
        lifecycle.spawn(serve(stream, tls.clone(), guest, lifecycle.clone()));
    }
}

/// Small frames must not wait for acknowledgements (Nagle), and the kernel must not hoard for a peer that does not read.
fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let _ = socket2::SockRef::from(stream).set_tcp_notsent_lowat(UNSENT_BYTES_MAX);
}

/// Who came, and what they are given.
struct Guest {
    peer: SocketAddr,
    proxies: Arc<[IpNet]>,
    routes: Router,
    ticket: Ticket,
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, guest: Guest, lifecycle: Lifecycle) {
    match tls {
        None => serve_stream(Stream::Plain(Arc::new(stream)), guest, lifecycle).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(TLS_TIMEOUT, tls.accept(stream)).await {
                serve_stream(Stream::Tls(Box::new(stream)), guest, lifecycle).await;
            }
        }
    }
}

async fn serve_stream(stream: Stream, guest: Guest, lifecycle: Lifecycle) {
    let Guest { peer, proxies, routes, ticket } = guest;
    // The place goes over to an upgraded connection; until then it is the request's.
    let place = socket::Place::new(ticket);
    let is_tls = matches!(stream, Stream::Tls(_));
    let service = hyper::service::service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        let client = client::Client(client::find(peer.ip(), request.headers(), &proxies));
        request.extensions_mut().insert(client);
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
