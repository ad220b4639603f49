//! Whole frames in and out, and nothing else. A second transport is one new file here.

pub mod gate;
mod queue;
pub mod quic;
pub mod stream;
pub mod tls;
pub mod websocket;

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use confab_protocol::close::Close;

/// Which way a frame goes, where the transport has several.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// Welcome, replies, notices.
    Control,
    /// Entries of rooms.
    Entries,
}

/// What came from a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Received {
    /// A whole frame of at most `FRAME_BYTES_MAX`.
    Frame(Bytes),
    /// A sign of life that is no frame.
    Alive,
    /// The peer has closed.
    End,
}

/// Why a link gave no frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LinkError {
    /// The peer announced a frame over the bound.
    #[error("frame too large")]
    TooLarge,
    /// The peer sent text, or what should be text and is not UTF-8.
    #[error("text frame")]
    Text,
    /// The peer does not keep to the transport's own protocol.
    #[error("malformed")]
    Malformed,
    /// The peer is gone.
    #[error("link lost")]
    Lost,
}

/// Writes what it can of these frames without waiting. `Ok(None)`: all of it. `Ok(Some(_))`: so many bytes, headers
/// included; the rest is to be written before anything else, by [`Link::resume_write`]. `Err`: the link is lost.
pub type TryWriter = Box<dyn Fn(&VecDeque<Bytes>) -> io::Result<Option<usize>> + Send + Sync>;

/// One connection of any transport. It is polled, not awaited, so that an idle connection keeps no future of
/// it; reading and flushing are never polled at the same time.
pub trait Link: Send + 'static {
    /// What comes next.
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Received, LinkError>>;
    /// Whether a part of a frame came and the rest is due.
    fn is_inside_frame(&self) -> bool;
    /// Queues a frame.
    fn feed(&mut self, lane: Lane, frame: Bytes);
    /// Bytes that are fed and not written.
    fn pending_bytes(&self) -> usize;
    /// The frames that are fed and not wholly written, each lane's in its order.
    fn unwritten(&self) -> impl Iterator<Item = &Bytes>;
    /// Writes what is queued; ready at once when nothing is.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>>;
    /// What others may write frames with while nobody uses the link and nothing is pending, if the transport allows
    /// it: a push then needs no wake-up of the connection.
    fn try_writer(&self) -> Option<TryWriter>;
    /// Takes over frames of which a [`TryWriter`] wrote so many bytes; nothing is pending when this is called.
    fn resume_write(&mut self, frames: VecDeque<Bytes>, written: usize);
    /// Asks a silent peer for a sign of life with the next flush, where its own timers may sleep (browsers).
    fn probe(&mut self);
    /// Says why and ends; waits a bounded time for the peer to read it.
    fn close(self, close: Close) -> impl Future<Output = ()> + Send;
}
