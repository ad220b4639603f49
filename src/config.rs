//! Configuration: defaults, then the file, then `CONFAB__SECTION__KEY`. The only reader of the environment.
//! Unknown keys are refused; secrets come from files and are never part of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use crate::files;

/// A file of configuration has at most so many bytes: lists of words stand in it as well.
const FILE_BYTES_MAX: u64 = 1 << 20;
const THREADS_MAX: usize = 256;
const HASHING_QUEUE_MAX: usize = 65_536;

/// The whole configuration. `confab config init` prints it with the comments of [`Config::TEMPLATE`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the embedded store, keys, certificate and plugin cache live.
    pub data_dir: PathBuf,
    /// Sockets.
    pub listen: Listen,
    /// Certificate for HTTPS, WSS and QUIC.
    pub tls: Tls,
    /// Accounts and tokens.
    pub auth: Auth,
    /// Bounds on peers.
    pub limits: Limits,
    /// Moderation plugins.
    pub plugins: Plugins,
    /// Where everything durable is.
    pub store: Store,
    /// How long is kept what stands beside the logs.
    pub retention: Retention,
    /// Logging.
    pub log: Log,
}

/// Sockets.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// HTTP and WebSocket.
    pub http: SocketAddr,
    /// QUIC (UDP).
    pub quic: SocketAddr,
    /// Metrics and health; keep it private.
    pub ops: SocketAddr,
    /// Web origins besides the server's own that may open a WebSocket, exact.
    pub allowed_origins: Vec<String>,
    /// Networks (CIDR) of proxies whose word on where a request comes from (`X-Forwarded-For`) is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// UDP segmentation offload for QUIC; switch it off where a network card or driver is at odds with it.
    pub quic_gso: bool,
}

/// Certificate and key in PEM files; both or neither. Without them QUIC uses a development certificate
/// and HTTP is plain, on loopback only.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// Chain, leaf first.
    pub cert_file: Option<PathBuf>,
    /// Private key.
    pub key_file: Option<PathBuf>,
}

/// Who may have an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registration {
    /// Anybody who reaches the server.
    Open,
    /// Whoever was invited by a moderator of the server or by the operator.
    Invite,
    /// Only who holds the owner token; the operator imports the others.
    Closed,
}

/// Accounts and tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// Who may register.
    pub registration: Registration,
    /// Life of an access token.
    pub access_ttl_seconds: u64,
    /// Life of a refresh token that is not used.
    pub refresh_idle_seconds: u64,
    /// Life of a login, however often it is refreshed.
    pub refresh_absolute_seconds: u64,
    /// bcrypt cost, 10 to 15; each step doubles the time of a check.
    pub bcrypt_cost: u32,
    /// Password checks at a time; each takes a core.
    pub hashing_threads: usize,
    /// Password checks that may wait; more are refused as busy.
    pub hashing_queue: usize,
}

/// Bounds on peers; those of the protocol itself are constants.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Messages a user may send, per second in the long run.
    pub sends_per_second: u32,
    /// Messages a user may send at once.
    pub sends_burst: u32,
    /// Messages a user may send to one room, per second in the long run.
    pub sends_per_room_per_second: u32,
    /// Texts of one user that plugins may hold, each a case, per minute in the long run.
    pub holds_per_minute: u32,
    /// The same, at once.
    pub holds_burst: u32,
    /// Messages times readers of one room, per second and at once.
    pub room_deliveries_per_second: u32,
    /// What commands of one user may cost together, per second in the long run; of one connection the half.
    pub commands_per_second: u32,
    /// What commands of one user may cost together at once; of one connection the half.
    pub commands_burst: u32,
    /// Password checks of one account that one network may cause, per 15 minutes.
    pub login_tries: u32,
    /// Registrations, logins and resets of one network (/24, /48), per minute.
    pub strangers_per_minute: u32,
    /// Open connections of one user.
    pub connections_per_user: usize,
    /// Open connections from one address.
    pub connections_per_ip: usize,
    /// Open connections in all.
    pub connections: usize,
    /// Devices of one user.
    pub devices_per_user: u32,
}

