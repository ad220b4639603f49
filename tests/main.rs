//! Everything that needs a socket, a database, a guest or a browser, in one binary. Pure tests stand beside
//! the code they test.

mod page;
mod plugin;
mod process;
mod scenario;
mod security;
mod support;
