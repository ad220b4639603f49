//! Hostile peers against the real server.

mod canaries;
mod frames;
mod fuzz;
mod http;
mod tls;
mod tokens;
