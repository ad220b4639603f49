//! Write moderation plugins for the Confab chat server.
//!
//! A plugin is a library crate of type `cdylib` for `wasm32-unknown-unknown`. It implements the trait of each hook that
//! it takes part in, and exports them:
//!
//! ```
//! use confab_plugin::message::{Event, Guest};
//! use confab_plugin::{Verdict, bounce};
//!
//! struct NoShouting;
//!
//! impl Guest for NoShouting {
//!     fn decide(event: Event) -> Verdict {
//!         let shouts = event.body.len() > 20 && event.body == event.body.to_uppercase();
//!         if shouts { bounce("shouting", "please do not shout") } else { Verdict::Allow }
//!     }
//! }
//!
//! confab_plugin::export!(NoShouting: message);
//! # fn main() {}
//! ```
//!
//! The contract is `wit/since_v0_1`; guests in other languages are written against the same files. A plugin
//! has no files, no network and no clock of its own: what it may do beyond deciding is a capability, which
//! its manifest declares and the operator grants.
#![warn(missing_docs)]

#[cfg(feature = "guest")]
pub mod actions;
#[cfg(feature = "guest")]
pub mod context;
#[cfg(feature = "guest")]
mod export;
#[cfg(feature = "golden")]
pub mod golden;
#[cfg(feature = "guest")]
mod guest;
#[cfg(feature = "guest")]
pub mod history;
#[cfg(feature = "guest")]
mod hooks;
#[cfg(feature = "normal")]
pub mod kept;
#[cfg(feature = "guest")]
pub mod kv;
#[cfg(all(feature = "golden", feature = "guest"))]
mod native;
#[cfg(feature = "normal")]
pub mod normal;
#[cfg(feature = "guest")]
pub mod target;

#[cfg(feature = "guest")]
pub use self::guest::*;
#[cfg(feature = "guest")]
pub use self::hooks::*;
