//! Acknowledged durable messages per second, over WebSocket, with the embedded store (SQLite, WAL,
//! `synchronous=FULL`) on the disk of the target folder, the same sealed (`store.seal_keys`), and with a PostgreSQL of its
//! own: 1, 64 and 512 in flight, in 8 rooms nobody reads. A connection may have 64 requests in flight, so 512 are 8
//! connections. Half load is half the rate that these reached, sent by the clock: a message's time counts from when it was
//! due, whether it could be sent then or not.
//!
//! 512 in flight are measured in turns with the raw store: the same driver in this process, nobody to answer, unsealed,
//! which commits as many entries at once as the server did on average in the same turn. Figures of both are medians, and
//! the share is the median and the range of the turns. The raw store has the cores of the server, which is paused
//! meanwhile: what it has left to index would take its part.
//!
//! Two ways. Apart, server and load have a core each: what a message costs the server. The raw store on that one core has
//! nothing to do but to write, where the server also reads, checks, asks its plugin and answers, so the share is of CPU.
//! Together, both cores are for both, load and PostgreSQL included, as on anybody's machine: the share of what this machine
//! can keep, which is what is wanted to be 0.6.
//!
//! `cargo bench --bench publish -- sqlite` is a part alone: `sqlite`, `sealed` or `postgres`.

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
use raw::Raw;
use support::process::Cores;
use support::server::Server;
use support::session::{Wire, acknowledged, body, decode, greet, new_room, publish};
use support::websocket::WebSocket;
use support::{elapsed, median, percentile, print_table, verdict};
use tokio::task::JoinSet;

const ROOMS: usize = 8;
const LOADS: [Load; 2] =
    [Load { connections: 1, in_flight: 1, pace: None }, Load { connections: 1, in_flight: IN_FLIGHT_MAX, pace: None }];
/// In turns with the raw store.
const MOST: Load = Load { connections: 8, in_flight: IN_FLIGHT_MAX, pace: None };
const TURNS: usize = 5;
/// Not counted.
const WARM_UP: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(4);
/// Wanted with the most in flight.
const ACKS_PER_SECOND_MIN: f64 = 20_000.0;
/// And of what the store's driver does with the same batches and nobody to answer.
const SHARE_OF_RAW_MIN: f64 = 0.6;
const HEAD: [&str; 12] = [
    "cores",
    "in flight",
    "connections",
    "acks/s",
    "entries a commit",
    "p50 ms",
    "p99 ms",
    "server CPU us/message",
    "raw entries/s",
    "share of raw",
    "target",
    "met",
];

fn main() {
    if !support::is_wanted() {
        return;
    }
    let parts = support::parts(&["sqlite", "sealed", "postgres"]);
    let apart = Cores::claim();
    for part in parts {
        let (title, of_part): (_, fn(Cores) -> Rows) = match part {
            "sqlite" => ("SQLite FULL", over_sqlite),
            "sealed" => ("SQLite FULL, sealed", over_sealed),
            _ => ("PostgreSQL on this machine", over_postgres),
        };
        let mut rows = of_part(apart);
        rows.extend(of_part(apart.together()));
        apart.take();
        print_table(
            &format!("Publish to acknowledged, {title} (200-byte bodies, plugin chain: sanitize)"),
            &HEAD,
            &rows,
        );
    }
}

type Rows = Vec<Vec<String>>;

fn over_sqlite(cores: Cores) -> Rows {
    support::run(measure(cores, "", raw::sqlite()))
}

fn over_sealed(cores: Cores) -> Rows {
    let keys = tempfile::NamedTempFile::new().expect("a file for keys");
    std::fs::write(keys.path(), format!("1 {}\n", "5a".repeat(32))).expect("a file for keys");
    let sealed = format!("[store]\nseal_keys = \"{}\"\n", keys.path().display());
    support::run(measure(cores, &sealed, raw::sqlite()))
}

fn over_postgres(cores: Cores) -> Rows {
    let cluster = Cluster::start();
    let url = |name: &str| {
        cluster.create_database(name);
        cluster.url(name)
    };
    let store = format!("[store]\nurl = {:?}\n", url("server"));
    support::run(measure(cores, &store, raw::postgres(url("raw"))))
}

async fn measure(cores: Cores, store: &str, raw: impl Future<Output = Raw>) -> Rows {
    let mut raw = cores.on_server_core(raw).await;
    let server = Server::start_on(cores, store);
    let mut socket = connect(&server).await;
    let mut rooms = Vec::with_capacity(ROOMS);
    for number in 0..ROOMS {
        rooms.push(new_room(&mut socket, &format!("publish-{number}")).await.room);
    }
    let rooms: Rc<[RoomId]> = rooms.into();
    let mut rows = Vec::with_capacity(LOADS.len() + 2);
    if cores.are_apart() {
        for load in LOADS {
            rows.push(measure_load(&server, &rooms, load).await.row(cores, load, nothing_beside()));
        }
    }
    let (most, beside) = take_turns(cores, &server, &rooms, &mut raw).await;
    rows.push(most.row(cores, MOST, beside));
    let half = Load { pace: Some(most.acks_per_second / 2.0), ..MOST };
    rows.push(measure_load(&server, &rooms, half).await.row(cores, half, nothing_beside()));
    rows
}

