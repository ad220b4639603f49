//! Confab: a self-hosted real-time chat server that its operators extend with sandboxed WebAssembly.
//!
//! This file is the composition root: the one place, with the command line, that names concrete types
//! together. To read the server, follow one message: [`transport`] (frames in), [`connection`] (the driver),
//! [`router`] (which command), [`core`] (who may do what), [`plugin`] (what may be said), [`sequencer`]
//! (group commit), [`store`] (durable), [`tail`] and [`hub`] (to every reader).
#![warn(clippy::unwrap_used, clippy::indexing_slicing)]

/// The README's examples compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;

mod acting;
mod aside;
pub mod assets;
pub mod backup;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connection;
pub mod core;
mod delivery;
pub mod files;
pub mod http;
pub mod hub;
pub mod lifecycle;
pub mod metrics;
pub mod plugin;
pub mod reload;
pub mod router;
pub mod sequencer;
pub mod store;
pub mod tail;
pub mod telemetry;
pub mod transport;

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::acting::Acting;
use crate::aside::Aside;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, SealedSearch};
use crate::connection::Connections;
use crate::core::Core;
use crate::core::auth::{Auth, KeyError};
use crate::core::commits::{Commits, Fresh};
use crate::core::heads::Heads;
use crate::core::hook::Moderator;
use crate::core::limits::Limits;
use crate::core::observe::Observers;
use crate::core::observe::follow::Following;
use crate::core::outages;
use crate::core::retention::Ages;
use crate::core::seal::{Opener, Vault, Words};
use crate::core::search::index;
use crate::core::store::Store;
use crate::core::watch::Watch;
use crate::delivery::HubDelivery;
use crate::http::Origins;
use crate::hub::Hub;
use crate::lifecycle::Lifecycle;
use crate::metrics::Metrics;
use crate::plugin::{LoadError, PluginSet};
use crate::reload::Reloader;
use crate::router::Router;
use crate::sequencer::Sequencer;
use crate::store::postgres::{self, Postgres};
use crate::store::sqlite::{self, Sqlite};
use crate::tail::Tail;
use crate::transport::gate::Gate;
use crate::transport::quic;
use crate::transport::tls::{Certificate, Current, TlsError};

/// How often the keys of limits that are back to normal are dropped.
const EVICT_EVERY: Duration = Duration::from_secs(60);

/// How often it is looked how much memory plugins take.
const NOTE_PLUGINS_EVERY: Duration = Duration::from_secs(5);

/// How often it is told who came and went.
const TELL_PRESENCE_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked whether another process appended to rooms that are followed here; it is told after two looks.
const COMPARE_HEADS_EVERY: Duration = Duration::from_secs(2);

/// How often it is looked whether a login ended or rights changed by another process: connections are closed within 1 s.
const HEED_EVERY: Duration = Duration::from_millis(500);

/// How often rooms are looked through for what their retention has run out for.
const RETIRE_EVERY: Duration = Duration::from_secs(60);
/// How often it is looked for decisions that are not carried out, and for cases that wait too long.
const TEND_CASES_EVERY: Duration = Duration::from_secs(30);
/// The embedded store, in the data directory.
const STORE_FILE: &str = "confab.db";
/// Entries that go in one transaction: the writer is not held up for long.
const RETIRE_ENTRIES: usize = 1_000;

