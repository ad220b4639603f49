//! Wrong logins from many networks at once, and what others notice of it; and how long a banned account stays connected.
//!
//! 5,000 wrong logins a second from 50 addresses in 50 networks, for 30 s, while somebody from yet another network logs in
//! twice a second. The server has one core; the cost of a password check is the default of the configuration.

mod support;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use confab_protocol::command::Command;
use confab_protocol::model::SanctionKind;
use support::process::Cores;
use support::quic::{Control, QuicClients};
use support::server::Server;
use support::session::{call, greet};
use support::websocket::WebSocket;
use support::{elapsed, percentile, print_table, verdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const NETWORKS: u8 = 50;
const LOGINS_PER_SECOND: u32 = 5_000;
const FLOOD: Duration = Duration::from_secs(30);
const GOOD_EVERY: Duration = Duration::from_millis(500);
const BANS: usize = 100;
const BAN_MS_MAX: f64 = 1_000.0;
const GOOD: &str = r#"{"username":"bench","password":"a password of a bench"}"#;

fn main() {
    if !support::is_wanted() {
        return;
    }
    let cores = Cores::claim();
    let rows = [support::run(good_logins(cores, false)), support::run(good_logins(cores, true))];
    let head = ["wrong logins", "answered/s", "good logins", "answered", "p50 ms", "worst ms", "server CPU %"];
    print_table("Good logins beside wrong ones", &head, &rows);
    let rows = [support::run(bans(cores, false)), support::run(bans(cores, true))];
    print_table("From a ban to both connections closed", &["said by", "bans", "p50 ms", "p99 ms", "within 1 s"], &rows);
}

/// A kept connection from an address of a network, for one login after the other.
struct Login {
    stream: TcpStream,
    to: SocketAddr,
}

impl Login {
    async fn connect(from: Ipv4Addr, to: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::new(IpAddr::V4(from), 0)).expect("an address of the loopback network");
        Self { stream: socket.connect(to).await.expect("the server listens"), to }
    }

    /// The status of the answer.
    async fn ask(&mut self, body: &str) -> u16 {
        let head = format!("POST /api/v1/login HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json", self.to);
        let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        self.stream.write_all(request.as_bytes()).await.expect("an open connection");
        let mut answer = Vec::new();
        loop {
            let count = self.stream.read_buf(&mut answer).await.expect("an open connection");
            assert!(count > 0, "closed: {}", String::from_utf8_lossy(&answer));
            let text = String::from_utf8_lossy(&answer);
            let Some((head, rest)) = text.split_once("\r\n\r\n") else { continue };
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if rest.len() >= length.unwrap_or(0) {
                return head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
            }
        }
    }
}

async fn good_logins(cores: Cores, is_flooded: bool) -> Vec<String> {
    let server = Server::start_guarded(cores);
    let (start, cpu) = (elapsed(), server.process.cpu());
    let flood: Vec<_> = (0..NETWORKS).filter(|_| is_flooded).map(|n| guesses(n, server.http, start)).collect();
    let good = async {
        let mut times = Vec::new();
        let mut tried = 0;
        let mut networks = (100..250).cycle();
        while elapsed() - start < FLOOD {
            tokio::time::sleep(GOOD_EVERY).await;
            // Each from a network of its own: limits are not what is measured.
            let from = Ipv4Addr::new(127, networks.next().unwrap_or(100), 0, 1);
            let mut login = Login::connect(from, server.http).await;
            let begun = elapsed();
            tried += 1;
            if login.ask(GOOD).await == 200 {
                times.push((elapsed() - begun).as_secs_f64() * 1e3);
            }
        }
        (tried, times)
    };
    let (wrong, (tried, times)) = tokio::join!(futures_util::future::join_all(flood), good);
    let seconds = (elapsed() - start).as_secs_f64();
    let answered: u32 = wrong.iter().sum();
    let used = (server.process.cpu() - cpu).as_secs_f64();
    vec![
        if is_flooded { format!("{LOGINS_PER_SECOND}/s from {NETWORKS} networks") } else { "none".into() },
        format!("{:.0}", f64::from(answered) / seconds),
        tried.to_string(),
        times.len().to_string(),
        format!("{:.0}", percentile(&times, 50)),
        format!("{:.0}", percentile(&times, 100)),
        format!("{:.0}", 100.0 * used / seconds),
    ]
}

/// How many guesses of a network were answered.
async fn guesses(network: u8, to: SocketAddr, start: Duration) -> u32 {
    let mut login = Login::connect(Ipv4Addr::new(127, 1 + network, 0, 1), to).await;
    let every = Duration::from_secs(u64::from(NETWORKS)) / LOGINS_PER_SECOND;
    let mut answered = 0;
    while elapsed() - start < FLOOD {
        // Behind the plan it goes on at once.
        let due = start + every * answered;
        tokio::time::sleep(due.saturating_sub(elapsed())).await;
        let body = format!(r#"{{"username":"user{}","password":"guess number {answered}"}}"#, answered % 1_000);
        assert_ne!(login.ask(&body).await, 200, "nobody has that password");
        answered += 1;
    }
    answered
}

/// Bans by the protocol, on the server where the account is, or by the command line beside it.
async fn bans(cores: Cores, by_command: bool) -> Vec<String> {
    let server = Server::start(cores);
    server.command(&["user", "role", "bench", "admin"]);
    let victim = "victim";
    let (id, first) = server.register(victim);
    let mut admin = WebSocket::connect(server.http).await;
    greet(&mut admin, &server.token).await;
    let mut quic = QuicClients::trusting(server.certificate());
    let restrict = |kind| Command::Restrict { user: id, kind, duration_ms: 0 };
    let (mut times, mut token) = (Vec::new(), first);
    for _ in 0..BANS {
        let mut socket = WebSocket::connect(server.http).await;
        greet(&mut socket, &token).await;
        let mut control = Control::open(quic.connect(server.quic).await).await;
        greet(&mut control, &token).await;
        let mut stream = socket.into_stream();
        let begun = elapsed();
        if by_command {
            server.command(&["user", "ban", victim]);
        } else {
            call(&mut admin, restrict(SanctionKind::Ban)).await;
        }
        // Of a WebSocket the frame that closes it is the end: what comes behind waits for our answer.
        let mut first = [0];
        let (_, read) = tokio::join!(control.connection.closed(), stream.read(&mut first));
        assert!(read.is_ok() && (first == [0x88] || first == [0]), "a close frame, or the end: {first:?}");
        times.push((elapsed() - begun).as_secs_f64() * 1e3);
        call(&mut admin, restrict(SanctionKind::Lift)).await;
        token = server.mint(victim);
    }
    let p99 = percentile(&times, 99);
    vec![
        if by_command { "the command line (its start included)".into() } else { "a moderator".into() },
        BANS.to_string(),
        format!("{:.1}", percentile(&times, 50)),
        format!("{p99:.1}"),
        verdict(p99 < BAN_MS_MAX),
    ]
}
