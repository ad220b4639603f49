//! One bidirectional control stream, opened by the client, and unidirectional lanes for pushes, opened by
//! the server. Frames carry their length; everything else about QUIC stays in this file.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_lc_rs::hmac;
use bytes::{Bytes, BytesMut};
use confab_protocol::close::{Close, CloseCode};
use confab_protocol::frame::{PREFIX_BYTES, prefix, take_frame};
use confab_protocol::limits::HELLO_TIMEOUT_MS;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, EndpointConfig, VarInt};
use quinn_proto::HashedConnectionIdGenerator;

use super::gate::{Gate, Ticket};
use super::queue::{FrameQueue, HEADER_BYTES_MAX};
use super::tls::{Certificate, Current, TlsError};
use super::{Lane, Link, LinkError, Received, TryWriter};
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
/// How long a peer may take to read what was sent before a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Binds the endpoint.
///
/// # Errors
/// A taken port, a certificate that does not fit.
pub fn bind(
    address: SocketAddr,
    certificate: &Certificate,
    current: Arc<Current>,
    gso: bool,
) -> Result<Endpoint, TlsOrIo> {
    let crypto = QuicServerConfig::try_from(Certificate::quic(current, ALPN)?)
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
    let tag = hmac::sign(&reset_key, b"connection ids");
    let ids_key = tag.as_ref().first_chunk().copied().map_or(0, u64::from_le_bytes);
    let mut config = EndpointConfig::new(Arc::new(reset_key));
    // Ids that this process would not have made are dropped without a word; those of the one before must not be.
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids_key)));
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
    on_link: impl Fn(QuicLink, IpAddr, Ticket) + Clone + Send + 'static,
) {
    loop {
        let incoming = tokio::select! {
            () = lifecycle.draining() => break,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { break };
        let refused = metrics.connections_refused_total.clone();
        // Places are for those who are where they say: past half of them an address must prove itself first.
        if !incoming.remote_address_validated() && gate.is_past_half(incoming.remote_address().ip()) {
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
        let from = incoming.remote_address().ip();
        lifecycle.spawn(async move {
            let Ok(Ok(connection)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, incoming).await else {
                return refused.with_label_values(&["handshake"]).inc();
            };
            match tokio::time::timeout(HELLO_TIMEOUT, QuicLink::open(connection.clone())).await {
                Ok(Some(link)) => on_link(link, from, ticket),
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
    queue: FrameQueue,
}

impl Sending {
    const fn new(stream: quinn::SendStream) -> Self {
        Self { stream, queue: FrameQueue::new(frame_header) }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        while !self.queue.is_empty() {
            let stream = Pin::new(&mut self.stream);
            match ready!(self.queue.with_next(|bytes| stream.poll_write(cx, bytes))) {
                Ok(count) => self.queue.advance(count),
                Err(_) => return Poll::Ready(Err(LinkError::Lost)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// The length before a frame.
fn frame_header(frame_bytes: usize) -> ([u8; HEADER_BYTES_MAX], usize) {
    let mut header = [0; HEADER_BYTES_MAX];
    header.iter_mut().zip(prefix(frame_bytes)).for_each(|(to, from)| *to = from);
    (header, PREFIX_BYTES)
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

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, quinn::ReadError>> {
        // What this future knows is in the stream: a new one for each try loses nothing.
        let reading = std::pin::pin!(self.receiving.read_chunk(STREAM_RECEIVE_WINDOW_BYTES as usize, true));
        reading.poll(cx).map_ok(|chunk| chunk.map(|chunk| chunk.bytes))
    }
}

impl Link for QuicLink {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, LinkError>> {
        use quinn::{ConnectionError, ReadError};
        loop {
            match take_frame(&mut self.buffer) {
                Ok(Some(frame)) => {
                    if self.buffer.is_empty() {
                        // Empty it would still hold the packet that it was cut from.
                        self.buffer = BytesMut::new();
                    }
                    return Poll::Ready(Ok(Received::Frame(frame)));
                }
                Ok(None) => {}
                Err(_) => return Poll::Ready(Err(LinkError::TooLarge)),
            }
            match ready!(self.poll_read(cx)) {
                Ok(Some(bytes)) if self.buffer.is_empty() => self.buffer = BytesMut::from(bytes),
                Ok(Some(bytes)) => self.buffer.extend_from_slice(&bytes),
                Ok(None) if !self.buffer.is_empty() => return Poll::Ready(Err(LinkError::Malformed)),
                Ok(None) | Err(ReadError::ConnectionLost(ConnectionError::ApplicationClosed(_))) => {
                    return Poll::Ready(Ok(Received::End));
                }
                Err(_) => return Poll::Ready(Err(LinkError::Lost)),
            }
        }
    }

    fn is_inside_frame(&self) -> bool {
        !self.buffer.is_empty()
    }

    fn feed(&mut self, lane: Lane, frame: Bytes) {
        self.sending(lane).queue.push(frame);
    }

    fn pending_bytes(&self) -> usize {
        self.control.queue.pending_bytes() + self.lane.queue.pending_bytes()
    }

    fn unwritten(&self) -> impl Iterator<Item = &Bytes> {
        self.control.queue.frames().chain(self.lane.queue.frames())
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        ready!(self.control.poll_write(cx))?;
        self.lane.poll_write(cx)
    }

    /// A write needs the connection's state, which its own tasks hold.
    fn try_writer(&self) -> Option<TryWriter> {
        None
    }

    fn resume_write(&mut self, _: VecDeque<Bytes>, _: usize) {
        debug_assert!(false, "nobody else writes to this link");
    }

    /// Native clients have timers that do not sleep, and say something in time.
    fn probe(&mut self) {}

    async fn close(mut self, close: Close) {
        let finished = async {
            if poll_fn(|cx| self.poll_flush(cx)).await.is_ok() && self.control.stream.finish().is_ok() {
                // Closing at once would drop what is still on its way.
                let _ = self.control.stream.stopped().await;
            }
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, finished).await;
        self.connection.close(VarInt::from_u32(close.code.into()), close.reason.as_bytes());
    }
}
