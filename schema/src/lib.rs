//! The chat protocol of Confab: values, codec, and the two ends of a session.
//!
//! No I/O, no clock, no async: time is [`model::Millis`] and randomness a seed, both passed in, so the
//! same code runs in the server, in native clients, in the browser (wasm32) and under a fuzzer.
//! The contract itself is `chat.capnp`; its comments are the reference text.
//!
//! Reading order: [`model`] (what there is), [`command`] (what can be asked and answered), [`codec`]
//! (bytes and back), [`session`] (who may say what when).
#![warn(clippy::unwrap_used, clippy::indexing_slicing)]
#![warn(missing_docs)]

pub mod close;
pub mod codec;
pub mod command;
pub mod frame;
pub mod limits;
pub mod model;
pub mod reject;
pub mod rights;
pub mod session;
pub mod text;

#[path = "generated/chat_capnp.rs"]
#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    unsafe_code
)]
pub mod chat_capnp;
