//! Acknowledged durable messages per second, over WebSocket, with the embedded store (SQLite, WAL,
//! `synchronous=FULL`) on the disk of the target folder and with a PostgreSQL of its own, beside the driver alone: 1, 64 and 512 in flight, in 8 rooms nobody reads.
//! A connection may have 64 requests in flight, so 512 are 8 connections. Half load is half the rate that these reached, sent by
//! the clock: a message's time counts from when it was due, whether it could be sent then or not. "Sealed" is with
//! `store.seal_keys`.

#[path = "../tests/support/postgres.rs"]
#[allow(dead_code, unreachable_pub, clippy::pedantic, clippy::disallowed_methods, reason = "shared with the tests")]
mod postgres;
#[path = "support/raw.rs"]
mod raw;
mod support;

use std::rc::Rc;
use std::time::Duration;

use confab_protocol::limits::IN_FLIGHT_MAX;
use confab_protocol::model::RoomId;
use postgres::Cluster;
use support::process::Cores;
use support::server::Server;
use support::session::{Wire, acknowledged, body, decode, greet, new_room, publish};
use support::websocket::WebSocket;
use support::{elapsed, percentile, print_table, verdict};
use tokio::task::JoinSet;

const ROOMS: usize = 8;
/// Connections, and requests in flight on each.
const LOADS: [(usize, usize); 3] = [(1, 1), (1, IN_FLIGHT_MAX), (8, IN_FLIGHT_MAX)];
/// Not counted.
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(6);
/// Wanted with the most in flight.
const ACKS_PER_SECOND_MIN: f64 = 20_000.0;
/// And of what the store's driver does with the same batches and nobody to answer.
const SHARE_OF_RAW_MIN: f64 = 0.6;

fn main() {
    if !support::is_wanted() {
        return;
    }
    let cores = Cores::claim();
    let head = ["in flight", "connections", "acks/s", "p50 ms", "p99 ms", "server CPU us/message", "target", "met"];
    let sqlite = support::run(raw::sqlite());
    let rows = support::run(measure(cores, "", sqlite));
    print_table("Publish to acknowledged, SQLite FULL (200-byte bodies, plugin chain: sanitize)", &head, &rows);
    let keys = tempfile::NamedTempFile::new().expect("a file for keys");
    std::fs::write(keys.path(), format!("1 {}\n", "5a".repeat(32))).expect("a file for keys");
    let sealed = format!("[store]\nseal_keys = \"{}\"\n", keys.path().display());
    let rows = support::run(measure(cores, &sealed, sqlite));
    print_table("The same, sealed", &head, &rows);
    let cluster = Cluster::start();
    let url = |name: &str| {
        cluster.create_database(name);
        cluster.url(name)
    };
    let postgres = support::run(raw::postgres(url("raw")));
    let store = format!("[store]\nurl = {:?}\n", url("server"));
    let rows = support::run(measure(cores, &store, postgres));
    print_table("The same, PostgreSQL on this machine", &head, &rows);
}

/// `raw`: entries per second of the driver alone.
async fn measure(cores: Cores, store: &str, raw: f64) -> Vec<Vec<String>> {
    let server = Server::start_on(cores, store);
    let mut socket = connect(&server).await;
    let mut rooms = Vec::with_capacity(ROOMS);
    for number in 0..ROOMS {
        rooms.push(new_room(&mut socket, &format!("publish-{number}")).await.room);
    }
    let rooms: Rc<[RoomId]> = rooms.into();
    let (mut rows, mut most) = (Vec::with_capacity(LOADS.len() + 1), 0.0);
    for (connections, in_flight) in LOADS {
        let (row, acks_per_second) =
            measure_load(&server, &rooms, Load { connections, in_flight, pace: None }, raw).await;
        rows.push(row);
        most = f64::max(most, acks_per_second);
    }
    let half = Load { connections: 8, in_flight: IN_FLIGHT_MAX, pace: Some(most / 2.0) };
    rows.push(measure_load(&server, &rooms, half, raw).await.0);
    rows
}

#[derive(Clone, Copy)]
struct Load {
    connections: usize,
    /// On each, at most.
    in_flight: usize,
    /// Messages per second, all connections together.
    pace: Option<f64>,
}

async fn connect(server: &Server) -> WebSocket {
    let mut socket = WebSocket::connect(server.http).await;
    greet(&mut socket, &server.token).await;
    socket
}

