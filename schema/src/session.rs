//! The two ends of a connection as state machines without I/O.
//!
//! One enum in, one enum out: after every input, poll until the answer is a `Timeout`, which means
//! drained; then wait for whichever comes first, that time or the next input. Time is always passed in.
//! Both ends run over any link that delivers whole frames in order, so QUIC, WebSocket, the browser,
//! tests and fuzzers share them.

mod backoff;
pub mod client;
mod client_requests;
mod client_rooms;
pub mod server;

/// Protocol version spoken here.
pub const VERSION: u16 = crate::chat_capnp::PROTOCOL_VERSION;