impl Limits {
    /// Those that let nothing pass at zero, with their keys.
    const fn rates(&self) -> [(u32, &'static str); 10] {
        [
            (self.sends_per_second, "sends_per_second"),
            (self.sends_burst, "sends_burst"),
            (self.sends_per_room_per_second, "sends_per_room_per_second"),
            (self.holds_per_minute, "holds_per_minute"),
            (self.holds_burst, "holds_burst"),
            (self.room_deliveries_per_second, "room_deliveries_per_second"),
            (self.commands_per_second, "commands_per_second"),
            (self.commands_burst, "commands_burst"),
            (self.login_tries, "login_tries"),
            (self.strangers_per_minute, "strangers_per_minute"),
        ]
    }
}

/// Moderation plugins.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plugins {
    /// Folder with one `<id>.wasm` and `<id>.toml` each; `None` uses those built into the server.
    pub dir: Option<PathBuf>,
    /// Ids in the order they decide. What is installed may be named too; else it stands behind them.
    pub chain: Vec<String>,
    /// How each is meant; `enforce` where nothing is said.
    pub mode: BTreeMap<String, Mode>,
    /// Capabilities granted to each; the stock plugins inside the server have what they declare.
    pub grant: BTreeMap<String, Vec<String>>,
    /// SHA-256 of each component, in hex: another one is not loaded. It says nothing of the manifest.
    pub sha256: BTreeMap<String, String>,
    /// Whether instances are used again; `pooled` where nothing is said.
    pub isolation: BTreeMap<String, Isolation>,
    /// What holds while one is out of service, instead of what its manifest says.
    pub on_error: BTreeMap<String, OnError>,
    /// What each is configured with, as it says itself.
    pub config: BTreeMap<String, serde_json::Value>,
    /// CPU time of one message hook, milliseconds.
    pub call_budget_ms: u64,
    /// CPU time of message hooks on average, milliseconds: a plugin that goes on taking more is out of service.
    pub average_budget_ms: u64,
    /// CPU time of a whole chain, milliseconds.
    pub chain_budget_ms: u64,
    /// Linear memory of one instance, MiB.
    pub memory_mib: u64,
}

/// How a plugin is meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It decides.
    Enforce,
    /// It is asked, and what it would do is noted; it decides nothing.
    Shadow,
    /// It is loaded, and not asked.
    Off,
}

/// Whether an instance of a plugin is used again.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// For many calls.
    #[default]
    Pooled,
    /// For one: nothing stays in its memory, and a call takes some ten times as long.
    PerCall,
}

/// What holds while a plugin is out of service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// It passes.
    Open,
    /// It is refused.
    Closed,
    /// Messages wait for review; everything else is refused.
    Hold,
}

/// Where everything durable is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// Address of a PostgreSQL database; `None` is the embedded store in the data folder. Without a password.
    pub url: Option<String>,
    /// File with the database's password.
    pub password_file: Option<PathBuf>,
    /// Authorities (PEM) that the database's certificate is verified against.
    pub ca_file: Option<PathBuf>,
    /// Connections to the database that append; each room belongs to one.
    pub writers: usize,
    /// Connections to the database for everything else.
    pub connections: usize,
    /// Threads that read the embedded store.
    pub readers: usize,
    /// File of keys that payloads of entries are sealed with; `None`: they are stored in clear.
    pub seal_keys: Option<PathBuf>,
    /// Whether messages that are sealed can be searched.
    pub sealed_search: SealedSearch,
}

/// See [`Store::sealed_search`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SealedSearch {
    /// They cannot, and nothing of what they say is stored in clear.
    Off,
    /// By whole words. The index holds a keyed hash of each: whoever reads it sees which messages share words and how
    /// often, and can guess common words by that.
    Hashed,
}

/// How long is kept what stands beside the rooms' logs. What is in a log is kept as long as its room says.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// What messages said before they were edited or deleted, days; 0: as long as the message.
    pub earlier_texts_days: u32,
    /// What plugins held or refused, days, at least 2; 0: as long as what the room says.
    pub refused_days: u32,
    /// What was said that cases are about, and what was said of it, days; 0: for ever.
    pub evidence_days: u32,
}

/// Logging.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// `auto` (pretty on a terminal, JSON otherwise), `pretty` or `json`.
    pub format: LogFormat,
    /// A filter as `tracing-subscriber` reads it. Libraries that would write what passes through them stay quiet, whatever
    /// it says.
    pub filter: String,
}

