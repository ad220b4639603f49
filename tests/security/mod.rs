//! Hostile peers against the real server.

mod canaries;
mod frames;
mod http;
mod tokens;
