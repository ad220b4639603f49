//! The WebSocket handshake (RFC 6455 section 4.2), by hand, so that the buffers of the connection are ours.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State as Shared};
use axum::http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    UPGRADE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use confab_protocol::reject::{Reject, RejectCode};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::api::Failure;
use super::client::Client;
use super::origin::{self, Origins};
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::transport::gate::Ticket;
use crate::transport::stream::Stream;
use crate::transport::websocket::{Terms, WebSocketLink};

/// Between our answer and the stream being ours.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(5);
/// base64 of 16 bytes.
const KEY_BYTES: usize = 24;

/// Takes an upgraded WebSocket, where it comes from, and its place; runs on its own.
pub type OnSocket = Arc<dyn Fn(WebSocketLink, IpAddr, Ticket) + Send + Sync>;

/// What upgrades need to know.
#[derive(Clone)]
pub struct Sockets {
    /// What a client must ask for, and what it may send.
    pub terms: Terms,
    /// Pages besides our own that may connect.
    pub origins: Origins,
    /// Who serves what was upgraded.
    pub on_socket: OnSocket,
    /// Refusals are counted.
    pub metrics: Metrics,
    /// What waits for a stream is waited for.
    pub lifecycle: Lifecycle,
}

/// The connection's place at the gate, taken over by an upgrade.
#[derive(Clone)]
pub(super) struct Place(Arc<Mutex<Option<Ticket>>>);

impl Place {
    pub(super) fn new(ticket: Ticket) -> Self {
        Self(Arc::new(Mutex::new(Some(ticket))))
    }

    /// For a client of this address, which behind a proxy is told only now. Where there is no room for it, the place stays
    /// the connection's.
    fn take_for(&self, client: IpAddr) -> Result<Option<Ticket>, &'static str> {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ticket) = place.as_mut() {
            ticket.count_for(client)?;
        }
        Ok(place.take())
    }
}

pub(super) async fn upgrade(Shared(sockets): Shared<Sockets>, mut request: Request) -> Response {
    if let Err(failure) = check(request.headers(), &sockets) {
        return failure.into_response();
    }
    let key = request.headers().get(SEC_WEBSOCKET_KEY).map(|key| derive_accept_key(key.as_bytes()));
    let accept = key.and_then(|key| HeaderValue::try_from(key).ok());
    let place = request.extensions_mut().remove::<Place>();
    let client = request.extensions_mut().remove::<Client>();
    let (Some(accept), Some(place), Some(Client(from))) = (accept, place, client) else {
        return bad_handshake(sockets.terms).into_response();
    };
    let ticket = match place.take_for(from) {
        Ok(Some(ticket)) => ticket,
        Ok(None) => return bad_handshake(sockets.terms).into_response(),
        Err(limit) => {
            sockets.metrics.connections_refused_total.with_label_values(&[limit]).inc();
            let full = Reject::new(RejectCode::Busy, "too many connections: close one first");
            return Failure::from(full).into_response();
        }
    };
    let upgraded = hyper::upgrade::on(&mut request);
    let Sockets { terms, on_socket, lifecycle, .. } = sockets;
    lifecycle.spawn(async move {
        if let Ok(Ok(upgraded)) = tokio::time::timeout(UPGRADE_TIMEOUT, upgraded).await
            // Always so: hyper was given this type.
            && let Ok(parts) = upgraded.downcast::<TokioIo<Stream>>()
        {
            on_socket(WebSocketLink::new(parts.io.into_inner(), parts.read_buf, terms).await, from, ticket);
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(subprotocol) = terms.subprotocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
    }
    response
}

fn check(headers: &HeaderMap, sockets: &Sockets) -> Result<(), Failure> {
    if !origin::is_allowed(headers, &sockets.origins) {
        return Err(Reject::new(RejectCode::Forbidden, "this page may not connect").into());
    }
    let is_version = headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13");
    let is_key = headers.get(SEC_WEBSOCKET_KEY).is_some_and(|key| key.len() == KEY_BYTES);
    let is_upgrade =
        has_token(headers, &CONNECTION, "upgrade", false) && has_token(headers, &UPGRADE, "websocket", false);
    let asks_for = |subprotocol| has_token(headers, &SEC_WEBSOCKET_PROTOCOL, subprotocol, true);
    if !(is_version && is_key && is_upgrade && sockets.terms.subprotocol.is_none_or(asks_for)) {
        return Err(bad_handshake(sockets.terms));
    }
    Ok(())
}

fn bad_handshake(terms: Terms) -> Failure {
    let with = terms.subprotocol.map_or(String::new(), |subprotocol| format!(" with subprotocol {subprotocol}"));
    Reject::new(RejectCode::Malformed, format!("open a WebSocket of version 13{with}")).into()
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str, exact: bool) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .any(|value| if exact { value == token } else { value.eq_ignore_ascii_case(token) })
}
