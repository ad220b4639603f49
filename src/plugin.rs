//! The plugins: sandboxed components that decide what may be said and done. They get values and give values; they
//! reach neither store nor sockets.

mod actions;
mod apart;
mod aside;
mod breaker;
mod cache;
mod chain;
mod compile;
mod engine;
mod fuel;
mod guests;
mod host;
pub mod installed;
mod kv;
pub mod lab;
mod limits;
mod manifest;
mod member;
mod outages;
mod pace;
mod pool;
mod ticker;
mod translate;
mod turns;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use confab_plugin::kept::is_tame;
use confab_protocol::model::UserId;
use tokio::sync::Semaphore;

use self::actions::Hand;
use self::cache::Cache;
use self::chain::{Chain, Demands};
use self::engine::{CAPABILITIES, Engine, Wish};
use self::installed::{Entry, Files, Home, Installed};
use self::manifest::{Manifest, check_id};
use self::member::{CLOSED_REASON, Member};
use self::outages::Outages;
use self::translate::Speaker;
pub(crate) use self::turns::{Turn, Turns};
use crate::clock::Clock;
use crate::config::{self, Mode};
use crate::core::deputy::Deed;
use crate::core::hook::{Act, ActEvent, Found, MessageEvent, Moderator, Ruling, Turned, Verdict, Wants};
use crate::metrics::Metrics;

/// Why a plugin is not loaded is told in so many bytes.
const ERROR_BYTES_MAX: usize = 256;
/// Machine code of plugins, in the data folder.
const CACHE: &str = "plugin-cache";

/// A plugin that cannot be loaded: which, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("plugin {id}: {reason}")]
pub struct LoadError {
    id: String,
    reason: String,
}

impl LoadError {
    /// Found where it is to be used.
    pub(crate) fn new(id: &str, reason: &dyn std::fmt::Display) -> Self {
        Self { id: id.to_owned(), reason: one_line(&reason.to_string()) }
    }
}

/// Checks a manifest without its component, as loading would.
///
/// # Errors
/// What is wrong with it, in one line.
pub fn check_manifest(id: &str, bytes: &[u8]) -> Result<(), String> {
    Manifest::parse(id, bytes).map(drop).map_err(|reason| one_line(&reason))
}

/// Checks that there is a capability of this name.
///
/// # Errors
/// What there is instead, in one line.
pub fn check_capability(name: &str) -> Result<(), String> {
    if CAPABILITIES.contains(&name) {
        return Ok(());
    }
    Err(format!("no capability {name:?}: there are {}", CAPABILITIES.join(", ")))
}

/// Checks that a plugin declares what it is to be granted: else a later version that does had it at once.
///
/// # Errors
/// A bad manifest; what is not declared, and what is instead, in one line.
pub fn check_declared(id: &str, manifest: &[u8], granted: &[String]) -> Result<(), String> {
    let declared = Manifest::parse(id, manifest).map_err(|reason| one_line(&reason))?.capabilities;
    let Some(other) = granted.iter().find(|name| !declared.contains(name)) else { return Ok(()) };
    let all = if declared.is_empty() { "none".to_owned() } else { declared.join(", ") };
    Err(format!("its manifest does not declare the capability {other}; it declares {all}"))
}

/// Plugins that are inside the server, by file name.
pub type Stock = &'static [(&'static str, &'static [u8])];

/// Another chain, which is loaded and not asked yet.
pub struct Prepared(Chain);

