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

use crate::support::TestServer;
use crate::support::raw::Target;

/// A server without plugins.
async fn bare_server() -> (TestServer, Target) {
    let server = TestServer::start_with(|config| config.plugins.chain.clear()).await;
    let target = Target::from(&server);
    (server, target)
}
