//! One binary message is one frame. Works over any upgraded stream, with or without TLS.

use std::time::Duration;

use bytes::Bytes;
use confab_protocol::close::Close;
use confab_protocol::limits::FRAME_BYTES_MAX;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{Lane, Link, LinkError};

/// The subprotocol that a client must ask for.
pub const SUBPROTOCOL: &str = "confab.v1";
/// Allocated for each connection at once, and the most that one read takes.
const READ_BUFFER_BYTES: usize = 2 * 1024;
/// Gathered before a write happens without a flush.
const WRITE_BUFFER_BYTES: usize = 16 * 1024;
/// Above one write buffer and the largest frame.
const MAX_WRITE_BUFFER_BYTES: usize = 256 * 1024;
/// A peer may take so long to answer a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of a close reason (RFC 6455 section 5.5).
const REASON_BYTES_MAX: usize = 123;

/// A WebSocket after its handshake.
pub struct WebSocketLink<S> {
    socket: WebSocketStream<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> WebSocketLink<S> {
    /// The server's end of an upgraded stream.
    pub async fn new(stream: S) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_write_buffer_size(MAX_WRITE_BUFFER_BYTES)
            .max_message_size(Some(FRAME_BYTES_MAX))
            .max_frame_size(Some(FRAME_BYTES_MAX));
        Self { socket: WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Link for WebSocketLink<S> {
    async fn recv(&mut self) -> Result<Option<Bytes>, LinkError> {
        loop {
            return match self.socket.next().await {
                Some(Ok(Message::Binary(frame))) => Ok(Some(frame)),
                Some(Ok(Message::Text(_))) => Err(LinkError::Text),
                // The library answers pings; a close is answered by the next read.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_) | Message::Close(_))) => continue,
                Some(Err(Error::Capacity(_))) => Err(LinkError::TooLarge),
                Some(Err(_)) => Err(LinkError::Lost),
                None => Ok(None),
            };
        }
    }

    async fn feed(&mut self, _: Lane, frame: Bytes) -> Result<(), LinkError> {
        self.socket.feed(Message::Binary(frame)).await.map_err(|_| LinkError::Lost)
    }

    async fn flush(&mut self) -> Result<(), LinkError> {
        self.socket.flush().await.map_err(|_| LinkError::Lost)
    }

    async fn close(mut self, close: Close) {
        let (reason, _) = close.reason.split_at(close.reason.floor_char_boundary(REASON_BYTES_MAX));
        let frame = CloseFrame { code: close.code.into(), reason: reason.into() };
        let goodbye = async {
            if self.socket.close(Some(frame)).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
            }
        };
        // A peer that does not answer is cut off.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, goodbye).await;
    }
}