/// Why a server cannot start: each with its exit code.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum StartError {
    #[error("data directory: {path}")]
    Data { path: String, source: std::io::Error },
    #[error("{0}")]
    Config(String),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Plugin(#[from] LoadError),
    #[error(transparent)]
    Store(#[from] core::store::Error),
    #[error("cannot listen on {address} ({key}); stop what listens there or choose another port")]
    Listen { address: SocketAddr, key: &'static str, source: std::io::Error },
}

/// The sockets that a server listens on.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Addresses {
    pub http: SocketAddr,
    pub quic: SocketAddr,
    pub ops: SocketAddr,
}

/// A server, ready to run.
pub struct Server {
    core: Arc<Core>,
    plugins: Arc<PluginSet>,
    origins: Origins,
    certificate: Arc<Current>,
    fresh: Arc<Fresh>,
    aside: Arc<Aside>,
    acting: Arc<Acting>,
    connections: Connections,
    lifecycle: Lifecycle,
    gate: Arc<Gate>,
    http: TcpListener,
    ops: TcpListener,
    quic: quinn::Endpoint,
    tls: Option<tokio_rustls::TlsAcceptor>,
    config: Config,
    fingerprint: Option<String>,
    _lock: File,
}

impl Server {
    /// Opens everything that the configuration names, and listens.
    ///
    /// # Errors
    /// [`StartError`]: one clear line and an exit code.
    pub async fn build(config: Config) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let metrics = Metrics::new();
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        create_data_dir(&config)?;
        let plugins = PluginSet::load(&config.plugins, assets::PLUGINS, Some(&config.data_dir), &clock, &metrics)?;
        // Before the store: opening it may bring its schema up to date.
        let lock = lock(&config)?;
        let store = open_store_as(&config, Opener::Server).await?;
        check_settings(&*store, &metrics).await?;
        Self::assemble(config, clock, metrics, store, Arc::new(plugins), lock).await
    }

    async fn assemble(
        config: Config,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        store: Arc<dyn Store>,
        plugins: Arc<PluginSet>,
        lock: File,
    ) -> Result<Self, StartError> {
        let lifecycle = Lifecycle::default();
        let certificate = Certificate::load(&config)?;
        let current = certificate.current();
        let fingerprint = certificate.is_development.then(|| certificate.fingerprint());
        let auth = Auth::open(&config, &clock, &metrics)?;
        if store.has_owner().await? {
            auth.owner().spend();
        } else {
            auth.owner().renew_if_spent()?;
        }
        let http = listen(config.listen.http, "listen.http").await?;
        let ops = listen(config.listen.ops, "listen.ops").await?;
        let quic = bind_quic(&config.listen, &certificate, &current)?;
        let tls = accept_tls(&certificate, &current)?;
        let watch = Watch::begin(&*store, &metrics).await?;
        let hub = Arc::new(Hub::new(config.limits.connections_per_user, metrics.clone()));
        let tail = Tail::new(Arc::clone(&hub), lifecycle.clone());
        let commits = Arc::new(Commits::default());
        let fresh = commits.follow();
        let following = following(&store, &plugins, &clock, &metrics, &lifecycle);
        let aside = Aside::begin(following, &plugins, &commits).await?;
        let sequencer =
            Sequencer::start(Arc::clone(&store), tail, commits, Arc::clone(&clock), metrics.clone(), &lifecycle);
        let core = Arc::new(Core {
            store,
            log: Arc::new(sequencer),
            delivery: Arc::new(HubDelivery(Arc::clone(&hub))),
            moderator: Arc::clone(&plugins) as Arc<dyn Moderator>,
            auth,
            limits: Limits::new(&config.limits, Arc::clone(&clock), metrics.clone()),
            acted: core::deputy::Acted::default(),
            memberships: core::access::MembershipCache::new(),
            watch,
            presence: core::presence::Presence::default(),
            sessions: aside.sessions(),
            clock: Arc::clone(&clock),
            metrics: metrics.clone(),
        });
        let acting = Acting::begin(&core, &plugins, &lifecycle).await?;
        let gate = Gate::new(config.limits.connections, config.limits.connections_per_ip);
        let connections =
            Connections { router: Router::new(Arc::clone(&core)), hub, clock, metrics, lifecycle: lifecycle.clone() };
        Ok(Self {
            core,
            origins: Origins::new(&config.listen.allowed_origins),
            plugins,
            certificate: current,
            fresh,
            aside,
            acting,
            connections,
            lifecycle,
            gate,
            http,
            ops,
            quic,
            tls,
            config,
            fingerprint,
            _lock: lock,
        })
    }

    /// Changes it while it runs.
    #[must_use]
    pub fn reloader(&self) -> Reloader {
        Reloader {
            core: Arc::clone(&self.core),
            plugins: Arc::clone(&self.plugins),
            aside: Arc::clone(&self.aside),
            acting: Arc::clone(&self.acting),
            hub: Arc::clone(&self.connections.hub),
            gate: Arc::clone(&self.gate),
            origins: self.origins.clone(),
            certificate: Arc::clone(&self.certificate),
            is_development: self.fingerprint.is_some(),
            started: Arc::new(self.config.clone()),
        }
    }

    /// Where it listens; ports of 0 are resolved.
    ///
    /// # Errors
    /// Sockets that have gone.
    pub fn addresses(&self) -> std::io::Result<Addresses> {
        Ok(Addresses { http: self.http.local_addr()?, quic: self.quic.local_addr()?, ops: self.ops.local_addr()? })
    }

    /// SHA-256 of the development certificate, if that is in use.
    #[must_use]
    pub fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// The token that makes the next account the owner, while there is none.
    #[must_use]
    pub fn owner_token(&self) -> Option<String> {
        self.core.auth.owner().unused()
    }

    /// Serves until `shutdown` resolves, then drains.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            core,
            plugins,
            origins,
            fresh,
            aside,
            acting,
            connections,
            lifecycle,
            gate,
            http,
            ops,
            quic,
            tls,
            config,
            ..
        } = self;
        let metrics = core.metrics.clone();
        let on_socket = {
            let connections = connections.clone();
            Arc::new(move |link, from, ticket| spawn_connection(&connections, link, from, ticket, "websocket"))
        };
        let on_quic = move |link, from, ticket| spawn_connection(&connections, link, from, ticket, "quic");
        let routes = http::routes(Arc::clone(&core), origins, on_socket, lifecycle.clone(), tls.is_some());
        let ops_routes = http::ops::routes(Arc::clone(&core), lifecycle.clone());
        let proxies = config.listen.trusted_proxies.clone().into();
        let door = http::Door { listener: http, tls, proxies, gate: Arc::clone(&gate) };
        let ops_door = http::Door { listener: ops, tls: None, proxies: Arc::new([]), gate: Gate::new(64, 64) };
        // Before anybody is let in: whoever comes first is seen too.
        aside.keep_up(&acting);
        // It has the core, whose last handle ends the sequencer.
        drop(acting);
        lifecycle.spawn(http::accept(door, routes, metrics.clone(), lifecycle.clone()));
        lifecycle.spawn(http::accept(ops_door, ops_routes, metrics.clone(), lifecycle.clone()));
        lifecycle.spawn(quic::accept(quic, gate, metrics, lifecycle.clone(), on_quic));
        lifecycle.spawn(evict(Arc::clone(&core), lifecycle.clone()));
        lifecycle.spawn(index::follow(Arc::clone(&core), fresh, lifecycle.clone()));
        lifecycle.spawn(tell_presence(Arc::clone(&core), lifecycle.clone()));
        lifecycle.spawn(note_plugins(plugins, lifecycle.clone()));
        lifecycle.spawn(retire(Arc::clone(&core), Ages::from(&config.retention), lifecycle.clone()));
        lifecycle.spawn(tend_cases(Arc::clone(&core), lifecycle.clone()));
        lifecycle.spawn(outages::keep(Arc::clone(&core), lifecycle.clone()));
        lifecycle.spawn(heed(Arc::clone(&core), lifecycle.clone()));
        lifecycle.spawn(compare_heads(Arc::clone(&core), lifecycle.clone()));
        let store = Arc::clone(&core.store);
        drop(core);
        shutdown.await;
        lifecycle.shut_down().await;
        store.close().await;
    }
}

