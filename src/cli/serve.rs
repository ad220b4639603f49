//! `confab serve`: run the server, say where it is, reload on SIGHUP, drain on SIGTERM.

use std::path::Path;
use std::thread;

use anyhow::anyhow;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::config::{Config, Registration};
use crate::reload::{Prepared, Preparer, Reloader};
use crate::{Server, telemetry};

/// A reload that is being made ready, beside everything else.
type Begun = oneshot::Receiver<anyhow::Result<Prepared>>;

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
            let mut begun = None;
            loop {
                tokio::select! {
                    _ = terminate.recv() => break,
                    _ = interrupt.recv() => break,
                    // One at a time: those that come meanwhile are heard after it, as one.
                    _ = hangup.recv(), if begun.is_none() => begun = begin(file, reloader.preparer()),
                    prepared = ready(&mut begun) => {
                        begun = None;
                        take_up(&reloader, prepared);
                    }
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

/// Reads the configuration again and makes ready what it names, on a thread that the end of the server does not wait for: it
/// compiles, and nothing ends a compiler.
fn begin(file: Option<&Path>, preparer: Preparer) -> Option<Begun> {
    let (file, (sender, begun)) = (file.map(Path::to_owned), oneshot::channel());
    let work = move || {
        let config = Config::load(file.as_deref()).map_err(anyhow::Error::from);
        let prepared = config.and_then(|config| Ok(preparer.prepare(config)?));
        // Where nobody waits any more it is dropped.
        let _ = sender.send(prepared);
    };
    match thread::Builder::new().name("reload".into()).spawn(work) {
        Ok(_) => Some(begun),
        Err(error) => {
            tracing::error!("nothing was reloaded: {error}");
            None
        }
    }
}

/// What came of it; never, while none has begun.
async fn ready(begun: &mut Option<Begun>) -> anyhow::Result<Prepared> {
    match begun {
        Some(begun) => begun.await.unwrap_or_else(|_| Err(anyhow!("it ended without a word"))),
        None => std::future::pending().await,
    }
}

/// What cannot be taken up leaves everything as it is.
fn take_up(reloader: &Reloader, prepared: anyhow::Result<Prepared>) {
    match prepared {
        Ok(prepared) => {
            reloader.take_up(prepared);
            tracing::info!("the configuration was read again");
        }
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
