//! Whole frames in and out, and nothing else. A second transport is one new file here.

pub mod gate;
pub mod quic;
pub mod tls;
pub mod websocket;

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

/// Why a link gave no frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LinkError {
    /// The peer announced a frame over the bound.
    #[error("frame too large")]
    TooLarge,
    /// The peer sent text.
    #[error("text frame")]
    Text,
    /// The peer does not keep to the transport's own protocol, or is gone.
    #[error("link lost")]
    Lost,
}

/// One connection of any transport.
pub trait Link: Send + 'static {
    /// The next whole frame of at most `FRAME_BYTES_MAX`; `None` when the peer has closed. Safe to cancel.
    fn recv(&mut self) -> impl Future<Output = Result<Option<Bytes>, LinkError>> + Send;
    /// Queues a frame; may write when much is queued.
    fn feed(&mut self, lane: Lane, frame: Bytes) -> impl Future<Output = Result<(), LinkError>> + Send;
    /// Writes what is queued.
    fn flush(&mut self) -> impl Future<Output = Result<(), LinkError>> + Send;
    /// Says why and ends; waits a bounded time for the peer to read it.
    fn close(self, close: Close) -> impl Future<Output = ()> + Send;
}
