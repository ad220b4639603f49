//! Logging: pretty on a terminal, JSON otherwise. Bodies, tokens and passwords never reach it, because the
//! types that hold them have a `Debug` that does not show them, and libraries are not asked for what passes through them.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// Libraries that print what passes through them when asked for everything, and the most that they are asked for, whatever
/// the operator's filter says: its longest target would win over a directive of ours.
const QUIET: [(&str, LevelFilter); 6] = [
    ("tungstenite", LevelFilter::INFO),
    ("tokio_tungstenite", LevelFilter::INFO),
    ("hyper", LevelFilter::INFO),
    ("rustls", LevelFilter::INFO),
    ("tokio_postgres", LevelFilter::WARN),
    ("deadpool_postgres", LevelFilter::WARN),
];

/// Installs the process-wide subscriber; a second call changes nothing.
pub fn init(config: &Log) {
    let filter = EnvFilter::try_new(&config.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let quiet = filter_fn(|event| *event.level() <= most_of(event.target()));
    let pretty = match config.format {
        LogFormat::Pretty => true,
        LogFormat::Json => false,
        LogFormat::Auto => std::io::stderr().is_terminal(),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let installed = if pretty {
        builder.compact().finish().with(quiet).try_init()
    } else {
        builder.json().finish().with(quiet).try_init()
    };
    if installed.is_err() {
        tracing::debug!("logging was set up before");
    }
}

/// How much is wanted at most of this module.
fn most_of(target: &str) -> LevelFilter {
    let library = target.split("::").next().unwrap_or_default();
    QUIET.iter().find(|(quiet, _)| *quiet == library).map_or(LevelFilter::TRACE, |(_, most)| *most)
}
