//! A link of either transport, split in two: frames in through a queue, frames out by call.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use confab_protocol::close::Close;
use confab_protocol::frame::{put_frame, take_frame};
use confab_protocol::limits::FRAME_BYTES_MAX;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::server::{Server, Transport};

/// A connection attempt may take so long.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Frames read ahead of the session.
const READ_AHEAD: usize = 64;
const ALPN: &[u8] = b"confab/1";
const SUBPROTOCOL: &str = "confab.v1";
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A first packet that a restarting server misses is sent again after three times this, and so on doubling; the
/// default of 333 ms (RFC 9002 section 6.2.2) would make a client that comes too early wait for seconds.
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// What comes in: frames, then why there are no more.
pub(crate) type Incoming = mpsc::Receiver<Result<Bytes, Close>>;

type BoxSink = std::pin::Pin<Box<dyn Sink<Message, Error = Error> + Send>>;

/// The way out.
pub(crate) enum Outgoing {
    Quic { connection: quinn::Connection, control: quinn::SendStream, _endpoint: quinn::Endpoint },
    WebSocket(BoxSink),
}

impl Outgoing {
    pub(crate) async fn send(&mut self, frame: Bytes) -> Result<(), Close> {
        match self {
            Self::Quic { control, .. } => {
                let mut framed = Vec::with_capacity(frame.len() + 4);
                put_frame(&mut framed, &frame);
                control.write_all(&framed).await.map_err(|error| lost(&error))
            }
            Self::WebSocket(sink) => sink.send(Message::Binary(frame)).await.map_err(|error| lost(&error)),
        }
    }

    /// Says goodbye; what was sent before still arrives.
    pub(crate) async fn close(self) {
        match self {
            Self::Quic { connection, mut control, .. } => {
                if control.finish().is_ok() {
                    let _ = tokio::time::timeout(Duration::from_millis(500), control.stopped()).await;
                }
                connection.close(0_u32.into(), b"");
            }
            Self::WebSocket(mut sink) => {
                let _ = tokio::time::timeout(Duration::from_millis(500), sink.close()).await;
            }
        }
    }
}

/// A close that is not of the protocol: the link is just gone.
fn lost(error: &dyn std::fmt::Display) -> Close {
    Close { code: 0, reason: error.to_string() }
}

pub(crate) async fn connect(server: &Server) -> Result<(Outgoing, Incoming), Close> {
    let connecting = async {
        match server.transport {
            Transport::Quic => connect_quic(server).await,
            Transport::WebSocket { tls } => connect_websocket(server, tls).await,
        }
    };
    tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.unwrap_or_else(|_| Err(lost(&"no answer in time")))
}

async fn resolve(server: &Server) -> Result<SocketAddr, Close> {
    let mut found = tokio::net::lookup_host((server.host.as_str(), server.port)).await.map_err(|error| lost(&error))?;
    // Servers of development listen on IPv4 alone.
    let first = found.next().ok_or_else(|| lost(&"the name has no address"))?;
    Ok(std::iter::once(first).chain(found).find(SocketAddr::is_ipv4).unwrap_or(first))
}

async fn connect_quic(server: &Server) -> Result<(Outgoing, Incoming), Close> {
    let address = resolve(server).await?;
    let local: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let endpoint = quinn::Endpoint::client(local).map_err(|error| lost(&error))?;
    let tls = server.tls(Some(ALPN)).map_err(|error| lost(&error))?;
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).map_err(|error| lost(&error))?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    let mut transport = quinn::TransportConfig::default();
    transport.keep_alive_interval(Some(KEEP_ALIVE)).initial_rtt(INITIAL_RTT);
    config.transport_config(Arc::new(transport));
    let connecting = endpoint.connect_with(config, address, &server.host).map_err(|error| lost(&error))?;
    let connection = connecting.await.map_err(|error| lost(&error))?;
    let (control, replies) = connection.open_bi().await.map_err(|error| lost(&error))?;
    let (frames, incoming) = mpsc::channel(READ_AHEAD);
    spawn(read_quic(connection.clone(), replies, frames.clone()));
    spawn(read_lanes(connection.clone(), frames));
    Ok((Outgoing::Quic { connection, control, _endpoint: endpoint }, incoming))
}

