//! Capability `context`: what else the server knows of a message or an act that is decided about: how it came, where it is to
//! stand, and what was known before of whose it is. Outside wasm it is what a golden line says of that, so that plugins can be
//! tested natively.
//!
//! ```
//! use confab_plugin::message::{Event, Guest};
//! use confab_plugin::{Verdict, context, hold};
//!
//! struct NoEarlyLinks;
//!
//! impl Guest for NoEarlyLinks {
//!     fn decide(event: Event) -> Verdict {
//!         let is_crowded = context::room().is_some_and(|room| room.members > 1_000);
//!         let is_early = context::messages_here() < 5;
//!         if is_crowded && is_early && event.plain.contains("://") { hold("early-link") } else { Verdict::Allow }
//!     }
//! }
//!
//! confab_plugin::export!(NoEarlyLinks: message);
//! # fn main() {}
//! ```

pub use crate::capabilities::confab::plugin::context::RoomSettings;

#[cfg(target_arch = "wasm32")]
use crate::capabilities::confab::plugin::context as host;

/// How the author is connected: quic or websocket; more words may come. Empty: not known.
#[must_use]
pub fn transport() -> String {
    host::transport()
}

/// The room of the message or the act as it is now. Nothing for a login, a registration, a reaction or a name.
#[must_use]
pub fn room() -> Option<RoomSettings> {
    host::room()
}

/// How often the author was held, flagged or reported lately and nobody dismissed it, up to 100.
#[must_use]
pub fn prior_flags() -> u32 {
    host::prior_flags()
}

/// Messages of the author among the newest 1,000 entries of the room, up to 100.
#[must_use]
pub fn messages_here() -> u32 {
    host::messages_here()
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod host {
    use std::cell::RefCell;

    use super::RoomSettings;

    /// What is known of a message.
    #[derive(Default)]
    pub(crate) struct Known {
        pub(crate) transport: String,
        pub(crate) room: Option<RoomSettings>,
        pub(crate) prior_flags: u32,
        pub(crate) messages_here: u32,
    }

    thread_local! {
        static KNOWN: RefCell<Known> = RefCell::default();
    }

    /// Of the message that is decided about next.
    #[cfg(feature = "golden")]
    pub(crate) fn set(known: Known) {
        KNOWN.set(known);
    }

    pub(super) fn transport() -> String {
        KNOWN.with_borrow(|known| known.transport.clone())
    }

    pub(super) fn room() -> Option<RoomSettings> {
        KNOWN.with_borrow(|known| known.room.clone())
    }

    pub(super) fn prior_flags() -> u32 {
        KNOWN.with_borrow(|known| known.prior_flags)
    }

    pub(super) fn messages_here() -> u32 {
        KNOWN.with_borrow(|known| known.messages_here)
    }
}