/// What plugins that observe are shown the logs with.
fn following(
    store: &Arc<dyn Store>,
    plugins: &Arc<PluginSet>,
    clock: &Arc<dyn Clock>,
    metrics: &Metrics,
    lifecycle: &Lifecycle,
) -> Following {
    let (store, clock, metrics, lifecycle) = (Arc::clone(store), Arc::clone(clock), metrics.clone(), lifecycle.clone());
    Following { store, observers: Arc::clone(plugins) as Arc<dyn Observers>, clock, metrics, lifecycle }
}

fn spawn_connection<L: transport::Link>(
    connections: &Connections,
    link: L,
    from: IpAddr,
    ticket: transport::gate::Ticket,
    transport: &'static str,
) {
    let task = connections.clone();
    connections.lifecycle.spawn(async move {
        let _ticket = ticket;
        task.serve(link, from, transport).await;
    });
}

/// Opens the store that the configuration names, for a command beside a server, and brings its schema up to date.
///
/// # Errors
/// A directory that cannot be made, a file or database that cannot be opened.
pub async fn open_store(config: &Config) -> Result<Arc<dyn Store>, StartError> {
    open_store_as(config, Opener::Tool).await
}

async fn open_store_as(config: &Config, opener: Opener) -> Result<Arc<dyn Store>, StartError> {
    create_data_dir(config)?;
    let vault = open_vault(config, opener)?;
    match &config.store.url {
        Some(url) => open_postgres(&config.store, url, vault).await,
        None => open_sqlite(config, vault),
    }
}

