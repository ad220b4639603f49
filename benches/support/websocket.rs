//! A WebSocket client (RFC 6455) that does as little as it can: the load must not be the bottleneck.

use std::net::SocketAddr;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::session::Wire;

const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const READ_BYTES: usize = 64 * 1024;

/// An open WebSocket.
pub(crate) struct WebSocket {
    stream: TcpStream,
    received: BytesMut,
}

impl WebSocket {
    /// Connects and shakes hands.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("a TCP socket");
        let request = format!(
            "GET /ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
             Sec-WebSocket-Protocol: confab.v1\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        let mut received = BytesMut::new();
        // The server speaks only when spoken to, so nothing follows the head yet.
        while !received.ends_with(b"\r\n\r\n") {
            let count = stream.read_buf(&mut received).await.expect("the server answers");
            assert!(count > 0, "closed during the handshake: {}", String::from_utf8_lossy(&received));
        }
        let is_switched = received.starts_with(b"HTTP/1.1 101");
        assert!(is_switched, "the handshake was refused: {}", String::from_utf8_lossy(&received));
        // What an idle connection holds is not to be much on our side either.
        Self { stream, received: BytesMut::new() }
    }

    /// Waits for at least one frame and appends all that are there.
    pub(crate) async fn recv_all(&mut self, frames: &mut Vec<Bytes>) {
        frames.push(self.recv().await);
        while let Some(frame) = take_message(&mut self.received) {
            frames.push(frame);
        }
    }

    /// The bare stream, when nothing of a frame was read yet.
    pub(crate) fn into_stream(self) -> TcpStream {
        assert!(self.received.is_empty(), "something came before it was expected");
        self.stream
    }
}

impl Wire for WebSocket {
    async fn send(&mut self, frames: &[Bytes]) {
        self.stream.write_all(&messages(frames)).await.expect("the server reads");
    }

    async fn recv(&mut self) -> Bytes {
        loop {
            if let Some(frame) = take_message(&mut self.received) {
                return frame;
            }
            if self.received.is_empty() {
                // Not for ever: an idle connection keeps no buffer.
                self.received = BytesMut::new();
                self.stream.readable().await.expect("an open socket");
            }
            self.received.reserve(READ_BYTES);
            let count = self.stream.read_buf(&mut self.received).await.expect("an open socket");
            assert!(count > 0, "the server closed the connection");
        }
    }
}

/// Frames as messages of a client. They are masked, as they must be, with zeros, which changes nothing.
pub(crate) fn messages(frames: &[Bytes]) -> Vec<u8> {
    let mut out = Vec::with_capacity(frames.iter().map(|frame| frame.len() + 14).sum());
    for frame in frames {
        out.push(0x80 | BINARY);
        match (u8::try_from(frame.len()), u16::try_from(frame.len())) {
            (Ok(length @ 0..126), _) => out.push(0x80 | length),
            (_, Ok(length)) => {
                out.push(0x80 | 126);
                out.extend_from_slice(&length.to_be_bytes());
            }
            (_, Err(_)) => {
                out.push(0x80 | 127);
                out.extend_from_slice(&(frame.len() as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(frame);
    }
    out
}

/// The payload of the next whole message of the server, which does not mask.
fn take_message(received: &mut BytesMut) -> Option<Bytes> {
    let (head, length) = match *received.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes(received.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(received.get(2..10)?.try_into().ok()?)).ok()?),
        short => (2, usize::from(short)),
    };
    if received.len() < head + length {
        return None;
    }
    let opcode = received.first()? & 0x0f;
    received.advance(head);
    let payload = received.split_to(length).freeze();
    if opcode == PING {
        // Whoever was silent while others came says something soon, which is an answer too.
        return take_message(received);
    }
    assert_ne!(opcode, CLOSE, "the server closes: {}", String::from_utf8_lossy(payload.get(2..).unwrap_or_default()));
    assert_eq!(opcode, BINARY, "frames are binary");
    Some(payload)
}
