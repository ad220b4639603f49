//! What people do, over each transport, with the same outcome.

mod accounts;
mod log;
mod membership;
mod mended;
mod slow;
mod talk;
mod transcript;
