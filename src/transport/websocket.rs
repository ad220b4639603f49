//! One binary message is one frame. Works over any upgraded stream, with or without TLS.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use confab_protocol::close::{Close, REASON_BYTES_MAX};
use confab_protocol::limits::FRAME_BYTES_MAX;
use futures_util::{Sink, SinkExt, Stream as _, StreamExt};
use rustix::io::Errno;
use rustix::net::SendFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::queue::{FrameQueue, HEADER_BYTES_MAX, with_gathered};
use super::stream::Stream;
use super::{Lane, Link, LinkError, Received, TryWriter};

/// The subprotocol that a client must ask for.
pub const SUBPROTOCOL: &str = "confab.v1";
/// Allocated for each connection at once, and the most that one read takes ...
const READ_BUFFER_BYTES: usize = 1024;
/// ... until a read took as much: then the next takes more, and what nobody asked for yet is kept.
const READ_AHEAD_BYTES: usize = 16 * 1024;
/// The library's own buffer holds pings, pongs and closes only.
const CONTROL_BUFFER_BYTES: usize = 1024;
/// First byte of an unfragmented binary message (RFC 6455 section 5.2), and of one of text.
const FINAL_BINARY: u8 = 0x82;
const FINAL_TEXT: u8 = 0x81;
/// Bytes of a control frame of a client besides its payload: two, and the mask.
const CONTROL_HEADER_BYTES: usize = 6;
/// A peer may take so long to answer a close.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

thread_local! {
    /// Where what is read ahead arrives.
    static AHEAD: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_AHEAD_BYTES].into());
}

/// What a client must ask for, and what a link takes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// The subprotocol; `None`: a client need not ask for one.
    pub subprotocol: Option<&'static str>,
    /// Longest message, bytes.
    pub message_bytes_max: usize,
    /// Which messages are frames.
    pub kinds: Kinds,
}

impl Terms {
    /// The server's.
    pub const SERVER: Self =
        Self { subprotocol: Some(SUBPROTOCOL), message_bytes_max: FRAME_BYTES_MAX, kinds: Kinds::Binary };
}

/// Which messages are frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kinds {
    /// Binary ones; text is an error.
    Binary,
    /// Text as well. What is fed goes out as what came last, so all of it must be written before more is read.
    AsTheyCome,
}

/// A WebSocket after its handshake.
///
/// Reading, closing and answering pings is the library's. Binary messages are written here, from the shared
/// frame: what a server sends is not masked, so a header in front is all there is to it.
pub struct WebSocketLink {
    socket: WebSocketStream<Counted>,
    /// Something may be there to read without the socket becoming readable.
    may_have_more: bool,
    /// The library has, or may have, something of its own to write.
    owes_control: bool,
    probe_is_due: bool,
    /// The peer has said goodbye: nothing follows our own.
    is_closing: bool,
    queue: FrameQueue,
    kinds: Kinds,
    /// Something was written since the stream was last flushed.
    is_unflushed: bool,
}

