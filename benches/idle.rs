//! Memory of the server per idle connection: logged in and subscribed to one room, over WebSocket and over
//! QUIC. Resident memory before and after, each on a fresh server; a few connections come before the first
//! look, so that what is allocated once is not counted. The kernel's socket buffers are not in it.

mod support;

use std::time::Duration;

use confab_protocol::model::Cursor;
use support::process::Cores;
use support::quic::{Control, QuicClients};
use support::server::Server;
use support::session::{follow, greet, new_room};
use support::websocket::WebSocket;
use support::{print_table, verdict};

const WEBSOCKETS: usize = 2_000;
const QUIC_CONNECTIONS: usize = 1_000;
/// Open before the first look.
const WARM_UP: usize = 100;
/// For tasks to finish what they do after a handshake. Short of the 45 s in which a client must be heard.
const SETTLE: Duration = Duration::from_secs(3);
const WEBSOCKET_KIB_MAX: f64 = 10.0;
const WEBSOCKET_KIB_AIM: f64 = 6.0;
const QUIC_KIB_MAX: f64 = 36.0;
const QUIC_KIB_AIM: f64 = 32.0;

fn main() {
    if !support::is_wanted() {
        return;
    }
    let cores = Cores::claim();
    let rows = [support::run(websocket(cores)), support::run(quic(cores))];
    let head = [
        "transport",
        "connections",
        "RSS before KiB",
        "RSS after KiB",
        "KiB/connection",
        "target",
        "met",
        "aim",
        "met",
    ];
    print_table("Idle memory of the server", &head, &rows);
}

async fn websocket(cores: Cores) -> Vec<String> {
    let server = Server::start(cores);
    let (_admin, cursor) = room(&server).await;
    // Kept open to the end.
    let mut open = Vec::with_capacity(WARM_UP + WEBSOCKETS);
    let mut rss_kib = [0.0; 2];
    for (found_kib, count) in rss_kib.iter_mut().zip([WARM_UP, WEBSOCKETS]) {
        for _ in 0..count {
            let mut socket = WebSocket::connect(server.http).await;
            greet(&mut socket, &server.token).await;
            follow(&mut socket, cursor).await;
            open.push(socket);
        }
        tokio::time::sleep(SETTLE).await;
        *found_kib = server.process.rss_kib();
    }
    // The one that made the room is open too.
    assert_eq!(server.connections("websocket"), open.len() + 1, "the server closed some");
    row("WebSocket", WEBSOCKETS, rss_kib, WEBSOCKET_KIB_MAX, WEBSOCKET_KIB_AIM)
}

async fn quic(cores: Cores) -> Vec<String> {
    let server = Server::start(cores);
    let (_admin, cursor) = room(&server).await;
    let mut clients = QuicClients::trusting(server.certificate());
    let mut open = Vec::with_capacity(WARM_UP + QUIC_CONNECTIONS);
    let mut rss_kib = [0.0; 2];
    for (found_kib, count) in rss_kib.iter_mut().zip([WARM_UP, QUIC_CONNECTIONS]) {
        for _ in 0..count {
            let mut control = Control::open(clients.connect(server.quic).await).await;
            greet(&mut control, &server.token).await;
            follow(&mut control, cursor).await;
            open.push(control);
        }
        tokio::time::sleep(SETTLE).await;
        *found_kib = server.process.rss_kib();
    }
    assert_eq!(server.connections("quic"), open.len(), "the server closed some");
    row("QUIC", QUIC_CONNECTIONS, rss_kib, QUIC_KIB_MAX, QUIC_KIB_AIM)
}

async fn room(server: &Server) -> (WebSocket, Cursor) {
    let mut socket = WebSocket::connect(server.http).await;
    greet(&mut socket, &server.token).await;
    let cursor = new_room(&mut socket, "idle").await;
    (socket, cursor)
}

fn row(transport: &str, connections: usize, rss_kib: [f64; 2], max_kib: f64, aim_kib: f64) -> Vec<String> {
    let [before_kib, after_kib] = rss_kib;
    let each_kib = (after_kib - before_kib) / connections as f64;
    vec![
        transport.to_owned(),
        connections.to_string(),
        format!("{before_kib:.0}"),
        format!("{after_kib:.0}"),
        format!("{each_kib:.1}"),
        format!("<= {max_kib}"),
        verdict(each_kib <= max_kib),
        format!("<= {aim_kib}"),
        verdict(each_kib <= aim_kib),
    ]
}