/// The chain, which can be exchanged while it runs.
pub struct PluginSet {
    chain: RwLock<Arc<Chain>>,
    stock: Stock,
    data_dir: Option<PathBuf>,
    slow: Arc<Semaphore>,
    slow_acts: Arc<Semaphore>,
    shadow: Arc<Semaphore>,
    aside: Arc<Semaphore>,
    outages: Arc<Outages>,
    generation: AtomicI64,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl PluginSet {
    /// Loads the configured chain from its folder, or from the stock plugins inside the server, and what was installed into
    /// the data folder: where the chain names it, else behind it. Machine code is kept there as well.
    ///
    /// # Errors
    /// [`LoadError`]: a missing file, a bad manifest, an import that was not granted, another component than the one
    /// whose hash was given, a configuration that it does not take.
    pub fn load(
        config: &config::Plugins,
        stock: Stock,
        data_dir: Option<&Path>,
        clock: &Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Result<Self, LoadError> {
        let outages = Outages::new(clock);
        let chain = load(config, stock, data_dir, None, (clock, metrics, &outages), &[])?;
        chain.show(&[]);
        metrics.plugin_generation.set(1);
        Ok(Self {
            chain: RwLock::new(Arc::new(chain)),
            stock,
            data_dir: data_dir.map(Path::to_owned),
            slow: Arc::new(Semaphore::new(apart::SLOW_CALLS_MAX)),
            slow_acts: Arc::new(Semaphore::new(apart::SLOW_ACTS_MAX)),
            shadow: Arc::new(Semaphore::new(apart::SHADOW_CALLS_MAX)),
            aside: Arc::new(Semaphore::new(aside::CALLS_MAX)),
            outages,
            generation: AtomicI64::new(1),
            clock: Arc::clone(clock),
            metrics: metrics.clone(),
        })
    }

    /// Loads it anew, beside the one that is asked. It compiles, and so takes its time.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn prepare(&self, config: &config::Plugins) -> Result<Prepared, LoadError> {
        let before = self.current();
        let data_dir = self.data_dir.as_deref();
        let told = (&self.clock, &self.metrics, &self.outages);
        load(config, self.stock, data_dir, None, told, &before.members).map(Prepared)
    }

    /// Takes up what was prepared last, at once: calls in flight end with the plugins that they began with. What plugins
    /// remember stays.
    pub fn take_up(&self, Prepared(chain): Prepared) {
        // Before it is asked anything: what it shows is never that of the one before, whose calls may still run.
        chain.show(&self.current().members);
        let chain = Arc::new(chain);
        let before = std::mem::replace(&mut *self.chain.write().unwrap_or_else(PoisonError::into_inner), chain);
        // Its instances give their memory back, which takes a while: each message would wait for that at the lock.
        drop(before);
        self.metrics.plugin_generation.set(self.generation.fetch_add(1, Ordering::SeqCst) + 1);
    }

    /// Both.
    ///
    /// # Errors
    /// As [`Self::load`]; the old chain stays then.
    pub fn replace(&self, config: &config::Plugins) -> Result<(), LoadError> {
        self.take_up(self.prepare(config)?);
        Ok(())
    }

    fn current(&self) -> Arc<Chain> {
        Arc::clone(&self.chain.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// For metrics; to be called now and then.
    pub fn note_bytes(&self) {
        self.current().members.iter().for_each(Member::note_bytes);
    }
}

#[async_trait]
impl Moderator for PluginSet {
    async fn decide_message(&self, event: MessageEvent<'_>) -> Ruling {
        let chain = self.current();
        let Demands { needs, is_slow, asks_afterwards, .. } = chain.demands;
        // It could not be read, or it was not asked for before these plugins were taken up: nothing passes them unseen.
        let (is_said, may_have_target) = (event.kind.is_said(), event.kind.may_have_target());
        let lacking = [
            ("no-history", is_said && needs.history && event.earlier.is_none()),
            ("no-context", is_said && needs.context && event.context.is_none()),
            ("no-target", may_have_target && needs.target && event.about.is_none()),
        ];
        if let Some((rule, _)) = lacking.into_iter().find(|(_, is_lacking)| *is_lacking) {
            return apart::later(CLOSED_REASON, rule);
        }
        // Inline: a compiled guest takes microseconds, and a looping one is stopped within its budget.
        let ruling =
            if is_slow { self.decide_apart(&chain, &event).await } else { chain.decide_message(&event, &*self.clock) };
        if asks_afterwards {
            self.ask_afterwards(&chain, &event, &ruling);
        }
        ruling
    }

    async fn decide_act(&self, event: ActEvent<'_>) -> Ruling {
        let (chain, hook) = (self.current(), chain::hook(&event.act));
        // As for a message.
        if event.context.is_none() && chain.needs_context(hook) {
            return apart::later(CLOSED_REASON, "no-context");
        }
        let is_slow = chain.is_slow_for(hook);
        let ruling =
            if is_slow { self.decide_act_apart(&chain, &event).await } else { chain.decide_act(&event, &*self.clock) };
        if ruling.verdict == Verdict::Allow {
            self.ask_of_act_afterwards(&chain, &event);
        }
        ruling
    }

    fn forget(&self, user: UserId) {
        // One that was taken out took along what it remembered.
        self.current().members.iter().for_each(|member| member.pool.lasting().kv.forget(user));
    }

    fn wants(&self) -> Wants {
        self.chain.read().unwrap_or_else(PoisonError::into_inner).demands.wants
    }

    fn wants_context(&self, act: Act<'_>) -> bool {
        self.current().wants_context(chain::hook(&act))
    }

    fn is_ready(&self) -> bool {
        // One that decides nothing keeps nobody from working.
        let current = self.current();
        current.members.iter().filter(|member| member.mode == Mode::Enforce).all(|member| member.pool.is_sound())
    }

    async fn turned(&self) {
        self.outages.wait().await;
    }

    fn take_turned(&self) -> (Vec<Turned>, u64) {
        self.outages.take()
    }

    fn take_wanted(&self) -> Vec<Deed> {
        self.outages.take_wanted()
    }

    fn take_found(&self) -> (Vec<Found>, u64) {
        self.outages.take_found()
    }
}

/// Tries what a server would load, were this the list of what is installed. Nothing of it stays but compiled code.
///
/// # Errors
/// As [`PluginSet::load`].
pub fn try_installed(
    config: &config::Plugins,
    stock: Stock,
    data_dir: &Path,
    installed: &Installed,
    clock: &Arc<dyn Clock>,
) -> Result<(), LoadError> {
    let told = (clock, &Metrics::new(), &Outages::new(clock));
    load(config, stock, Some(data_dir), Some(installed), told, &[]).map(drop)
}

/// Looks at what the configuration says of plugins as a load would, without compiling one; also at whether there is what it
/// grants. What stays is whether a component can be loaded, passes its golden files and takes its configuration.
///
/// # Errors
/// As [`PluginSet::load`].
pub fn check(config: &config::Plugins, stock: Stock, data_dir: &Path) -> Result<(), LoadError> {
    let home = Home::of(data_dir);
    let entries = home.read().map_err(|reason| LoadError::new("installed", &reason))?.plugins;
    for (id, entry) in order(config, stock, &entries)? {
        let source = match entry {
            Some(entry) => of_home(&home, entry),
            None => configured(config, stock, id),
        };
        let looked_at = source.and_then(|it| look_at(config, id, &it.wasm, &it.manifest).map(drop));
        looked_at.map_err(|reason| LoadError::new(id, &reason))?;
    }
    check_keys(config, &known(config, &entries))?;
    for (id, granted) in &config.grant {
        let all = granted.iter().try_for_each(|name| check_capability(name));
        all.map_err(|reason| LoadError::new(id, &format!("plugins.grant.{id}: {reason}")))?;
    }
    Ok(())
}

/// All that keys can be for.
fn known<'a>(config: &'a config::Plugins, entries: &'a [Entry]) -> Vec<&'a String> {
    config.chain.iter().chain(entries.iter().map(|entry| &entry.id)).collect()
}

/// `candidate`: instead of the list that is written.
fn load(
    config: &config::Plugins,
    stock: Stock,
    data_dir: Option<&Path>,
    candidate: Option<&Installed>,
    (clock, metrics, outages): (&Arc<dyn Clock>, &Metrics, &Arc<Outages>),
    before: &[Member],
) -> Result<Chain, LoadError> {
    let of_engine = |reason| LoadError { id: "engine".into(), reason };
    let home = data_dir.map(Home::of);
    let home = home.as_ref();
    let cache = data_dir.and_then(|data_dir| Cache::open(&data_dir.join(CACHE)));
    let engine = Engine::new(config, clock, cache).map_err(of_engine)?;
    let fail = |id: &str| {
        let id = id.to_owned();
        move |reason: String| LoadError { id, reason: one_line(&reason) }
    };
    let entries = match (home, candidate) {
        (None, _) => Vec::new(),
        (Some(_), Some(candidate)) => candidate.plugins.clone(),
        (Some(home), None) => home.read().map_err(fail("installed"))?.plugins,
    };
    let (mut members, told) = (Vec::with_capacity(config.chain.len() + entries.len()), (metrics, outages));
    for (id, entry) in order(config, stock, &entries)? {
        let source = match entry.zip(home) {
            Some((entry, home)) => of_home(home, entry),
            None => configured(config, stock, id),
        };
        let source = source.map_err(fail(id))?;
        members.push(load_member(&engine, config, source, (stock, before), told).map_err(fail(id))?);
    }
    check_keys(config, &known(config, &entries))?;
    let [of_chain, of_call] = [config.chain_budget_ms, config.call_budget_ms].map(Duration::from_millis);
    let chain = Chain::new(members, of_chain, of_call);
    // Last, when nothing else can be refused: from here on it may touch what lasts.
    chain.go_live().map_err(|(id, reason)| LoadError::new(&id, &reason))?;
    // What is only tried says nothing of what is needed.
    if candidate.is_none() {
        let running = chain.members.iter().map(Member::hash);
        engine.keep_only(&running.chain(entries.iter().flat_map(Entry::components)).collect());
    }
    Ok(chain)
}

/// Which plugins there are, in the order in which they are asked: those of the chain, and behind them those that are
/// installed and not named in it; with each of these what the list says of it. One that is off is not loaded: it may be off
/// because it cannot be.
fn order<'a>(
    config: &'a config::Plugins,
    stock: Stock,
    entries: &'a [Entry],
) -> Result<Vec<(&'a str, Option<&'a Entry>)>, LoadError> {
    check_once("plugins.chain", config.chain.iter().map(String::as_str))?;
    check_once("the list of what is installed", entries.iter().map(|entry| entry.id.as_str()))?;
    let is_on = |entry: &Entry| config.mode.get(&entry.id).copied().unwrap_or(entry.mode) != Mode::Off;
    let mut order = Vec::with_capacity(config.chain.len() + entries.len());
    for id in &config.chain {
        let entry = entries.iter().find(|entry| entry.id == *id);
        match (entry, is_configured(config, stock, id)) {
            // Which of them stood there would depend on what somebody installs.
            (Some(entry), true) if is_on(entry) => {
                let reason = "it is installed, and plugins.chain has one of this id without that: take it out there, or \
                              remove the installed one";
                return Err(LoadError::new(id, &reason));
            }
            (Some(entry), false) if is_on(entry) => order.push((id.as_str(), Some(entry))),
            (Some(_), false) => {}
            _ => order.push((id.as_str(), None)),
        }
    }
    let others = entries.iter().filter(|entry| is_on(entry) && !config.chain.contains(&entry.id));
    order.extend(others.map(|entry| (entry.id.as_str(), Some(entry))));
    Ok(order)
}

/// Each that is there twice would decide twice, and count twice.
fn check_once<'a>(list: &str, ids: impl Iterator<Item = &'a str>) -> Result<(), LoadError> {
    let mut seen = HashSet::new();
    for id in ids {
        if !seen.insert(id) {
            return Err(LoadError::new(id, &format!("it stands in {list} twice")));
        }
    }
    Ok(())
}

/// Whether there is a plugin of this id inside the server, or in the operator's folder instead.
#[must_use]
pub fn is_configured(config: &config::Plugins, stock: Stock, id: &str) -> bool {
    let name = format!("{id}.wasm");
    match &config.dir {
        Some(dir) => dir.join(name).exists(),
        None => stock.iter().any(|(known, _)| *known == name),
    }
}

/// A key for nobody is a slip, and a pin or a grant that is not meant for anybody would look like one that holds. One that
/// is off has its keys for when it is on again.
fn check_keys(config: &config::Plugins, known: &[&String]) -> Result<(), LoadError> {
    for (table, ids) in tables(config) {
        if let Some(id) = ids.into_iter().find(|id| !known.contains(id)) {
            let reason = format!("plugins.{table}.{id} is for no plugin of the chain and for none that was installed");
            return Err(LoadError { id: id.clone(), reason });
        }
    }
    Ok(())
}

/// What the configuration says of a plugin that would be for nobody if it were not installed.
#[must_use]
pub fn keys_of(config: &config::Plugins, stock: Stock, id: &str) -> Vec<String> {
    let is_named = config.chain.iter().any(|it| it == id);
    if is_named && is_configured(config, stock, id) {
        return Vec::new();
    }
    let of_it = tables(config).into_iter().filter(|(_, ids)| ids.iter().any(|it| *it == id));
    let keys = of_it.map(|(table, _)| format!("plugins.{table}.{id}"));
    is_named.then(|| format!("{id} in plugins.chain")).into_iter().chain(keys).collect()
}

/// What is configured by id, and for whom.
fn tables(config: &config::Plugins) -> [(&'static str, Vec<&String>); 6] {
    let config::Plugins { mode, grant, sha256, isolation, on_error, config, .. } = config;
    [
        ("mode", mode.keys().collect()),
        ("grant", grant.keys().collect()),
        ("sha256", sha256.keys().collect()),
        ("isolation", isolation.keys().collect()),
        ("on_error", on_error.keys().collect()),
        ("config", config.keys().collect()),
    ]
}

/// What a plugin is made of, wherever it comes from.
struct Source<'a> {
    id: &'a str,
    wasm: Vec<u8>,
    manifest: Vec<u8>,
    mode: Option<Mode>,
    grant: Option<Vec<String>>,
    goldens: Option<PathBuf>,
}

/// What is refused before anything is compiled. Gives the hash of the component as well.
fn look_at(config: &config::Plugins, id: &str, wasm: &[u8], manifest: &[u8]) -> Result<(Manifest, String), String> {
    let hash = installed::hash(wasm);
    if let Some(pinned) = config.sha256.get(id)
        && !pinned.eq_ignore_ascii_case(&hash)
    {
        return Err(format!("plugins.sha256.{id} is that of another component: this one has {hash}"));
    }
    let manifest = Manifest::parse(id, manifest)?;
    manifest.limits.check(manifest.class, config)?;
    Ok((manifest, hash))
}

fn load_member(
    engine: &Engine,
    config: &config::Plugins,
    source: Source<'_>,
    (stock, before): (Stock, &[Member]),
    (metrics, outages): (&Metrics, &Arc<Outages>),
) -> Result<Member, String> {
    let Source { id, wasm, manifest, mode, grant, goldens } = source;
    let (mut manifest, hash) = look_at(config, id, &wasm, &manifest)?;
    manifest.on_error = config.on_error.get(id).copied().or(manifest.on_error);
    // What is inside the server is part of it, and has what it declares.
    let is_inside = find(stock, id, "wasm").is_ok_and(|inside| inside == wasm);
    let granted = match config.grant.get(id).cloned().or(grant) {
        Some(granted) => granted,
        None if is_inside => manifest.capabilities.clone(),
        None => Vec::new(),
    };
    let loaded = engine.load(&manifest, &wasm, &granted)?;
    let given = config.config.get(id).map_or_else(|| "{}".to_owned(), ToString::to_string);
    let isolation = config.isolation.get(id).copied().unwrap_or_default();
    // First, so that one that is not taken up has touched nothing.
    if let Some(goldens) = goldens {
        lab::check_goldens(engine, &manifest, &loaded, &goldens)?;
    }
    let before = before.iter().find(|member| *member.id == *id);
    let lasting = before.map(|member| member.pool.lasting()).unwrap_or_default();
    let counters = &metrics.plugin_custom_total;
    let mode = config.mode.get(id).copied().or(mode).unwrap_or(Mode::Enforce);
    let acts = engine.imports(&loaded).iter().any(|it| it == actions::NAME);
    if acts {
        actions::check_account(id)?;
    }
    let speaker = Speaker { plugin: id.into(), hash: hash.as_str().into(), enforced: mode == Mode::Enforce };
    let hand = Hand::of(speaker.clone(), acts, &metrics.plugin_actions_total, Some(outages));
    let pool = engine.open(&manifest, &loaded, &Wish { isolation, config: &given, lasting, counters, hand })?;
    tracing::info!(plugin = id, version = manifest.version, sha256 = hash, mode = ?mode, "plugin loaded");
    // What it failed on by these it would fail on again. The configuration is the last: it may read like anything.
    let (memory, call, all) = (config.memory_mib, config.call_budget_ms, config.chain_budget_ms);
    let average = config.average_budget_ms;
    let (class, own) = (manifest.class, manifest.limits);
    let terms = format!("{hash} {mode:?} {isolation:?} {class:?} {own:?} {memory} {call} {average} {all} {given}");
    let average = Duration::from_millis(average);
    Ok(Member::new(manifest, pool, speaker, (mode, average, terms), (metrics, outages), before))
}

fn configured<'a>(config: &config::Plugins, stock: Stock, id: &'a str) -> Result<Source<'a>, String> {
    check_id(id)?;
    let (wasm, manifest) = match &config.dir {
        Some(dir) => (read(dir, id, "wasm")?, read(dir, id, "toml")?),
        None => (find(stock, id, "wasm")?, find(stock, id, "toml")?),
    };
    let goldens = config.dir.as_ref().map(|dir| dir.join(format!("{id}.goldens")));
    Ok(Source { id, wasm, manifest, mode: None, grant: None, goldens })
}