impl WebSocketLink {
    /// The server's end of an upgraded stream, and what was read of it already.
    pub async fn new(stream: Stream, read: Bytes, terms: Terms) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(CONTROL_BUFFER_BYTES)
            .max_message_size(Some(terms.message_bytes_max))
            .max_frame_size(Some(terms.message_bytes_max));
        let stream = Counted::new(stream);
        // A copy: as a vector of its own it would keep the whole buffer that the request was read into.
        let read = read.to_vec();
        let socket = WebSocketStream::from_partially_read(stream, read, Role::Server, Some(config)).await;
        Self {
            socket,
            may_have_more: true,
            owes_control: false,
            probe_is_due: false,
            is_closing: false,
            queue: FrameQueue::new(message_header::<FINAL_BINARY>),
            kinds: terms.kinds,
            is_unflushed: false,
        }
    }

    fn received(&mut self, message: Option<Result<Message, Error>>) -> Result<Received, LinkError> {
        let unframed_bytes = &mut self.socket.get_mut().unframed_bytes;
        match message {
            Some(Ok(Message::Binary(frame))) => {
                *unframed_bytes = 0;
                if self.kinds == Kinds::AsTheyCome {
                    self.queue.set_header(message_header::<FINAL_BINARY>);
                }
                Ok(Received::Frame(frame))
            }
            Some(Ok(Message::Text(text))) if self.kinds == Kinds::AsTheyCome => {
                *unframed_bytes = 0;
                self.queue.set_header(message_header::<FINAL_TEXT>);
                Ok(Received::Frame(text.into()))
            }
            // The library has an answer, which is written with the next flush and not before: until this returns
            // somebody else may be writing.
            Some(Ok(Message::Ping(payload) | Message::Pong(payload))) => {
                *unframed_bytes = unframed_bytes.saturating_sub(CONTROL_HEADER_BYTES + payload.len());
                self.owes_control = true;
                Ok(Received::Alive)
            }
            Some(Ok(Message::Close(_) | Message::Frame(_))) => {
                self.owes_control = true;
                self.is_closing = true;
                Ok(Received::Alive)
            }
            Some(Ok(Message::Text(_)) | Err(Error::Utf8(_))) => Err(LinkError::Text),
            Some(Err(Error::Capacity(_))) => Err(LinkError::TooLarge),
            Some(Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) | Error::Io(_))) => {
                Err(LinkError::Lost)
            }
            Some(Err(_)) => Err(LinkError::Malformed),
            None => Ok(Received::End),
        }
    }

    fn poll_write_queued(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        while !self.queue.is_empty() {
            self.is_unflushed = true;
            let stream = Pin::new(&mut self.socket.get_mut().stream);
            match ready!(self.queue.with_next(|bytes| stream.poll_write(cx, bytes))) {
                Ok(count) if count > 0 => self.queue.advance(count),
                _ => return Poll::Ready(Err(LinkError::Lost)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// One system call for all of it; no other task writes meanwhile. It goes past the runtime's idea of whether the
/// socket is ready: the connection finds that out by itself if it has to go on.
fn try_write(stream: &TcpStream, frames: &VecDeque<Bytes>) -> io::Result<Option<usize>> {
    with_gathered(frames, message_header::<FINAL_BINARY>, 0, usize::MAX, |bytes| {
        let written = match rustix::net::send(stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
            Ok(written) => written,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        Ok((written < bytes.len()).then_some(written))
    })
}

/// The header of a whole message with this first byte, unmasked, and its length (RFC 6455 section 5.2).
fn message_header<const FIRST: u8>(payload_bytes: usize) -> ([u8; HEADER_BYTES_MAX], usize) {
    let mut header = [0; HEADER_BYTES_MAX];
    let [first, short, long @ ..] = &mut header;
    *first = FIRST;
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

impl Link for WebSocketLink {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, LinkError>> {
        if !self.may_have_more {
            // The library clears its whole buffer for each try; the socket knows when one is worth it.
            if ready!(self.socket.get_ref().stream.poll_readable(cx)).is_err() {
                return Poll::Ready(Err(LinkError::Lost));
            }
            self.may_have_more = true;
        }
        match Pin::new(&mut self.socket).poll_next(cx) {
            Poll::Ready(message) => Poll::Ready(self.received(message)),
            Poll::Pending => {
                // Its last try found nothing, and the socket will wake us.
                self.may_have_more = false;
                Poll::Pending
            }
        }
    }

    /// A frame whose beginning came in one read with the one before is noticed with its next byte.
    fn is_inside_frame(&self) -> bool {
        self.socket.get_ref().unframed_bytes > 0
    }

    fn feed(&mut self, _: Lane, frame: Bytes) {
        self.queue.push(frame);
    }

    fn pending_bytes(&self) -> usize {
        self.queue.pending_bytes()
    }

    fn unwritten(&self) -> impl Iterator<Item = &Bytes> {
        self.queue.frames()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        // What is half written goes first, or the two would mix: ours if there is such, else the library's.
        if self.queue.is_inside_frame() {
            ready!(self.poll_write_queued(cx))?;
        }
        if std::mem::take(&mut self.probe_is_due) && !self.is_closing {
            self.owes_control = true;
            let ping = Message::Ping(Bytes::new());
            Pin::new(&mut self.socket).start_send(ping).map_err(|_| LinkError::Lost)?;
        }
        if self.owes_control {
            ready!(Pin::new(&mut self.socket).poll_flush(cx)).map_err(|_| LinkError::Lost)?;
            self.owes_control = false;
        }
        if self.is_closing {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_write_queued(cx))?;
        if self.is_unflushed {
            // Plain TCP has nothing of its own to flush, TLS may.
            ready!(Pin::new(&mut self.socket.get_mut().stream).poll_flush(cx)).map_err(|_| LinkError::Lost)?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn try_writer(&self) -> Option<TryWriter> {
        match &self.socket.get_ref().stream {
            Stream::Plain(stream) => {
                let stream = Arc::clone(stream);
                Some(Box::new(move |frames| try_write(&stream, frames)))
            }
            Stream::Tls(_) => None,
        }
    }

    fn resume_write(&mut self, frames: VecDeque<Bytes>, written: usize) {
        frames.into_iter().for_each(|frame| self.queue.push(frame));
        self.queue.advance(written);
    }

    fn probe(&mut self) {
        self.probe_is_due = true;
    }

    async fn close(mut self, close: Close) {
        let (reason, _) = close.reason.split_at(close.reason.floor_char_boundary(REASON_BYTES_MAX));
        let frame = CloseFrame { code: close.code.into(), reason: reason.into() };
        let goodbye = async {
            // What is half written must be whole before anything else can be read.
            if poll_fn(|cx| self.poll_flush(cx)).await.is_ok() && self.socket.close(Some(frame)).await.is_ok() {
                while let Some(Ok(_)) = self.socket.next().await {}
                let _ = self.socket.flush().await;
            }
        };
        // A peer that does not answer is cut off.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, goodbye).await;
    }
}

/// A stream that counts what was read of it since the last whole message, and reads ahead while its peer sends much.
struct Counted {
    stream: Stream,
    unframed_bytes: usize,
    /// Read, and not asked for yet.
    ahead: Bytes,
    /// The last read took all that it could: more is there, most likely.
    has_much: bool,
}

impl Counted {
    const fn new(stream: Stream) -> Self {
        Self { stream, unframed_bytes: 0, ahead: Bytes::new(), has_much: false }
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let count = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead.split_to(count));
            return Poll::Ready(Ok(()));
        }
        if self.has_much {
            return self.poll_read_ahead(cx, buffer);
        }
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
        self.has_much = buffer.remaining() == 0;
        Poll::Ready(read)
    }

    /// One system call instead of sixteen; what is kept goes with the last of it, so that an idle peer costs nothing.
    fn poll_read_ahead(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        AHEAD.with_borrow_mut(|bytes| {
            let mut read = ReadBuf::new(bytes);
            // Whatever comes of it, the next read is a small one unless this took more than such a one could.
            self.has_much = false;
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            let (now, later) = read.filled().split_at(read.filled().len().min(buffer.remaining()));
            buffer.put_slice(now);
            self.ahead = Bytes::copy_from_slice(later);
            self.has_much = !later.is_empty();
            Poll::Ready(Ok(()))
        })
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = self.poll_fill(cx, buffer);
        self.unframed_bytes += buffer.filled().len() - before;
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    /// A masked binary message (RFC 6455 section 5.2), with a mask that changes nothing.
    fn masked(payload: &[u8]) -> Vec<u8> {
        let (header, length) = message_header::<FINAL_BINARY>(payload.len());
        let mut bytes = header[..length].to_vec();
        bytes[1] |= 0x80;
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes
    }

    /// Whatever falls on the borders of what is read small and what is read ahead, and whoever pauses in between.
    #[tokio::test]
    async fn what_is_sent_at_once_is_read_as_it_was_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let mut link = WebSocketLink::new(Stream::Plain(Arc::new(server)), Bytes::new(), Terms::SERVER).await;
        let sizes = [1, 125, 126, 250, READ_BUFFER_BYTES - 8, READ_BUFFER_BYTES, 3_000, READ_AHEAD_BYTES, 40_000, 7];
        let frames: Vec<Vec<u8>> = (0..200).map(|n| vec![n as u8; sizes[n * 7 % sizes.len()]]).collect();
        let sent = frames.clone();
        let sending = async move {
            for burst in sent.chunks(60) {
                let bytes: Vec<u8> = burst.iter().flat_map(|frame| masked(frame)).collect();
                client.write_all(&bytes).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let reading = async {
            for frame in frames {
                match poll_fn(|cx| link.poll_recv(cx)).await {
                    Ok(Received::Frame(received)) => assert!(received == frame, "{} bytes", frame.len()),
                    _ => panic!("a frame was lost"),
                }
            }
        };
        tokio::join!(sending, reading);
        assert!(link.socket.get_ref().ahead.is_empty(), "nothing is kept for who has nothing to say");
        assert!(matches!(poll_fn(|cx| link.poll_recv(cx)).await, Ok(Received::End) | Err(LinkError::Lost)));
    }
}
