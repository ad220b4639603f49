//! The plugins: sandboxed components that decide what may be said. They get values and give values; they
//! reach neither store nor sockets.

mod breaker;
mod engine;
mod host;
mod manifest;
mod pool;
mod ticker;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use confab_protocol::limits::BODY_BYTES_MAX;
use confab_protocol::model::{ServerRole, UserId};
use prometheus::{Histogram, IntCounter, IntGauge};

use self::breaker::{Breaker, Permission};
use self::engine::{Budget, Engine, Failure};
use self::host::bindings::exports::confab::plugin::message;
use self::manifest::{Manifest, OnError};
use self::pool::Pool;
use crate::clock::Clock;
use crate::config;
use crate::core::hook::{MessageEvent, Moderator, TextKind, Verdict};
use crate::metrics::Metrics;

/// What a plugin says to people is cut to this, bytes.
const REASON_BYTES_MAX: usize = 256;
/// Told to authors while a plugin that must decide cannot.
const CLOSED_REASON: &str = "messages cannot be checked right now: try again later";

/// A plugin that cannot be loaded: which, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("plugin {id}: {reason}")]
pub struct LoadError {
    id: String,
    reason: String,
}

/// Checks a manifest without its component, as loading would.
///
/// # Errors
/// What is wrong with it, in one line.
pub fn check_manifest(id: &str, bytes: &[u8]) -> Result<(), String> {
    Manifest::parse(id, bytes).map(drop).map_err(|reason| one_line(&reason))
}

/// One plugin of the chain, with the counters that each call moves: looking them up by label costs more than a
/// small plugin does.
struct Plugin {
    manifest: Manifest,
    pool: Pool,
    breaker: Breaker,
    call_seconds: Histogram,
    verdicts: [IntCounter; VERDICTS.len()],
    breaker_state: IntGauge,
}

/// Every name that a verdict can have, in the order of [`Plugin::verdicts`].
const VERDICTS: [&str; 6] = ["allow", "replace", "hold", "bounce", "reject", "unavailable"];

/// The chain, in order.
pub struct PluginSet {
    chain: Vec<Plugin>,
    _engine: Engine,
    chain_budget: Duration,
    call_budget: Duration,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl PluginSet {
    /// Loads the configured chain from its folder, or from the stock plugins inside the server.
    ///
    /// # Errors
    /// [`LoadError`]: a missing file, a bad manifest, an import that was not granted.
    pub fn load(
        config: &config::Plugins,
        stock: &[(&str, &[u8])],
        clock: &Arc<dyn Clock>,
        metrics: &Metrics,
    ) -> Result<Self, LoadError> {
        let engine = Engine::new(config, clock).map_err(|reason| LoadError { id: "engine".into(), reason })?;
        let mut chain = Vec::with_capacity(config.chain.len());
        for id in &config.chain {
            let fail = |reason: String| LoadError { id: id.clone(), reason: one_line(&reason) };
            let (wasm, toml) = match &config.dir {
                Some(dir) => (read(dir, id, "wasm").map_err(fail)?, read(dir, id, "toml").map_err(fail)?),
                None => (find(stock, id, "wasm").map_err(fail)?, find(stock, id, "toml").map_err(fail)?),
            };
            let manifest = Manifest::parse(id, &toml).map_err(fail)?;
            let granted: Vec<&str> = config.grant.iter().map(String::as_str).collect();
            let pool = engine.load(&manifest, &wasm, &granted).map_err(fail)?;
            let breaker_state = metrics.plugin_breaker_state.with_label_values(&[id]);
            breaker_state.set(0);
            let call_seconds = metrics.plugin_call_seconds.with_label_values(&[id, "message"]);
            let verdicts = VERDICTS.map(|name| metrics.plugin_verdicts_total.with_label_values(&[id, "message", name]));
            tracing::info!(plugin = id, version = manifest.version, sha256 = pool.hash(), "plugin loaded");
            let breaker = Breaker::default();
            chain.push(Plugin { manifest, pool, breaker, call_seconds, verdicts, breaker_state });
        }
        Ok(Self {
            chain,
            _engine: engine,
            chain_budget: Duration::from_millis(config.chain_budget_ms),
            call_budget: Duration::from_millis(config.call_budget_ms),
            clock: Arc::clone(clock),
            metrics: metrics.clone(),
        })
    }

    /// The verdict, and the CPU time that it took.
    fn call(&self, plugin: &Plugin, author: UserId, event: message::Event<'_>, budget: Budget) -> (Verdict, Duration) {
        let now = self.clock.elapsed();
        let permission = plugin.breaker.ask(now);
        if permission == Permission::Refused {
            return (while_open(plugin), Duration::ZERO);
        }
        let (called, spent) = plugin.pool.call(event, budget);
        plugin.call_seconds.observe(self.clock.elapsed().saturating_sub(now).as_secs_f64());
        plugin.breaker_state.set(plugin.breaker.record(permission, now, called.is_err().then_some(author)));
        let verdict = match called {
            Ok(verdict) => bounded(verdict),
            Err(failure) => self.after_failure(plugin, &failure),
        };
        (verdict, spent)
    }

    /// A message that a plugin does not survive is held, or trapping would be a way past every plugin.
    fn after_failure(&self, plugin: &Plugin, failure: &Failure) -> Verdict {
        let id = plugin.manifest.id.as_str();
        self.metrics.plugin_traps_total.with_label_values(&[id, failure.kind()]).inc();
        tracing::warn!(plugin = id, kind = failure.kind(), detail = failure.detail(), "a plugin failed on a message");
        Verdict::Hold { note: format!("plugin {id} failed: {}", failure.kind()) }
    }

    fn decide(&self, event: &MessageEvent<'_>) -> Verdict {
        let mut spent = Duration::ZERO;
        let mut replaced: Option<String> = None;
        for plugin in &self.chain {
            let body = replaced.as_deref().unwrap_or(event.body);
            let cpu = self.call_budget.min(self.chain_budget.saturating_sub(spent));
            let (verdict, took) = self.call(plugin, event.author, guest_event(event, body), Budget { cpu });
            spent += took;
            if let Some(counter) = plugin.verdicts.get(index(&verdict)) {
                counter.inc();
            }
            match verdict {
                Verdict::Allow => {}
                // An oversized or empty result is caught where bodies are parsed.
                Verdict::Replace(text) => replaced = Some(text),
                last => return last,
            }
        }
        replaced.map_or(Verdict::Allow, Verdict::Replace)
    }
}

#[async_trait]
impl Moderator for PluginSet {
    async fn decide_message(&self, event: MessageEvent<'_>) -> Verdict {
        // Inline: a compiled guest takes microseconds, and a looping one is stopped within its budget.
        self.decide(&event)
    }

