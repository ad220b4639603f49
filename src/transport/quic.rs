//! One bidirectional control stream, opened by the client, and unidirectional lanes for pushes, opened by
//! the server. Frames carry their length; everything else about QUIC stays in this file.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::{Bytes, BytesMut};
use confab_protocol::close::{Close, CloseCode};
use confab_protocol::frame::{put_frame, take_frame};
use confab_protocol::limits::HELLO_TIMEOUT_MS;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, VarInt};

use super::gate::{Gate, Ticket};
use super::tls::{Certificate, TlsError};
use super::{Lane, Link, LinkError};
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;

/// The protocol's name in the TLS handshake.
pub const ALPN: &[u8] = b"confab/1";

const RECEIVE_WINDOW_BYTES: u32 = 128 * 1024;
const STREAM_RECEIVE_WINDOW_BYTES: u32 = 64 * 1024;
const SEND_WINDOW_BYTES: u64 = 512 * 1024;
/// Streams that a client may have open: one is used.
const CLIENT_STREAMS: u32 = 8;
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A client opens its control stream with `hello`, which is due in this time.
const HELLO_TIMEOUT: Duration = Duration::from_millis(HELLO_TIMEOUT_MS);
const DATAGRAM_RECEIVE_BYTES: usize = 16 * 1024;
const DATAGRAM_SEND_BYTES: usize = 64 * 1024;
const INCOMING_MAX: usize = 1_024;
const INCOMING_BUFFER_BYTES: u64 = 64 * 1024;
const INCOMING_BUFFER_TOTAL_BYTES: u64 = 16 * 1024 * 1024;
/// With so many connections open an address must prove itself before the handshake costs anything.
const RETRY_FROM_CONNECTIONS: usize = 512;
/// How long a peer may take to read what was sent before a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Queued bytes of a lane that are written without a flush.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;
/// A buffer that grew past this is given back when it is empty.
const KEPT_BYTES: usize = 4 * 1024;

