//! Hostile peers against the real server.

mod accounts;
mod canaries;
mod cookies;
mod frames;
mod fuzz;
mod http;
mod limits;
mod tls;
mod tokens;
