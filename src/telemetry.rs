//! Logging: pretty on a terminal, JSON otherwise. Bodies, tokens and passwords never reach it, because the
//! types that hold them have a `Debug` that does not show them.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// Installs the process-wide subscriber; a second call changes nothing.
pub fn init(config: &Log) {
    let mut filter = EnvFilter::try_new(&config.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    // Libraries that print what passes through them when asked for everything: they are never asked.
    for quiet in ["tungstenite=info", "hyper=info", "rustls=info", "tokio_postgres=warn", "deadpool_postgres=warn"] {
        filter = filter.add_directive(quiet.parse().unwrap_or_default());
    }
    let pretty = match config.format {
        LogFormat::Pretty => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let installed = if pretty { builder.compact().finish().try_init() } else { builder.json().finish().try_init() };
    if installed.is_err() {
        tracing::debug!("logging was set up before");
    }
}
