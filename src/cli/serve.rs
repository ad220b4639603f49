//! `confab serve`: run the server, say where it is, reload on SIGHUP, drain on SIGTERM.

use std::path::Path;

use tokio::signal::unix::{SignalKind, signal};

use crate::config::{Config, Registration};
use crate::reload::Reloader;
use crate::{Server, telemetry};

pub(super) fn run(file: Option<&Path>, config: Config) -> anyhow::Result<()> {
    telemetry::init(&config.log);
    super::runtime()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // Before anything that takes long: by itself it ends the process.
        let mut hangup = signal(SignalKind::hangup())?;
        let registration = config.auth.registration;
        let server = Server::build(config).await?;
        announce(&server, registration)?;
        let reloader = server.reloader();
        let shutdown = async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => break,
                    _ = interrupt.recv() => break,
                    _ = hangup.recv() => reload(file, &reloader),
                }
            }
            tracing::info!("draining; a second signal stops at once");
            #[expect(clippy::disallowed_methods, reason = "it ends the process")]
            tokio::spawn(async move {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                std::process::exit(1);
            });
        };
        server.run(shutdown).await;
        tracing::info!("stopped");
        Ok(())
    })
}

/// What cannot be taken up leaves everything as it is.
fn reload(file: Option<&Path>, reloader: &Reloader) {
    let done = Config::load(file).map_err(anyhow::Error::from).and_then(|config| Ok(reloader.reload(&config)?));
    match done {
        Ok(()) => tracing::info!("the configuration was read again"),
        Err(error) => tracing::error!("nothing was reloaded: {error:#}"),
    }
}

/// The first lines that an operator reads; the only place where the owner token is shown.
fn announce(server: &Server, registration: Registration) -> anyhow::Result<()> {
    let addresses = server.addresses()?;
    let scheme = if server.fingerprint().is_some() { "http" } else { "https" };
    println!("Confab {} is running.", env!("CARGO_PKG_VERSION"));
    println!("  page       {scheme}://{}/", addresses.http);
    println!("  websocket  {}://{}/ws", scheme.replace("http", "ws"), addresses.http);
    println!("  quic       quic://{}", addresses.quic);
    println!("  metrics    http://{}/metrics", addresses.ops);
    if let Some(fingerprint) = server.fingerprint() {
        println!("  QUIC uses a development certificate, SHA-256 {fingerprint}");
        println!("  Without TLS only this machine can connect; set tls.cert_file and tls.key_file for others.");
    }
    if registration == Registration::Closed {
        println!("  Registration is closed.");
    }
    if let Some(token) = server.owner_token() {
        println!("\n  No owner yet. Who registers with this token owns the server:\n\n      {token}\n");
    }
    Ok(())
}
