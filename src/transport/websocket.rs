//! One binary message is one frame. Works over any upgraded stream, with or without TLS.

use std::io::IoSlice;
use std::time::Duration;

use bytes::Bytes;
use confab_protocol::close::Close;
use confab_protocol::limits::FRAME_BYTES_MAX;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
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
const QUEUED_BYTES_MAX: usize = 16 * 1024;
/// The library's own buffer holds pongs and closes only.
const CONTROL_BUFFER_BYTES: usize = 1024;
/// Frames of one system call; each is two slices, header and payload.
const FRAMES_PER_WRITE: usize = 8;
/// First byte of an unfragmented binary message (RFC 6455 section 5.2).
const FINAL_BINARY: u8 = 0x82;
/// Queues that grew past this give their memory back.
const KEPT_FRAMES: usize = 16;
/// A peer may take so long to answer a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Bytes of a close reason (RFC 6455 section 5.5).
const REASON_BYTES_MAX: usize = 123;

/// A WebSocket after its handshake.
///
/// Reading, closing and answering pings is the library's. Binary messages are written here, straight from the
/// shared frame: what a server sends is not masked, so a header in front is all there is to it. Whether this is
/// cheaper than the library's buffer is not settled: see docs/decisions/0001-foundation.md.
pub struct WebSocketLink<S> {
    socket: WebSocketStream<S>,
    queued: Vec<Bytes>,
    queued_bytes: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> WebSocketLink<S> {
    /// The server's end of an upgraded stream.
    pub async fn new(stream: S) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(CONTROL_BUFFER_BYTES)
            .max_message_size(Some(FRAME_BYTES_MAX))
            .max_frame_size(Some(FRAME_BYTES_MAX));
        let socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        Self { socket, queued: Vec::new(), queued_bytes: 0 }
    }

    async fn write_queued(&mut self) -> Result<(), LinkError> {
        // A pong that is half written goes first, or the two would mix.
        self.socket.flush().await.map_err(|_| LinkError::Lost)?;
        let stream = self.socket.get_mut();
        for frames in self.queued.chunks(FRAMES_PER_WRITE) {
            let mut headers = [([0; HEADER_BYTES_MAX], 0); FRAMES_PER_WRITE];
            let mut slices = [IoSlice::new(&[]); 2 * FRAMES_PER_WRITE];
            for (header, frame) in headers.iter_mut().zip(frames) {
                *header = message_header(frame.len());
            }
            for (pair, ((header, length), frame)) in slices.chunks_mut(2).zip(headers.iter().zip(frames)) {
                if let [head, payload] = pair {
                    *head = IoSlice::new(header.split_at(*length).0);
                    *payload = IoSlice::new(frame);
                }
            }
            let (mut rest, _) = slices.split_at_mut(2 * frames.len());
            while !rest.is_empty() {
                match stream.write_vectored(rest).await {
                    Ok(written) if written > 0 => IoSlice::advance_slices(&mut rest, written),
                    _ => return Err(LinkError::Lost),
                }
            }
        }
        self.queued.clear();
        self.queued.shrink_to(KEPT_FRAMES);
        self.queued_bytes = 0;
        Ok(())
    }
}

const HEADER_BYTES_MAX: usize = 10;

/// The header of a binary message, unmasked, and its length (RFC 6455 section 5.2).
fn message_header(payload_bytes: usize) -> ([u8; HEADER_BYTES_MAX], usize) {
    let mut header = [0; HEADER_BYTES_MAX];
    let [first, short, long @ ..] = &mut header;
    *first = FINAL_BINARY;
    let length = match payload_bytes {
        0..126 => {
            *short = payload_bytes as u8;
            2
        }
        126..0x1_0000 => {
            *short = 126;
            let bytes = (payload_bytes as u16).to_be_bytes();
            long.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
            4
        }
        _ => {
            *short = 127;
            *long = (payload_bytes as u64).to_be_bytes();
            HEADER_BYTES_MAX
        }
    };
    (header, length)
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
        self.queued_bytes += frame.len();
        self.queued.push(frame);
        if self.queued_bytes >= QUEUED_BYTES_MAX { self.write_queued().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), LinkError> {
        if self.queued.is_empty() {
            return self.socket.flush().await.map_err(|_| LinkError::Lost);
        }
        self.write_queued().await
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
