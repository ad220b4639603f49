//! One author writes what one of two plugins of the chain does not survive, each time in another way, as fast as they
//! may; eight people talk in eight other rooms. What those notice, before, meanwhile and after; what is counted; and what
//! the server's memory does. Over WebSocket, on SQLite.
//!
//! The server has one core and so one worker, which a guest keeps to itself for as long as its budget lasts: with more
//! of them others notice less. The limits on sending, 10 messages a second by default, are lifted.

mod support;
#[path = "../tests/plugin/hostile/table/module.rs"]
mod table;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use confab_protocol::command::{Reply, RequestId, ServerFrame};
use confab_protocol::limits::IN_FLIGHT_MAX;
use confab_protocol::model::{Body, RoomId};
use support::process::Cores;
use support::server::Server;
use support::session::{Wire, body, decode, greet, new_room, publish};
use support::websocket::WebSocket;
use support::{elapsed, percentile, print_table};
use tokio::task::JoinSet;

/// People who talk, each in a room of their own.
const TALKERS: u32 = 8;
/// Each of them says something this often: 500 messages a second by all.
const EVERY: Duration = Duration::from_millis(16);
const PHASE: Duration = Duration::from_secs(10);
/// Before the first of them.
const SETTLE: Duration = Duration::from_secs(1);
/// How often memory and metrics are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// What a hostile guest does, by the message that tells it to. "storm" may survive, and "forge" does: it is flagged, with
/// more than a finding may say.
const TRICKS: [&str; 8] = ["loop", "trap", "eat", "deep", "table", "storm", "flood", "forge"];
/// The first knows all tricks but "table", which grows a table without end; the second that one alone.
const HOSTILE: [&str; 2] = ["hostile", "table"];

/// What happens meanwhile, and how many messages of the hostile author's wait for their answers.
const PHASES: [(&str, usize); 4] = [
    ("before", 0),
    ("one hostile author, message by message", 1),
    ("the same, as many at once as may be", IN_FLIGHT_MAX),
    ("after", 0),
];

const TRAPS: &str = "confab_plugin_traps_total{";
const BREAKER: &str = "confab_plugin_breaker_state{";

/// What everybody looks at.
struct Stage {
    /// Of [`PHASES`]; before the first it is none of them.
    phase: Cell<usize>,
    is_over: Cell<bool>,
}

/// What somebody who talks noticed of a phase.
#[derive(Clone, Default)]
struct Noticed {
    /// From sending a message to its acknowledgement, milliseconds.
    latencies: Vec<f64>,
    /// Messages that got another answer.
    refused: usize,
}

/// What the server said of a phase.
#[derive(Default)]
struct Counted {
    hostile: u32,
    traps: BTreeMap<String, f64>,
    /// What was seen of either.
    breaker: BTreeSet<String>,
    rss_kib: f64,
}

fn main() {
    if support::is_wanted() {
        let cores = Cores::claim();
        let rows = support::run(measure(cores));
        let head = [
            "others, meanwhile",
            "messages",
            "refused",
            "p50 ms",
            "p99 ms",
            "max ms",
            "hostile",
            "traps",
            "breaker",
            "RSS MiB at most",
        ];
        print_table("8 people in 8 rooms at 500 messages/s, from message to acknowledgement", &head, &rows);
    }
}