    fn is_ready(&self) -> bool {
        self.chain.iter().all(|plugin| plugin.pool.is_sound())
    }
}

fn while_open(plugin: &Plugin) -> Verdict {
    let id = plugin.manifest.id.as_str();
    match plugin.manifest.on_error {
        OnError::Open => Verdict::Allow,
        OnError::Hold => Verdict::Hold { note: format!("plugin {id} is out of service") },
        OnError::Closed => Verdict::Unavailable { reason: CLOSED_REASON.into() },
    }
}

/// Libraries explain themselves over many lines; an operator reads one.
fn one_line(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.truncate(line.floor_char_boundary(REASON_BYTES_MAX));
    line
}

fn read(dir: &Path, id: &str, extension: &str) -> Result<Vec<u8>, String> {
    let path = dir.join(format!("{id}.{extension}"));
    std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
}

fn find(stock: &[(&str, &[u8])], id: &str, extension: &str) -> Result<Vec<u8>, String> {
    let name = format!("{id}.{extension}");
    let found = stock.iter().find(|(known, _)| *known == name).map(|(_, bytes)| bytes.to_vec());
    found.ok_or_else(|| {
        format!("{name} is not inside this server; build it with `cargo xtask plugins`, or set plugins.dir")
    })
}

fn guest_event<'a>(event: &MessageEvent<'a>, body: &'a str) -> message::Event<'a> {
    let halves = |id: u128| ((id >> 64) as u64, id as u64);
    message::Event {
        kind: match event.kind {
            TextKind::New => message::Kind::New,
            TextKind::Edit => message::Kind::Edit,
            TextKind::Reaction => message::Kind::Reaction,
            TextKind::Room => message::Kind::Room,
            TextKind::DisplayName => message::Kind::DisplayName,
        },
        room: halves(event.room.as_u128()),
        author: halves(event.author.as_u128()),
        username: event.username,
        role: match event.role {
            ServerRole::Owner => message::Role::Owner,
            ServerRole::Admin => message::Role::Admin,
            ServerRole::Moderator => message::Role::Moderator,
            ServerRole::User => message::Role::User,
            ServerRole::Bot => message::Role::Bot,
        },
        account_age_seconds: event.now.since(event.account_created) / 1000,
        time_ms: event.now.0,
        body,
    }
}

fn bounded(verdict: message::Verdict) -> Verdict {
    let cut = |mut text: String| {
        text.truncate(text.floor_char_boundary(REASON_BYTES_MAX));
        text.retain(|c| !c.is_control());
        text
    };
    match verdict {
        message::Verdict::Allow => Verdict::Allow,
        message::Verdict::Replace(text) if text.len() > BODY_BYTES_MAX => {
            Verdict::Hold { note: "the plugin's replacement is too long".into() }
        }
        message::Verdict::Replace(text) => Verdict::Replace(text),
        message::Verdict::Hold(note) => Verdict::Hold { note: cut(note) },
        message::Verdict::Bounce(reason) => Verdict::Bounce { reason: cut(reason) },
        message::Verdict::Reject(rejection) => {
            Verdict::Reject { reason: cut(rejection.public_reason), note: cut(rejection.private_reason) }
        }
    }
}

/// Its place in [`VERDICTS`].
const fn index(verdict: &Verdict) -> usize {
    match verdict {
        Verdict::Allow => 0,
        Verdict::Replace(_) => 1,
        Verdict::Hold { .. } => 2,
        Verdict::Bounce { .. } => 3,
        Verdict::Reject { .. } => 4,
        Verdict::Unavailable { .. } => 5,
    }
}