async fn measure_load(
    server: &Server,
    rooms: &Rc<[RoomId]>,
    Load { connections, in_flight, pace }: Load,
    raw: f64,
) -> (Vec<String>, f64) {
    let mut sockets = Vec::with_capacity(connections);
    for _ in 0..connections {
        sockets.push(connect(server).await);
    }
    let from = elapsed() + WARM_UP;
    let window = Window { from, until: from + MEASURED };
    let mut publishers = JoinSet::new();
    for socket in sockets {
        let rooms = Rc::clone(rooms);
        match pace {
            None => publishers.spawn_local(keep_publishing(socket, rooms, in_flight, window)),
            Some(pace) => {
                publishers.spawn_local(publish_by_the_clock(socket, rooms, pace / connections as f64, window))
            }
        };
    }
    sleep_until(window.from).await;
    let cpu = server.process.cpu();
    sleep_until(window.until).await;
    let cpu = server.process.cpu() - cpu;
    let latencies_ms = publishers.join_all().await.concat();
    let acks = latencies_ms.len() as f64;
    let acks_per_second = acks / MEASURED.as_secs_f64();
    let (target, met) = if connections > 1 && pace.is_none() {
        let share = acks_per_second / raw;
        let met = share >= SHARE_OF_RAW_MIN && acks_per_second >= ACKS_PER_SECOND_MIN;
        let wanted = format!(">= {ACKS_PER_SECOND_MIN}/s and {SHARE_OF_RAW_MIN} of {raw:.0}/s raw: {share:.2}");
        (wanted, verdict(met))
    } else {
        ("-".into(), "-".into())
    };
    let in_flight = pace.map_or((connections * in_flight).to_string(), |pace| format!("half load: {pace:.0}/s"));
    let row = vec![
        in_flight,
        connections.to_string(),
        format!("{acks_per_second:.0}"),
        format!("{:.2}", percentile(&latencies_ms, 50)),
        format!("{:.2}", percentile(&latencies_ms, 99)),
        format!("{:.1}", cpu.as_secs_f64() * 1e6 / acks),
        target,
        met,
    ];
    (row, acks_per_second)
}

/// When acknowledgements count.
#[derive(Clone, Copy)]
struct Window {
    from: Duration,
    until: Duration,
}

/// Sends a message for each acknowledgement until the window ends. Returns the milliseconds from sending to
/// acknowledged of each message whose acknowledgement came within it.
async fn keep_publishing(mut socket: WebSocket, rooms: Rc<[RoomId]>, in_flight: usize, window: Window) -> Vec<f64> {
    let body = body();
    let mut latencies_ms = Vec::new();
    let mut frames = Vec::new();
    let mut rooms = rooms.iter().cycle();
    // A request's id is its place here.
    let mut sent = vec![elapsed(); in_flight];
    let mut next = |id| publish(id, *rooms.next().expect("there are rooms"), &body);
    let first: Vec<_> = (0..).take(in_flight).map(&mut next).collect();
    socket.send(&first).await;
    let mut open = in_flight;
    while open > 0 {
        socket.recv_all(&mut frames).await;
        let now = elapsed();
        let mut more = Vec::with_capacity(frames.len());
        for id in frames.drain(..).filter_map(|frame| acknowledged(&decode(&frame))) {
            let sent = &mut sent[id as usize];
            if (window.from..window.until).contains(&now) {
                latencies_ms.push((now - *sent).as_secs_f64() * 1e3);
            }
            if now < window.until {
                *sent = now;
                more.push(next(id));
            } else {
                open -= 1;
            }
        }
        if !more.is_empty() {
            socket.send(&more).await;
        }
    }
    latencies_ms
}

/// Sends at a steady pace, and never more than may be in flight. Returns the milliseconds from when a message was due to
/// when it was acknowledged.
async fn publish_by_the_clock(mut socket: WebSocket, rooms: Rc<[RoomId]>, pace: f64, window: Window) -> Vec<f64> {
    const TICK: Duration = Duration::from_micros(500);
    let (body, start) = (body(), elapsed());
    let mut latencies_ms = Vec::new();
    let mut frames = Vec::new();
    let mut rooms = rooms.iter().cycle();
    let mut due = vec![start; IN_FLIGHT_MAX];
    let mut free: Vec<u32> = (0..IN_FLIGHT_MAX as u32).collect();
    let mut sent = 0_u64;
    while elapsed() < window.until || free.len() < IN_FLIGHT_MAX {
        let mut more = Vec::new();
        while elapsed() < window.until
            && let at = start + Duration::from_secs_f64(sent as f64 / pace)
            && at <= elapsed()
            && let Some(id) = free.pop()
        {
            due[id as usize] = at;
            more.push(publish(id, *rooms.next().expect("there are rooms"), &body));
            sent += 1;
        }
        if !more.is_empty() {
            socket.send(&more).await;
        }
        let _ = tokio::time::timeout(TICK, socket.recv_all(&mut frames)).await;
        let now = elapsed();
        for id in frames.drain(..).filter_map(|frame| acknowledged(&decode(&frame))) {
            if (window.from..window.until).contains(&now) {
                latencies_ms.push((now - due[id as usize]).as_secs_f64() * 1e3);
            }
            free.push(id);
        }
    }
    latencies_ms
}

async fn sleep_until(time: Duration) {
    tokio::time::sleep(time.saturating_sub(elapsed())).await;
}
