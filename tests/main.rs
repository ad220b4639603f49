//! Everything that needs a socket, a database, a guest or a browser, in one binary. Pure tests stand beside
//! the code they test.
#![allow(
    unreachable_pub,
    clippy::pedantic,
    clippy::drop_non_drop,
    dead_code,
    clippy::disallowed_methods,
    clippy::field_reassign_with_default,
    reason = "helpers are shared by the modules of one binary"
)]

mod docs;
mod page;
mod plugin;
mod process;
mod scenario;
mod security;
mod simulate;
mod store;
mod support;