fn of_home<'a>(home: &Home, entry: &'a Entry) -> Result<Source<'a>, String> {
    check_id(&entry.id)?;
    let Files { wasm, manifest, goldens } = home.open(entry)?;
    let (mode, grant, goldens) = (Some(entry.mode), Some(entry.grant.clone()), Some(goldens));
    Ok(Source { id: &entry.id, wasm, manifest, mode, grant, goldens })
}

/// Libraries explain themselves over many lines; an operator reads one. What a plugin says in it moves nothing on a terminal.
fn one_line(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.retain(is_tame);
    line.truncate(line.floor_char_boundary(ERROR_BYTES_MAX));
    line
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(dir: &Path, id: &str, extension: &str) -> Result<Vec<u8>, String> {
    let path = dir.join(format!("{id}.{extension}"));
    installed::read_part(&path).map_err(|error| format!("{}: {error}", path.display()))
}

fn find(stock: Stock, id: &str, extension: &str) -> Result<Vec<u8>, String> {
    let name = format!("{id}.{extension}");
    let found = stock.iter().find(|(known, _)| *known == name).map(|(_, bytes)| bytes.to_vec());
    found.ok_or_else(|| {
        format!("{name} is not inside this server; build it with `cargo xtask plugins`, or set plugins.dir")
    })
}