/// As [`open_store`], of one that is there: a command that makes an empty one by a wrong configuration tells nothing.
///
/// # Errors
/// As [`open_store`], or there is none.
pub async fn open_existing_store(config: &Config) -> Result<Arc<dyn Store>, StartError> {
    let file = config.data_dir.join(STORE_FILE);
    if config.store.url.is_none() && !file.exists() {
        let what = "there is no store yet: `confab serve` makes it, or --config FILE names the server that has one";
        let (path, source) = (file.display().to_string(), std::io::Error::new(std::io::ErrorKind::NotFound, what));
        return Err(StartError::Data { path, source });
    }
    open_store(config).await
}

/// Reads the keys that what people say is sealed with, if there are any.
///
/// # Errors
/// A file that cannot be read or is no file of keys.
pub fn open_vault(config: &Config, opener: Opener) -> Result<Vault, StartError> {
    let Some(path) = &config.store.seal_keys else { return Ok(Vault::default()) };
    let invalid = |what: String| StartError::Config(format!("store.seal_keys: {}: {what}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| invalid(error.to_string()))?;
    let words = match config.store.sealed_search {
        SealedSearch::Off => Words::Off,
        SealedSearch::Hashed => Words::Hashed,
    };
    Vault::parse(&text, opener, words, clock::random_bytes).map_err(invalid)
}

fn open_sqlite(config: &Config, vault: Vault) -> Result<Arc<dyn Store>, StartError> {
    // Keys, hashes and messages are for the server's user alone, also in a folder that somebody else made.
    let file = config.data_dir.join(STORE_FILE);
    let path = file.display().to_string();
    files::create_private(&file)
        .and_then(|()| files::create_private(&config.data_dir.join(sqlite::INDEX_FILE)))
        .map_err(|source| StartError::Data { path, source })?;
    Ok(Arc::new(Sqlite::open(&file, config.store.readers, vault)?))
}

async fn open_postgres(store: &config::Store, url: &str, vault: Vault) -> Result<Arc<dyn Store>, StartError> {
    let invalid = |key: &str, what: String| StartError::Config(format!("{key}: {what}"));
    let password = store.password_file.as_deref().map(std::fs::read_to_string).transpose();
    let password = password.map_err(|error| invalid("store.password_file", error.to_string()))?;
    let ca_file = store.ca_file.as_deref();
    let options = postgres::Options::parse(url, password.as_deref(), ca_file, store.writers, store.connections);
    let store = Postgres::open(options.map_err(|what| invalid("store.url", what))?, vault).await?;
    Ok(Arc::new(store))
}

/// What the database promises less than the server does is said loudly.
async fn check_settings(store: &dyn Store, metrics: &Metrics) -> Result<(), StartError> {
    let settings = store.unsafe_settings().await?;
    metrics.store_unsafe_settings.set(settings.len() as i64);
    for setting in settings {
        tracing::error!(setting, "is off in the database: acknowledged messages can be LOST in a crash; switch it on");
    }
    Ok(())
}

fn create_data_dir(config: &Config) -> Result<(), StartError> {
    let path = config.data_dir.display().to_string();
    files::create_private_dir(&config.data_dir).map_err(|source| StartError::Data { path, source })
}

/// Two servers on one data directory would each deliver half; the second is refused. Held until the process ends.
fn lock(config: &Config) -> Result<File, StartError> {
    create_data_dir(config)?;
    let path = config.data_dir.join("lock");
    let failed = |source| StartError::Data { path: path.display().to_string(), source };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(failed(std::io::Error::other("another server runs on this data directory; stop it first")))
        }
    }
}

