//! Write moderation plugins for the Confab chat server.
//!
//! A plugin is a library crate of type `cdylib` for `wasm32-unknown-unknown`. It implements the trait of a
//! hook and exports it:
//!
//! ```
//! use confab_plugin::message::{Event, Guest, Verdict};
//!
//! struct NoShouting;
//!
//! impl Guest for NoShouting {
//!     fn decide(event: Event) -> Verdict {
//!         let shouts = event.body.len() > 20 && event.body == event.body.to_uppercase();
//!         if shouts { Verdict::Bounce("please do not shout".into()) } else { Verdict::Allow }
//!     }
//! }
//!
//! confab_plugin::message_plugin!(NoShouting);
//! # fn main() {}
//! ```
//!
//! The contract is `wit/since_v0_1`; guests in other languages are written against the same file. A plugin
//! has no files, no network and no clock of its own: what it may do beyond deciding is a capability, which
//! its manifest declares and the operator grants.
#![warn(missing_docs)]

#[doc(hidden)]
#[allow(missing_docs, clippy::all, clippy::pedantic, unsafe_code, unreachable_pub, reason = "generated")]
pub mod capabilities {
    wit_bindgen::generate!({ world: "capabilities", path: "wit/since_v0_1", generate_unused_types: true });
}

/// Capability `log`: lines in the server's log.
pub mod log {
    pub use crate::capabilities::confab::plugin::log::{Level, write};
}

/// Hook `message`: somebody wants to post.
#[allow(missing_docs, clippy::all, clippy::pedantic, unsafe_code, unreachable_pub, reason = "generated")]
pub mod message {
    wit_bindgen::generate!({
        world: "message-hook",
        path: "wit/since_v0_1",
        pub_export_macro: true,
        export_macro_name: "export_message",
        default_bindings_module: "confab_plugin::message",
    });
    pub use self::exports::confab::plugin::message::{Event, Guest, Kind, Rejection, Role, Verdict};
}

/// Exports a type that implements [`message::Guest`] as the plugin's message hook. Outside wasm it does
/// nothing, so that plugins can be tested natively.
#[macro_export]
macro_rules! message_plugin {
    ($plugin:ident) => {
        const _: fn($crate::message::Event) -> $crate::message::Verdict =
            <$plugin as $crate::message::Guest>::decide;
        #[cfg(target_arch = "wasm32")]
        mod __confab_export {
            use super::$plugin;
            $crate::message::export_message!($plugin with_types_in $crate::message);
        }
    };
}
