//! Hostile peers against the real server.

mod accounts;
mod canaries;
mod frames;
mod fuzz;
mod http;
mod limits;
mod tls;
mod tokens;
