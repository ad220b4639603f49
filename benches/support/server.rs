//! The real server, from its binary, with a data folder that goes with it and an account to use it.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use confab::clock::{Clock, SystemClock};
use confab::core::audit::AuditKey;
use confab::core::names::user_key;
use confab::core::seal::Vault;
use confab::core::store::{NewUser, Store, new_incarnation};
use confab::store::sqlite::Sqlite;
use confab_protocol::model::{DisplayName, Millis, RoomId, ServerRole, UserId, Username};
use tempfile::TempDir;

use super::process::{Cores, Process};
use super::{elapsed, now};

/// Plugins are compiled in this time.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const HTTP_TIMEOUT: Duration = Duration::from_secs(10);

/// A running server; it ends with this value.
pub(crate) struct Server {
    pub(crate) process: Process,
    /// HTTP and WebSocket.
    pub(crate) http: SocketAddr,
    pub(crate) quic: SocketAddr,
    /// Access token of the one account, for any number of connections.
    pub(crate) token: String,
    ops: SocketAddr,
    data: TempDir,
}

impl Server {
    /// Starts it on its core, waits until it is ready and registers the account.
    pub(crate) fn start(cores: Cores) -> Self {
        Self::start_on(cores, "")
    }

    /// The same, with more configuration: whole tables.
    pub(crate) fn start_on(cores: Cores, tables: &str) -> Self {
        Self::start_with(cores, |config| config + tables)
    }

