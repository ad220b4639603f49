//! A real server in this process, on free ports and in a folder of its own.

pub mod clock;
pub mod commands;
pub mod disk;
pub mod guests;
pub mod people;
pub mod postgres;
pub mod process;
pub mod raw;

use std::sync::Arc;

use confab::config::Config;
use confab::reload::Reloader;
use confab::{Addresses, Server};
use tokio::sync::oneshot;

/// A running server; dropping it drains it.
pub struct TestServer {
    pub addresses: Addresses,
    pub fingerprint: String,
    pub owner_token: String,
    pub config: Config,
    /// Changes it while it runs. In front of what stops it: a drain waits for everybody who has the server's core.
    pub reloader: Reloader,
    _stop: oneshot::Sender<()>,
    _folder: Arc<tempfile::TempDir>,
}

/// The transports that every scenario runs over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    Quic,
    WebSocket,
}

pub const TRANSPORTS: [Transport; 2] = [Transport::Quic, Transport::WebSocket];

/// Looks again and again until it is so.
pub async fn until_so(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = tokio::time::Instant::now() + process::PATIENCE;
    while !is_so().await {
        assert!(tokio::time::Instant::now() < deadline, "not within {:?}: {what}", process::PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Builds; an earlier server on the same folder may take a moment to drain, which is waited for.
async fn build(config: &Config) -> Server {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(15);
    loop {
        match Server::build(config.clone()).await {
            Ok(server) => return server,
            Err(confab::StartError::Data { .. }) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}

impl TestServer {
    /// A server with the stock filter and cheap passwords.
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A server whose configuration was changed first. `data_dir` and ports are already its own.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        Self::start_in(Arc::new(tempfile::tempdir().unwrap()), change).await
    }

    /// A server on a folder that may hold the data of an earlier one.
    pub async fn start_in(folder: Arc<tempfile::TempDir>, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.data_dir = folder.path().join("data");
        let any_port = "127.0.0.1:0".parse().unwrap();
        (config.listen.http, config.listen.quic, config.listen.ops) = (any_port, any_port, any_port);
        config.auth.bcrypt_cost = 10;
        // The others have tests of their own, and each start compiles what is in the chain.
        config.plugins.chain = vec!["sanitize".into()];
        config.limits.strangers_per_minute = 1_000_000;
        config.limits.sends_per_second = 100_000;
        config.limits.sends_burst = 100_000;
        config.limits.sends_per_room_per_second = 100_000;
        (config.limits.holds_per_minute, config.limits.holds_burst) = (100_000, 100_000);
        config.limits.room_deliveries_per_second = 100_000_000;
        (config.limits.commands_per_second, config.limits.commands_burst) = (1_000_000, 1_000_000);
        change(&mut config);
        config.check().unwrap();
        let server = build(&config).await;
        let addresses = server.addresses().unwrap();
        let fingerprint = server.fingerprint().unwrap().to_owned();
        let owner_token = server.owner_token().unwrap_or_default();
        let reloader = server.reloader();
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(server.run(async move {
            let _ = stopped.await;
        }));
        Self { addresses, fingerprint, owner_token, config, reloader, _stop: stop, _folder: folder }
    }

    /// Its address for a client of that transport.
    pub fn client_address(&self, transport: Transport) -> confab_client::Server {
        let url = match transport {
            Transport::Quic => format!("quic://{}", self.addresses.quic),
            Transport::WebSocket => format!("ws://{}", self.addresses.http),
        };
        confab_client::Server::parse(&url).unwrap().pin(&self.fingerprint).unwrap()
    }

    /// The value of a metric line, labels included: `metric(r#"confab_x_total{a="b"}"#)`. 0 when absent.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.get(self.addresses.ops, "/metrics").await.1;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        line.unwrap_or(0.0)
    }

    /// A plain HTTP GET: status and body.
    pub async fn get(&self, address: std::net::SocketAddr, path: &str) -> (u16, String) {
        self.http(address, &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")).await
    }

    /// A POST of JSON to the API: status and body.
    pub async fn post(&self, path: &str, json: &serde_json::Value) -> (u16, serde_json::Value) {
        let (address, body) = (self.addresses.http, json.to_string());
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json");
        let (status, body) =
            self.http(address, &format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())).await;
        (status, serde_json::from_str(&body).unwrap_or_default())
    }

    /// Any bytes to any of its ports, until it closes.
    pub async fn http(&self, address: std::net::SocketAddr, request: &str) -> (u16, String) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        (status, answer.split_once("\r\n\r\n").map_or(String::new(), |(_, body)| body.to_owned()))
    }
}
