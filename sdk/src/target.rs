//! Capability `context`, the part that came later: which message of the room a text is about. Outside wasm it is what a golden
//! line says of that, so that plugins can be tested natively.
//!
//! ```
//! use confab_plugin::message::{Event, Guest};
//! use confab_plugin::target::{self, Kind};
//! use confab_plugin::{Verdict, hold};
//!
//! struct NoSwitch;
//!
//! impl Guest for NoSwitch {
//!     fn decide(event: Event) -> Verdict {
//!         let edited = target::about().filter(|it| it.kind == Kind::Edited);
//!         let before = edited.and_then(|it| it.body).unwrap_or_default();
//!         let gained = event.plain.contains("://") && !before.contains("://");
//!         if gained && !before.is_empty() { hold("link-by-edit") } else { Verdict::Allow }
//!     }
//! }
//!
//! confab_plugin::export!(NoSwitch: message);
//! # fn main() {}
//! ```

pub use crate::capabilities::confab::plugin::target::{Kind, Target};

#[cfg(target_arch = "wasm32")]
use crate::capabilities::confab::plugin::target as host;

/// The message that is edited, answered or reacted to; nothing for a message that answers none, for names and for acts.
#[must_use]
pub fn about() -> Option<Target> {
    host::about()
}

#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod host {
    use std::cell::RefCell;

    use super::Target;

    thread_local! {
        static TARGET: RefCell<Option<Target>> = const { RefCell::new(None) };
    }

    /// Of the text that is decided about next.
    #[cfg(feature = "golden")]
    pub(crate) fn set(target: Option<Target>) {
        TARGET.set(target);
    }

    pub(super) fn about() -> Option<Target> {
        TARGET.with_borrow(Clone::clone)
    }
}