async fn measure(cores: Cores) -> Vec<Vec<String>> {
    let folder = plugins();
    let server = start(cores, folder.path());
    let (mut people, mut talkers, mut counted) = (Vec::new(), JoinSet::new(), Vec::new());
    for number in 0..TALKERS {
        people.push(connect(&server, &format!("talker-{number}")).await);
    }
    let (mut hostile, room) = connect(&server, "hostile").await;
    let stage = Rc::new(Stage { phase: Cell::new(PHASES.len()), is_over: Cell::new(false) });
    for (number, (socket, room)) in (0..).zip(people) {
        // They take turns: one of them every 2 ms.
        talkers.spawn_local(talk(socket, room, EVERY / TALKERS * number, Rc::clone(&stage)));
    }
    tokio::time::sleep(SETTLE).await;
    for (number, (name, in_flight)) in PHASES.into_iter().enumerate() {
        stage.phase.set(number);
        let (before, until) = (values(&server.metrics().await, TRAPS), elapsed() + PHASE);
        let (mut seen, sent) = tokio::join!(watch(&server, until), attack(&mut hostile, room, in_flight, until));
        seen.hostile = sent;
        seen.traps = values(&server.metrics().await, TRAPS);
        for (labels, count) in &mut seen.traps {
            *count -= before.get(labels).copied().unwrap_or_default();
        }
        tell_kinds(name, &seen.traps);
        counted.push(seen);
    }
    stage.is_over.set(true);
    let noticed = talkers.join_all().await;
    counted.iter().enumerate().map(|(phase, counted)| row(phase, &noticed, counted)).collect()
}

/// A folder with the stock filter and the hostile guests.
fn plugins() -> tempfile::TempDir {
    let (folder, assets) = (support::server::data_dir(), Path::new(env!("CARGO_MANIFEST_DIR")).join("target/assets"));
    for file in
        ["plugins/sanitize.wasm", "plugins/sanitize.toml", "test-plugins/hostile.wasm", "test-plugins/hostile.toml"]
    {
        let (from, name) = (assets.join(file), file.rsplit('/').next().unwrap_or(file));
        let copied = std::fs::copy(&from, folder.path().join(name));
        let missing = "run `cargo xtask plugins` and `cargo xtask test-plugins`";
        copied.unwrap_or_else(|error| panic!("{}: {error}; {missing}", from.display()));
    }
    let write = |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content).expect("a good disk");
    write("table.wasm", &table::component(0));
    write("table.toml", table::MANIFEST.as_bytes());
    folder
}

/// With all of them in its chain, and without the line that it logs for each failure.
fn start(cores: Cores, folder: &Path) -> Server {
    let (stock, folder) = ("chain = [\"sanitize\"]\n", folder.display().to_string());
    let chain = format!(
        "dir = {folder:?}\nchain = [\"sanitize\", \"hostile\", \"table\"]\ngrant.hostile = [\"log\", \"kv\"]\n"
    );
    Server::start_with(cores, |config| {
        assert!(config.contains(stock), "the chain is to be changed");
        config.replace(stock, &chain).replace("filter = \"warn\"", "filter = \"error\"")
    })
}

/// Somebody with an account and a room of their own.
async fn connect(server: &Server, name: &str) -> (WebSocket, RoomId) {
    let (_, token) = server.register(name);
    let mut socket = WebSocket::connect(server.http).await;
    greet(&mut socket, &token).await;
    let room = new_room(&mut socket, name).await.room;
    (socket, room)
}

/// Says something whenever it is time, however long the answers take: who waits for them hardly notices a standstill.
async fn talk(mut socket: WebSocket, room: RoomId, first: Duration, stage: Rc<Stage>) -> Vec<Noticed> {
    let (body, mut noticed) = (body(), vec![Noticed::default(); PHASES.len()]);
    let mut waiting: HashMap<RequestId, (Duration, usize)> = HashMap::new();
    let (mut id, mut next) = (0, elapsed() + first);
    while !stage.is_over.get() {
        let wait = next.saturating_sub(elapsed());
        if wait.is_zero() {
            waiting.insert(id, (elapsed(), stage.phase.get()));
            socket.send(&[publish(id, room, &body)]).await;
            id += 1;
            next += EVERY;
            continue;
        }
        let Ok(frame) = tokio::time::timeout(wait, socket.recv()).await else { continue };
        let ServerFrame::Reply { id, result } = decode(&frame) else { continue };
        let (sent, phase) = waiting.remove(&id).expect("an answer to a message");
        let Some(of_phase) = noticed.get_mut(phase) else { continue };
        match result {
            Ok(Reply::Appended(_)) => of_phase.latencies.push((elapsed() - sent).as_secs_f64() * 1e3),
            _ => of_phase.refused += 1,
        }
    }
    noticed
}