#[expect(clippy::disallowed_methods, reason = "readers end with the link")]
fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(task);
}

async fn read_lanes(connection: quinn::Connection, frames: mpsc::Sender<Result<Bytes, Close>>) {
    while let Ok(lane) = connection.accept_uni().await {
        spawn(read_quic(connection.clone(), lane, frames.clone()));
    }
}

async fn read_quic(
    connection: quinn::Connection,
    mut stream: quinn::RecvStream,
    frames: mpsc::Sender<Result<Bytes, Close>>,
) {
    let mut buffer = BytesMut::new();
    let end = loop {
        match take_frame(&mut buffer) {
            Ok(Some(frame)) => {
                if frames.send(Ok(frame)).await.is_err() {
                    return;
                }
                continue;
            }
            Ok(None) => {}
            Err(error) => break lost(&error),
        }
        match stream.read_chunk(FRAME_BYTES_MAX, true).await {
            Ok(Some(chunk)) => buffer.extend_from_slice(&chunk.bytes),
            // The stream is done; the connection says why.
            Ok(None) => break quic_close(&connection.closed().await),
            Err(quinn::ReadError::ConnectionLost(error)) => break quic_close(&error),
            Err(error) => break lost(&error),
        }
    };
    let _ = frames.send(Err(end)).await;
}

fn quic_close(error: &quinn::ConnectionError) -> Close {
    match error {
        quinn::ConnectionError::ApplicationClosed(close) => Close {
            code: u16::try_from(close.error_code.into_inner()).unwrap_or(0),
            reason: String::from_utf8_lossy(&close.reason).into_owned(),
        },
        other => lost(other),
    }
}

async fn connect_websocket(server: &Server, tls: bool) -> Result<(Outgoing, Incoming), Close> {
    let stream = TcpStream::connect(resolve(server).await?).await.map_err(|error| lost(&error))?;
    let _ = stream.set_nodelay(true);
    if !tls {
        return open_websocket(server, "ws", stream).await;
    }
    let config = server.tls(None).map_err(|error| lost(&error))?;
    let name = rustls::pki_types::ServerName::try_from(server.host.clone()).map_err(|error| lost(&error))?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await.map_err(|error| lost(&error))?;
    open_websocket(server, "wss", stream).await
}

async fn open_websocket<S>(server: &Server, scheme: &str, stream: S) -> Result<(Outgoing, Incoming), Close>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let host = if server.host.contains(':') { format!("[{}]", server.host) } else { server.host.clone() };
    let url = format!("{scheme}://{host}:{}/ws", server.port);
    let mut request = url.into_client_request().map_err(|error| lost(&error))?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
    let config = WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .max_message_size(Some(FRAME_BYTES_MAX))
        .max_frame_size(Some(FRAME_BYTES_MAX));
    let opened = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
    let (socket, _) = opened.map_err(|error| lost(&error))?;
    let (sink, stream) = socket.split();
    let (frames, incoming) = mpsc::channel(READ_AHEAD);
    spawn(read_websocket(stream, frames));
    Ok((Outgoing::WebSocket(Box::pin(sink)), incoming))
}

async fn read_websocket(
    mut stream: impl Stream<Item = Result<Message, Error>> + Unpin,
    frames: mpsc::Sender<Result<Bytes, Close>>,
) {
    let mut end = lost(&"the connection ended");
    while let Some(message) = stream.next().await {
        match message {
            Ok(Message::Binary(frame)) => {
                if frames.send(Ok(frame)).await.is_err() {
                    return;
                }
            }
            Ok(Message::Close(Some(close))) => {
                end = Close { code: close.code.into(), reason: close.reason.to_string() };
            }
            Ok(_) => {}
            Err(error) => {
                end = if end.code == 0 { lost(&error) } else { end };
                break;
            }
        }
    }
    let _ = frames.send(Err(end)).await;
}