/// See [`Log::format`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "explained at the field")]
pub enum LogFormat {
    Auto,
    Pretty,
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("data"),
            listen: Listen {
                http: SocketAddr::from(([127, 0, 0, 1], 8080)),
                quic: SocketAddr::from(([127, 0, 0, 1], 8443)),
                ops: SocketAddr::from(([127, 0, 0, 1], 9090)),
                allowed_origins: Vec::new(),
                trusted_proxies: Vec::new(),
                quic_gso: true,
            },
            tls: Tls::default(),
            auth: Auth {
                registration: Registration::Open,
                access_ttl_seconds: 15 * 60,
                refresh_idle_seconds: 7 * 24 * 3600,
                refresh_absolute_seconds: 30 * 24 * 3600,
                bcrypt_cost: 12,
                hashing_threads: 2,
                hashing_queue: 64,
            },
            limits: Limits {
                sends_per_second: 10,
                sends_burst: 30,
                sends_per_room_per_second: 5,
                holds_per_minute: 1,
                holds_burst: 10,
                room_deliveries_per_second: 200_000,
                commands_per_second: 1_000,
                commands_burst: 20_000,
                login_tries: 5,
                strangers_per_minute: 60,
                connections_per_user: 20,
                connections_per_ip: 50,
                connections: 10_000,
                devices_per_user: 10,
            },
            plugins: Plugins {
                dir: None,
                chain: ["sanitize", "words", "links", "mentions", "newcomer", "flood"].map(str::to_owned).into(),
                mode: BTreeMap::new(),
                grant: BTreeMap::new(),
                sha256: BTreeMap::new(),
                isolation: BTreeMap::new(),
                on_error: BTreeMap::new(),
                config: BTreeMap::new(),
                call_budget_ms: 5,
                average_budget_ms: 1,
                chain_budget_ms: 50,
                memory_mib: 16,
            },
            store: Store {
                url: None,
                password_file: None,
                ca_file: None,
                writers: 2,
                connections: 8,
                readers: 2,
                seal_keys: None,
                sealed_search: SealedSearch::Off,
            },
            retention: Retention { earlier_texts_days: 90, refused_days: 90, evidence_days: 180 },
            log: Log { format: LogFormat::Auto, filter: "info,refinery_core=warn".into() },
        }
    }
}

/// A configuration that cannot be used: one clear line.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file that cannot be read.
    #[error("cannot read {path}")]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A key or value that is not what it must be.
    #[error("{0}")]
    Invalid(String),
}

impl Config {
    /// The file that `confab config init` writes: every key with default and unit.
    pub const TEMPLATE: &'static str = include_str!("config.toml");