/// Writes one trick after the other, so that so many always wait for their answers, and returns how many there were
/// when all have one.
async fn attack(socket: &mut WebSocket, room: RoomId, in_flight: usize, until: Duration) -> u32 {
    let tricks = TRICKS.map(|trick| Body::parse(trick).expect("a good body"));
    let (mut tricks, mut sent, mut waiting, mut frames) = (tricks.iter().cycle(), 0, 0, Vec::new());
    loop {
        let wanted = if elapsed() < until { in_flight - waiting } else { 0 };
        let messages: Vec<Bytes> =
            (sent..).zip(tricks.by_ref().take(wanted)).map(|(id, trick)| publish(id, room, trick)).collect();
        if !messages.is_empty() {
            socket.send(&messages).await;
            sent += messages.len() as u32;
            waiting += messages.len();
        }
        if waiting == 0 {
            return sent;
        }
        socket.recv_all(&mut frames).await;
        waiting -= frames.drain(..).filter(|frame| matches!(decode(frame), ServerFrame::Reply { .. })).count();
    }
}

/// What can be seen of the server until then.
async fn watch(server: &Server, until: Duration) -> Counted {
    let mut seen = Counted::default();
    while elapsed() < until {
        tokio::time::sleep(LOOK_EVERY.min(until.saturating_sub(elapsed()))).await;
        seen.rss_kib = seen.rss_kib.max(server.process.rss_kib());
        let metrics = values(&server.metrics().await, BREAKER);
        let is_hostile = |labels: &str| HOSTILE.iter().any(|id| labels.contains(&format!("\"{id}\"")));
        let states = metrics.iter().filter(|(labels, _)| is_hostile(labels)).map(|(_, state)| *state);
        seen.breaker.extend(states.map(|state| match state as i64 {
            0 => "closed".to_owned(),
            1 => "half open".to_owned(),
            _ => "open".to_owned(),
        }));
    }
    seen
}

/// The values of a metric, by their labels.
fn values(metrics: &str, name: &str) -> BTreeMap<String, f64> {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
    lines.filter_map(|(labels, value)| Some((labels.to_owned(), value.trim().parse().ok()?))).collect()
}

fn tell_kinds(name: &str, traps: &BTreeMap<String, f64>) {
    // The labels are the kind and the plugin.
    let label = |labels: &str, at: usize| labels.split('"').nth(at).unwrap_or(labels).to_owned();
    let failed = traps.iter().filter(|(_, count)| **count > 0.0);
    let kinds: Vec<String> =
        failed.map(|(labels, count)| format!("{} {} {count}", label(labels, 3), label(labels, 1))).collect();
    if !kinds.is_empty() {
        println!("{name}, traps: {}", kinds.join(", "));
    }
}

fn row(phase: usize, noticed: &[Vec<Noticed>], counted: &Counted) -> Vec<String> {
    let of_phase = || noticed.iter().filter_map(|phases| phases.get(phase));
    let latencies: Vec<f64> = of_phase().flat_map(|noticed| noticed.latencies.iter().copied()).collect();
    let max = latencies.iter().copied().fold(0.0, f64::max);
    vec![
        PHASES.get(phase).map_or("", |(name, _)| name).to_owned(),
        latencies.len().to_string(),
        of_phase().map(|noticed| noticed.refused).sum::<usize>().to_string(),
        format!("{:.1}", percentile(&latencies, 50)),
        format!("{:.1}", percentile(&latencies, 99)),
        format!("{max:.1}"),
        counted.hostile.to_string(),
        counted.traps.values().map(|count| *count as u64).sum::<u64>().to_string(),
        counted.breaker.iter().cloned().collect::<Vec<_>>().join(", "),
        format!("{:.1}", counted.rss_kib / 1024.0),
    ]
}
