//! What people do, over each transport, with the same outcome.

mod accounts;
mod liveness;
mod log;
mod logins;
mod membership;
mod mended;
mod presence;
mod recorded;
mod slow;
mod talk;
mod transcript;
