//! Capability `history`: what was said before in the room of the message that is decided about. Outside wasm it is what a
//! golden line says of that, by the same rules, so that plugins can be tested natively.
//!
//! ```
//! use confab_plugin::message::{Event, Guest};
//! use confab_plugin::{Verdict, bounce, history};
//!
//! struct NoEcho;
//!
//! impl Guest for NoEcho {
//!     fn decide(event: Event) -> Verdict {
//!         let before = history::recent(history::MESSAGES_MAX);
//!         let last = before.iter().rev().find(|it| it.author == event.author);
//!         if last.is_some_and(|it| it.body == event.body) { bounce("echo", "you said that") } else { Verdict::Allow }
//!     }
//! }
//!
//! confab_plugin::export!(NoEcho: message);
//! # fn main() {}
//! ```

pub use crate::capabilities::confab::plugin::history::Message;

#[cfg(target_arch = "wasm32")]
use crate::capabilities::confab::plugin::history as host;

/// At most so many messages ...
pub const MESSAGES_MAX: u32 = 50;
/// ... whose bodies have at most so many bytes together; the oldest are left out for it.
pub const BYTES_MAX: usize = 64 * 1024;

/// The newest messages of the room, at most so many, the oldest of them first. Nothing but for a message, new or edited.
#[must_use]
pub fn recent(count: u32) -> Vec<Message> {
    host::recent(count)
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod host {
    use std::cell::RefCell;

    use super::Message;

    thread_local! {
        static MESSAGES: RefCell<Vec<Message>> = RefCell::default();
    }

    /// What was there before the message that is decided about next.
    #[cfg(feature = "golden")]
    pub(crate) fn set(mut messages: Vec<Message>) {
        let (most, mut bytes) = (usize::try_from(super::MESSAGES_MAX).unwrap_or(usize::MAX), 0);
        let fits = |message: &&Message| {
            bytes += message.body.len();
            bytes <= super::BYTES_MAX
        };
        let kept = messages.iter().rev().take(most).take_while(fits).count();
        messages.drain(..messages.len() - kept);
        MESSAGES.set(messages);
    }

    pub(super) fn recent(count: u32) -> Vec<Message> {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        MESSAGES.with_borrow(|messages| messages.iter().skip(messages.len().saturating_sub(count)).cloned().collect())
    }
}