fn nothing_beside() -> [String; 4] {
    ["-"; 4].map(str::to_owned)
}

/// The most in flight and the raw store that does the same batches: the middle of each figure, and the columns of the
/// raw store.
async fn take_turns(cores: Cores, server: &Server, rooms: &Rc<[RoomId]>, raw: &mut Raw) -> (Measured, [String; 4]) {
    let (mut turns, mut raws, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..TURNS {
        let turn = measure_load(server, rooms, MOST).await;
        let batch = (turn.batch.round() as usize).max(1);
        server.process.pause();
        let entries_per_second = cores.on_server_core(raw.entries_per_second(batch)).await;
        server.process.go_on();
        shares.push(turn.acks_per_second / entries_per_second);
        raws.push(entries_per_second);
        turns.push(turn);
    }
    let most = Measured::middle(&turns);
    let share = median(&shares);
    let (target, met) = if cores.are_apart() {
        (format!(">= {ACKS_PER_SECOND_MIN}/s"), most.acks_per_second >= ACKS_PER_SECOND_MIN)
    } else {
        (format!(">= {SHARE_OF_RAW_MIN} of raw"), share >= SHARE_OF_RAW_MIN)
    };
    let beside = [
        format!("{:.0}", median(&raws)),
        format!("{share:.2} ({:.2} to {:.2})", percentile(&shares, 0), percentile(&shares, 100)),
        target,
        verdict(met),
    ];
    (most, beside)
}

#[derive(Clone, Copy)]
struct Load {
    connections: usize,
    /// On each, at most.
    in_flight: usize,
    /// Messages per second, all connections together.
    pace: Option<f64>,
}

/// What came of a load.
struct Measured {
    acks_per_second: f64,
    /// Entries in a commit, on average.
    batch: f64,
    p50_ms: f64,
    p99_ms: f64,
    /// CPU time of the server for each message, microseconds.
    cpu_us: f64,
}

impl Measured {
    /// Of each figure by itself.
    fn middle(turns: &[Self]) -> Self {
        let of = |figures: Vec<f64>| median(&figures);
        Self {
            acks_per_second: of(turns.iter().map(|turn| turn.acks_per_second).collect()),
            batch: of(turns.iter().map(|turn| turn.batch).collect()),
            p50_ms: of(turns.iter().map(|turn| turn.p50_ms).collect()),
            p99_ms: of(turns.iter().map(|turn| turn.p99_ms).collect()),
            cpu_us: of(turns.iter().map(|turn| turn.cpu_us).collect()),
        }
    }

    fn row(&self, cores: Cores, Load { connections, in_flight, pace }: Load, beside: [String; 4]) -> Vec<String> {
        let in_flight = pace.map_or((connections * in_flight).to_string(), |pace| format!("half load: {pace:.0}/s"));
        let mut row = vec![
            if cores.are_apart() { "apart" } else { "together" }.to_owned(),
            in_flight,
            connections.to_string(),
            format!("{:.0}", self.acks_per_second),
            format!("{:.1}", self.batch),
            format!("{:.2}", self.p50_ms),
            format!("{:.2}", self.p99_ms),
            format!("{:.1}", self.cpu_us),
        ];
        row.extend(beside);
        row
    }
}

async fn connect(server: &Server) -> WebSocket {
    let mut socket = WebSocket::connect(server.http).await;
    greet(&mut socket, &server.token).await;
    socket
}

async fn measure_load(server: &Server, rooms: &Rc<[RoomId]>, load: Load) -> Measured {
    let Load { connections, in_flight, pace } = load;
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
    let (commits, entries) = count_commits(server).await;
    sleep_until(window.until).await;
    let cpu = server.process.cpu() - cpu;
    let (commits_then, entries_then) = count_commits(server).await;
    let latencies_ms = publishers.join_all().await.concat();
    let acks = latencies_ms.len() as f64;
    Measured {
        acks_per_second: acks / MEASURED.as_secs_f64(),
        batch: (entries_then - entries) / (commits_then - commits),
        p50_ms: percentile(&latencies_ms, 50),
        p99_ms: percentile(&latencies_ms, 99),
        cpu_us: cpu.as_secs_f64() * 1e6 / acks,
    }
}

/// What the server has committed so far: how often, and how many entries.
async fn count_commits(server: &Server) -> (f64, f64) {
    let metrics = server.metrics().await;
    let value = |name: &str| {
        let found = metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        found.expect("the server counts them")
    };
    (value("confab_append_batch_entries_count "), value("confab_append_batch_entries_sum "))
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