/// Binds the endpoint.
///
/// # Errors
/// A taken port, a certificate that does not fit.
pub fn bind(address: SocketAddr, certificate: &Certificate, gso: bool) -> Result<Endpoint, TlsOrIo> {
    let crypto = QuicServerConfig::try_from(certificate.quic(ALPN)?)
        .map_err(|error| TlsOrIo::Io(std::io::Error::other(error)))?;
    let mut transport = quinn::TransportConfig::default();
    transport
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW_BYTES))
        .stream_receive_window(VarInt::from_u32(STREAM_RECEIVE_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .max_concurrent_bidi_streams(VarInt::from_u32(CLIENT_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(CLIENT_STREAMS))
        .max_idle_timeout(IDLE_TIMEOUT.try_into().ok())
        .datagram_receive_buffer_size(Some(DATAGRAM_RECEIVE_BYTES))
        .datagram_send_buffer_size(DATAGRAM_SEND_BYTES)
        .enable_segmentation_offload(gso);
    let mut server = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    server
        .transport_config(Arc::new(transport))
        .migration(true)
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BUFFER_BYTES)
        .incoming_buffer_size_total(INCOMING_BUFFER_TOTAL_BYTES);
    // The same key after a restart: clients of the process before learn at once that their connection is gone
    // (stateless reset, RFC 9000 section 10.3), not only when it has been silent for too long.
    let reset_key = hmac::Key::new(hmac::HMAC_SHA256, certificate.reset_key());
    let config = EndpointConfig::new(Arc::new(reset_key));
    let socket = std::net::UdpSocket::bind(address)?;
    Ok(Endpoint::new(config, Some(server), socket, Arc::new(quinn::TokioRuntime))?)
}

/// Why an endpoint could not be had.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum TlsOrIo {
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Accepts until the endpoint closes or the server drains; each link goes to `on_link`.
pub async fn accept(
    endpoint: Endpoint,
    gate: Arc<Gate>,
    metrics: Metrics,
    lifecycle: Lifecycle,
    on_link: impl Fn(QuicLink, Ticket) + Clone + Send + 'static,
) {
    loop {
        let incoming = tokio::select! {
            () = lifecycle.draining() => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        let refused = metrics.connections_refused_total.clone();
        if endpoint.open_connections() >= RETRY_FROM_CONNECTIONS && !incoming.remote_address_validated() {
            refused.with_label_values(&["retry"]).inc();
            // It comes back with a token, or never was there.
            let _ = incoming.retry();
            continue;
        }
        let ticket = match gate.admit(incoming.remote_address().ip()) {
            Ok(ticket) => ticket,
            Err(limit) => {
                refused.with_label_values(&[limit]).inc();
                incoming.refuse();
                continue;
            }
        };
        let on_link = on_link.clone();
        lifecycle.spawn(async move {
            let Ok(Ok(connection)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, incoming).await else {
                return refused.with_label_values(&["handshake"]).inc();
            };
            match tokio::time::timeout(HELLO_TIMEOUT, QuicLink::open(connection.clone())).await {
                Ok(Some(link)) => on_link(link, ticket),
                _ => {
                    refused.with_label_values(&["hello"]).inc();
                    let close = Close::from(CloseCode::HelloTimeout);
                    connection.close(VarInt::from_u32(close.code.into()), close.reason.as_bytes());
                }
            }
        });
    }
    // Connections close by themselves; the endpoint must live until they have.
    endpoint.wait_idle().await;
}

/// One stream that is written to, with what is queued for it.
struct Sending {
    stream: quinn::SendStream,
    queued: Vec<u8>,
}

impl Sending {
    const fn new(stream: quinn::SendStream) -> Self {
        Self { stream, queued: Vec::new() }
    }

    async fn write(&mut self) -> Result<(), LinkError> {
        let mut written = 0;
        while let Some(rest) = self.queued.get(written..).filter(|rest| !rest.is_empty()) {
            written += self.stream.write(rest).await.map_err(|_| LinkError::Lost)?;
        }
        self.queued.clear();
        self.queued.shrink_to(KEPT_BYTES);
        Ok(())
    }
}

/// A QUIC connection as a link.
pub struct QuicLink {
    connection: quinn::Connection,
    receiving: quinn::RecvStream,
    buffer: BytesMut,
    control: Sending,
    lane: Sending,
}

impl QuicLink {
    async fn open(connection: quinn::Connection) -> Option<Self> {
        let (control, receiving) = connection.accept_bi().await.ok()?;
        let lane = connection.open_uni().await.ok()?;
        // Control before entries; the order of the enum, spelled for quinn.
        control.set_priority(1).ok()?;
        Some(Self {
            connection,
            receiving,
            buffer: BytesMut::new(),
            control: Sending::new(control),
            lane: Sending::new(lane),
        })
    }

    const fn sending(&mut self, lane: Lane) -> &mut Sending {
        match lane {
            Lane::Control => &mut self.control,
            Lane::Entries => &mut self.lane,
        }
    }
}

impl Link for QuicLink {
    async fn recv(&mut self) -> Result<Option<Bytes>, LinkError> {
        loop {
            match take_frame(&mut self.buffer) {
                Ok(Some(frame)) => return Ok(Some(frame)),
                Ok(None) => {}
                Err(_) => return Err(LinkError::TooLarge),
            }
            match self.receiving.read_chunk(STREAM_RECEIVE_WINDOW_BYTES as usize, true).await {
                Ok(Some(chunk)) if self.buffer.is_empty() => self.buffer = BytesMut::from(chunk.bytes),
                Ok(Some(chunk)) => self.buffer.extend_from_slice(&chunk.bytes),
                Ok(None) => return Ok(None),
                Err(quinn::ReadError::ConnectionLost(quinn::ConnectionError::ApplicationClosed(_))) => return Ok(None),
                Err(_) => return Err(LinkError::Lost),
            }
        }
    }

    async fn feed(&mut self, lane: Lane, frame: Bytes) -> Result<(), LinkError> {
        let sending = self.sending(lane);
        put_frame(&mut sending.queued, &frame);
        if sending.queued.len() >= WRITE_BUFFER_BYTES { sending.write().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), LinkError> {
        self.control.write().await?;
        self.lane.write().await
    }

    async fn close(mut self, close: Close) {
        let finished = async {
            if self.flush().await.is_ok() && self.control.stream.finish().is_ok() {
                // Closing at once would drop what is still on its way.
                let _ = self.control.stream.stopped().await;
            }
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, finished).await;
        self.connection.close(VarInt::from_u32(close.code.into()), close.reason.as_bytes());
    }
}