    /// Reads the layers and checks them.
    ///
    /// # Errors
    /// [`ConfigError`]: an unreadable file, an unknown key, a value out of its bounds.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        if let Some(path) = file {
            let text = files::read_text_bounded(path, FILE_BYTES_MAX)
                .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
            figment = figment.merge(Toml::string(&text));
        }
        let config: Self = figment
            .merge(Env::prefixed("CONFAB__").split("__"))
            .extract()
            .map_err(|error| ConfigError::Invalid(explain(error, file)))?;
        config.check()?;
        Ok(config)
    }

    /// Checks what types cannot.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`], naming the key and what to do.
    pub fn check(&self) -> Result<(), ConfigError> {
        let invalid = |text: &str| Err(ConfigError::Invalid(text.to_owned()));
        if self.tls.cert_file.is_some() != self.tls.key_file.is_some() {
            return invalid("tls: cert_file and key_file go together");
        }
        let has_tls = self.tls.cert_file.is_some();
        let is_private = self.listen.http.ip().is_loopback() && self.listen.quic.ip().is_loopback();
        let is_quic_private = self.listen.quic.ip().is_loopback();
        let has_proxy = !self.listen.trusted_proxies.is_empty();
        if !has_tls && !is_private && (!has_proxy || !is_quic_private) {
            return invalid(
                "listen: without tls.cert_file and tls.key_file only loopback addresses are served, and listen.http to \
                 trusted_proxies",
            );
        }
        if !has_tls && !self.listen.ops.ip().is_loopback() {
            return invalid(
                "listen.ops: has neither TLS nor accounts; a loopback address, and a proxy if others must see it",
            );
        }
        if !(10..=15).contains(&self.auth.bcrypt_cost) {
            return invalid("auth.bcrypt_cost: 10 to 15");
        }
        if !(30..=86_400).contains(&self.auth.access_ttl_seconds) {
            return invalid("auth.access_ttl_seconds: 30 to 86400");
        }
        if self.listen.allowed_origins.iter().any(|origin| origin == "*" || origin == "null") {
            return invalid("listen.allowed_origins: exact origins only, neither * nor null");
        }
        for (value, key) in self.limits.rates() {
            if value == 0 {
                return Err(ConfigError::Invalid(format!("limits.{key}: at least 1")));
            }
        }
        if self.retention.refused_days == 1 {
            return invalid("retention.refused_days: 0 or at least 2, because resent messages are answered from it");
        }
        if !(1..=THREADS_MAX).contains(&self.store.writers) || !(1..=THREADS_MAX).contains(&self.store.connections) {
            return invalid("store.writers and store.connections: 1 to 256");
        }
        if !(1..=THREADS_MAX).contains(&self.store.readers) || !(1..=THREADS_MAX).contains(&self.auth.hashing_threads) {
            return invalid("store.readers and auth.hashing_threads: 1 to 256");
        }
        if self.auth.hashing_queue > HASHING_QUEUE_MAX {
            return invalid("auth.hashing_queue: at most 65536");
        }
        if self.auth.refresh_idle_seconds < self.auth.access_ttl_seconds
            || self.auth.refresh_absolute_seconds < self.auth.refresh_idle_seconds
        {
            return invalid("auth: access_ttl_seconds <= refresh_idle_seconds <= refresh_absolute_seconds");
        }
        if !(1..=64).contains(&self.plugins.memory_mib) {
            return invalid("plugins.memory_mib: 1 to 64");
        }
        if self.plugins.call_budget_ms == 0 || self.plugins.chain_budget_ms < self.plugins.call_budget_ms {
            return invalid("plugins: call_budget_ms at least 1, chain_budget_ms at least that");
        }
        if self.plugins.average_budget_ms == 0 {
            return invalid("plugins.average_budget_ms: at least 1; as much as call_budget_ms is no bound");
        }
        if let Err(error) = EnvFilter::try_new(&self.log.filter) {
            return Err(ConfigError::Invalid(format!("log.filter: {}", one_line(&error.to_string()))));
        }
        Ok(())
    }
}

/// One line, however many the parser draws, and in the operator's words.
fn explain(error: figment::Error, file: Option<&Path>) -> String {
    let texts: Vec<String> = error.into_iter().map(|error| error.to_string()).collect();
    let line = one_line(&texts.join("; ")).replace("default.", "").replace(" in TOML source string", "");
    file.map_or_else(|| line.clone(), |path| format!("{}: {line}", path.display()))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("confab.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(Some(&path)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_template_is_the_default() {
        let template = load(Config::TEMPLATE).unwrap();
        assert_eq!(toml::to_string(&template).unwrap(), toml::to_string(&Config::default()).unwrap());
    }

    #[test]
    fn unknown_keys_and_dangerous_values_are_refused() {
        for (text, word) in [
            ("[limits]\nsend_per_second = 1", "sends_per_second"),
            ("[limits]\ncommands_burst = 0", "commands_burst"),
            ("[listen]\nhttp = \"0.0.0.0:80\"", "loopback"),
            ("[auth]\nbcrypt_cost = 4", "bcrypt_cost"),
            ("[listen]\nops = \"0.0.0.0:9090\"", "listen.ops"),
            ("[auth]\nhashing_threads = 4000000000000", "hashing_threads"),
            ("[store]\nreaders = 0", "store.readers"),
            ("[auth]\nrefresh_idle_seconds = 0", "refresh_idle_seconds"),
            ("[plugins]\nchain_budget_ms = 0", "chain_budget_ms"),
            ("[plugins]\naverage_budget_ms = 0", "average_budget_ms"),
            ("[log]\nfilter = \"confab=loud\"", "log.filter"),
            ("[listen]\nallowed_origins = [\"*\"]", "exact"),
            ("[tls]\ncert_file = \"x\"", "together"),
            ("nonsense", "expected"),
        ] {
            let error = load(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