fn bind_quic(
    listen: &config::Listen,
    certificate: &Certificate,
    current: &Arc<Current>,
) -> Result<quinn::Endpoint, StartError> {
    quic::bind(listen.quic, certificate, Arc::clone(current), listen.quic_gso).map_err(|error| match error {
        quic::TlsOrIo::Tls(error) => StartError::Tls(error),
        quic::TlsOrIo::Io(source) => StartError::Listen { address: listen.quic, key: "listen.quic", source },
    })
}

/// A development certificate is for QUIC alone: browsers would not take it.
fn accept_tls(
    certificate: &Certificate,
    current: &Arc<Current>,
) -> Result<Option<tokio_rustls::TlsAcceptor>, StartError> {
    if certificate.is_development {
        return Ok(None);
    }
    Ok(Some(tokio_rustls::TlsAcceptor::from(Arc::new(Certificate::https(Arc::clone(current))?))))
}

async fn listen(address: SocketAddr, key: &'static str) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).await.map_err(|source| StartError::Listen { address, key, source })
}

async fn evict(core: Arc<Core>, lifecycle: Lifecycle) {
    loop {
        tokio::select! {
            () = lifecycle.draining() => return,
            () = tokio::time::sleep(EVICT_EVERY) => core.limits.evict(),
        }
    }
}

async fn note_plugins(plugins: Arc<PluginSet>, lifecycle: Lifecycle) {
    loop {
        plugins.note_bytes();
        tokio::select! {
            () = lifecycle.draining() => return,
            () = tokio::time::sleep(NOTE_PLUGINS_EVERY) => {}
        }
    }
}

async fn tell_presence(core: Arc<Core>, lifecycle: Lifecycle) {
    loop {
        tokio::select! {
            () = lifecycle.draining() => return,
            () = tokio::time::sleep(TELL_PRESENCE_EVERY) => core.tell_presence(),
        }
    }
}

async fn heed(core: Arc<Core>, lifecycle: Lifecycle) {
    loop {
        tokio::select! {
            () = lifecycle.draining() => return,
            () = tokio::time::sleep(HEED_EVERY) => {}
        }
        core.auth.tokens().reload_if_changed(core.clock.now());
        if let Err(error) = core.heed().await {
            core.unavailable(&error);
        }
    }
}

async fn compare_heads(core: Arc<Core>, lifecycle: Lifecycle) {
    let mut heads = Heads::default();
    loop {
        tokio::select! {
            () = lifecycle.draining() => return,
            () = tokio::time::sleep(COMPARE_HEADS_EVERY) => {}
        }
        if let Err(error) = heads.compare(&core).await {
            core.unavailable(&error);
        }
    }
}

async fn tend_cases(core: Arc<Core>, lifecycle: Lifecycle) {
    loop {
        if let Err(error) = core.tend_cases().await {
            core.unavailable(&error);
        }
        tokio::select! {
            () = lifecycle.draining() => return,
            () = tokio::time::sleep(TEND_CASES_EVERY) => {}
        }
    }
}

async fn retire(core: Arc<Core>, ages: Ages, lifecycle: Lifecycle) {
    loop {
        tokio::select! {
            () = lifecycle.draining() => return,
            () = tokio::time::sleep(RETIRE_EVERY) => {}
        }
        while !lifecycle.is_draining() {
            match core.retire_some(ages, RETIRE_ENTRIES).await {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => {
                    core.unavailable(&error);
                    break;
                }
            }
        }
    }
}