    /// With another configuration.
    pub(crate) fn start_with(cores: Cores, change: impl FnOnce(String) -> String) -> Self {
        let data = data_dir();
        let (http, ops, quic) = free_addresses();
        let path = data.path().join("confab.toml");
        std::fs::write(&path, change(config(data.path(), http, ops, quic))).expect("the target folder can be written");
        let args: [OsString; 3] = ["serve".into(), "--config".into(), path.into_os_string()];
        let mut process = Process::start(cores.server, env!("CARGO_BIN_EXE_confab"), &args);
        let give_up = elapsed() + START_TIMEOUT;
        while !get(ops, "/readyz").is_some_and(|answer| answer.starts_with("HTTP/1.1 200")) {
            assert!(!process.has_ended(), "the server did not start; were the plugins built (`cargo xtask plugins`)?");
            assert!(elapsed() < give_up, "the server is not ready after {START_TIMEOUT:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        let session = register(http, "bench");
        let token = session.get("accessToken").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        Self { process, http, quic, token, ops, data }
    }

    /// With the limits of the default configuration on those whom nobody knows, and its cost of a password check.
    pub(crate) fn start_guarded(cores: Cores) -> Self {
        Self::start_with(cores, |config| {
            let strict = config.replace("strangers_per_minute = 1000000\nlogin_tries = 1000000\n", "");
            strict.replace("bcrypt_cost = 10", "bcrypt_cost = 12")
        })
    }

    /// Runs a command of the operator's beside it.
    pub(crate) fn command(&self, arguments: &[&str]) -> String {
        let config = self.data.path().join("confab.toml");
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_confab"));
        let output = command.args(arguments).arg("--config").arg(config).output().expect("the program starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Another account: its id, and an access token.
    pub(crate) fn register(&self, name: &str) -> (UserId, String) {
        let session = register(self.http, name);
        let field = |name: &str| session.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        (field("userId").parse().expect("an id"), field("accessToken"))
    }

    /// Accounts that were made so long ago, put into its store (SQLite) beside it: an access token of each.
    pub(crate) async fn old_accounts(&self, names: &[String], age: Duration) -> Vec<String> {
        let (clock, created) = (SystemClock::new(), Millis(now().0 - age.as_millis() as u64));
        let user = |name: &String| {
            let username = Username::parse(name).expect("a good name");
            NewUser {
                id: UserId::new(created, clock.random()),
                username_key: user_key(&username),
                username,
                display_name: DisplayName::parse(name).expect("a good name"),
                role: ServerRole::User,
                password_hash: None,
                self_room: RoomId::new(created, clock.random()),
                incarnation: new_incarnation(clock.random()),
                created,
                audit_key: AuditKey::from_u128(clock.random()),
                ticket: None,
            }
        };
        let store = Sqlite::open(&self.data.path().join("confab.db"), 1, Vault::default()).expect("its store");
        let made = store.import_users(names.iter().map(user).collect()).await.expect("it takes accounts");
        assert_eq!(made, names.len(), "names that are free");
        let mut arguments = vec!["token", "mint"];
        arguments.extend(names.iter().map(String::as_str));
        let minted = self.command(&arguments);
        minted.lines().filter_map(|line| Some(line.split_once('\t')?.1.to_owned())).collect()
    }

    /// An access token of an account.
    pub(crate) fn mint(&self, name: &str) -> String {
        self.command(&["token", "mint", name]).split('\t').nth(1).unwrap_or_default().to_owned()
    }

    /// The development certificate, DER.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        certificate(self.data.path())
    }

    /// What it counts, line by line. Asked for on a thread of its own: a slow answer holds up no other client.
    pub(crate) async fn metrics(&self) -> String {
        let ops = self.ops;
        let answer = tokio::task::spawn_blocking(move || get(ops, "/metrics")).await;
        answer.ok().flatten().expect("the server answers")
    }

    /// Open connections of a transport, as the server counts them.
    pub(crate) fn connections(&self, transport: &str) -> usize {
        let metrics = get(self.ops, "/metrics").expect("the server answers");
        let name = format!("confab_connections{{transport=\"{transport}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or_default()
    }
}

/// The development certificate of a data folder, DER.
pub(crate) fn certificate(data: &Path) -> Vec<u8> {
    std::fs::read(data.join("dev-cert/cert.der")).expect("made at the start")
}

/// A folder on the disk of the target folder, not in memory: commits must cost what they cost.
pub(crate) fn data_dir() -> TempDir {
    let folder = env!("CARGO_TARGET_TMPDIR");
    tempfile::Builder::new().prefix("bench-").tempdir_in(folder).expect("the target folder can be written")
}

fn free_addresses() -> (SocketAddr, SocketAddr, SocketAddr) {
    let local = "127.0.0.1:0";
    // All are held until all are known, so that they differ.
    let sockets = (TcpListener::bind(local), TcpListener::bind(local), UdpSocket::bind(local));
    let (Ok(http), Ok(ops), Ok(quic)) = sockets else { panic!("no free ports on {local}") };
    let expected = "a bound socket has an address";
    (http.local_addr().expect(expected), ops.local_addr().expect(expected), quic.local_addr().expect(expected))
}

fn config(data: &Path, http: SocketAddr, ops: SocketAddr, quic: SocketAddr) -> String {
    let data = data.display().to_string();
    format!(
        r#"data_dir = {data:?}
[listen]
http = "{http}"
quic = "{quic}"
ops = "{ops}"
[auth]
access_ttl_seconds = 86400
bcrypt_cost = 10
[limits]
strangers_per_minute = 1000000
login_tries = 1000000
sends_per_second = 1000000
sends_burst = 1000000
sends_per_room_per_second = 1000000
holds_per_minute = 1000000
holds_burst = 1000000
room_deliveries_per_second = 1000000000
commands_per_second = 100000000
commands_burst = 100000000
connections_per_user = 20000
connections_per_ip = 20000
connections = 20000
[plugins]
chain = ["sanitize"]
[log]
format = "json"
filter = "warn"
"#
    )
}

/// The session that an account begins with.
fn register(address: SocketAddr, name: &str) -> serde_json::Value {
    let body = format!(r#"{{"username":"{name}","password":"a password of a bench"}}"#);
    let length = body.len();
    let answer = exchange(
        address,
        &format!(
            "POST /api/v1/register HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        ),
    );
    let answer = answer.expect("the server answers");
    let json = answer.find('{').zip(answer.rfind('}')).map(|(first, last)| &answer[first..=last]);
    let session: serde_json::Value = json.and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
    assert!(session.get("accessToken").is_some(), "the account was refused: {answer}");
    session
}

fn get(address: SocketAddr, path: &str) -> Option<String> {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")).ok()
}

fn exchange(address: SocketAddr, request: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, HTTP_TIMEOUT)?;
    stream.set_read_timeout(Some(HTTP_TIMEOUT))?;
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
