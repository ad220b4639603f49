//! The whole server with all six stock plugins beside the same without any, on a replay of what people really wrote: rates
//! of acknowledged messages (SQLite, 512 in flight, 8 accounts in 8 rooms that nobody reads) in turns of one run. Those who
//! write are members of long standing, and what `flood` counts is turned off, for a log of months is said in seconds: it looks at each text and remembers nothing.
//! Reads `../shared/data`, and says so when that is not there.

mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command as Program;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use confab_protocol::command::{Command, Reply, RequestId, RoomTarget, ServerFrame};
use confab_protocol::limits::IN_FLIGHT_MAX;
use confab_protocol::model::{Body, RoomId};
use support::process::Cores;
use support::server::Server;
use support::session::{Wire, call, decode, greet, new_room, publish};
use support::websocket::WebSocket;
use support::{elapsed, median, print_table};
use tokio::task::JoinSet;

const WRITERS: usize = 8;
/// Turns of each kind.
const TURNS: usize = 5;
/// Not counted: plugins start, caches fill.
const WARM_UP: Duration = Duration::from_millis(1_500);
const MEASURED: Duration = Duration::from_secs(4);
const ALL: &str = r#"["sanitize", "words", "links", "mentions", "newcomer", "flood"]"#;
/// By what they run with, which is not what a server has by itself: see [`BOUNDS`].
const NONE: &str = "none";
const SIX: &str = "six, flood not counting, nobody new";
/// What eight accounts say in seconds is no flood here, and nobody is new.
const BOUNDS: &str = "plugins.config.flood = { messages = 0, repeats = 0, copies = 0 }\n\
                      plugins.config.newcomer = { young_seconds = 1 }\n";

fn main() {
    if !support::is_wanted() {
        return;
    }
    let Some(log) = log() else {
        println!("not measured: chat-ubuntu-irc.tsv.gz is not there");
        return;
    };
    let cores = Cores::claim();
    let (mut rows, mut rates) = (Vec::new(), BTreeMap::<&str, Vec<f64>>::new());
    for _ in 0..TURNS {
        for (name, chain) in [(NONE, "[]"), (SIX, ALL)] {
            let (row, rate) = support::run(turn(cores, name, chain, &log));
            rows.push(row);
            rates.entry(name).or_default().push(rate);
        }
    }
    let head = ["plugins", "answers/s", "server CPU us/message", "appended", "altered", "held", "bounced or refused"];
    print_table("A replay of chat-ubuntu-irc over the whole server", &head, &rows);
    let [none, six] = [NONE, SIX].map(|name| median(&rates.remove(name).unwrap_or_default()));
    println!("median of {TURNS}: {NONE} {none:.0}/s, {SIX} {six:.0}/s: {:.2} of none", six / none);
}

fn log() -> Option<Rc<[Body]>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/chat-ubuntu-irc.tsv.gz");
    let output = path.exists().then(|| Program::new("zcat").arg(&path).output())?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.lines().filter_map(|line| Body::parse(line.splitn(4, '\t').nth(3)?).ok()).collect())
}

/// What became of messages.
#[derive(Clone, Copy, Default)]
struct Outcomes {
    appended: u64,
    altered: u64,
    held: u64,
    refused: u64,
}

impl Outcomes {
    fn note(&mut self, frame: &Bytes) -> Option<RequestId> {
        let ServerFrame::Reply { id, result } = decode(frame) else { return None };
        match result {
            Ok(Reply::Appended(appended)) => {
                self.appended += 1;
                self.altered += u64::from(appended.altered);
            }
            Ok(Reply::Held(_)) => self.held += 1,
            Err(reject) if (5_000..6_000).contains(&reject.code) => self.refused += 1,
            other => panic!("{other:?}"),
        }
        Some(id)
    }
}

async fn turn(cores: Cores, name: &str, chain: &str, log: &Rc<[Body]>) -> (Vec<String>, f64) {
    let change = |config: String| {
        let config = config.replace("[plugins]\nchain = [\"sanitize\"]\n", "");
        let bounds = if name == SIX { BOUNDS } else { "" };
        format!("plugins.chain = {chain}\n{bounds}{config}")
    };
    let server = Server::start_with(cores, change);
    let mut owner = WebSocket::connect(server.http).await;
    greet(&mut owner, &server.token).await;
    let mut rooms = Vec::with_capacity(WRITERS);
    for number in 0..WRITERS {
        rooms.push(new_room(&mut owner, &format!("moderated-{number}")).await.room);
    }
    let rooms: Rc<[RoomId]> = rooms.into();
    let mut sockets = Vec::with_capacity(WRITERS);
    for number in 0..WRITERS {
        // Owners and moderators are let alone by some plugins.
        let (_, token) = server.register(&format!("writer-{number}"));
        let mut socket = WebSocket::connect(server.http).await;
        greet(&mut socket, &token).await;
        for room in rooms.iter() {
            call(&mut socket, Command::JoinRoom(RoomTarget::Id(*room))).await;
        }
        sockets.push(socket);
    }
    // Nobody is new any more.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let from = elapsed() + WARM_UP;
    let until = from + MEASURED;
    let mut writers = JoinSet::new();
    for (number, socket) in sockets.into_iter().enumerate() {
        // Each from another place of the log on.
        let start = number * log.len() / WRITERS;
        writers.spawn_local(write(socket, Rc::clone(&rooms), Rc::clone(log), start, from..until));
    }
    tokio::time::sleep(from.saturating_sub(elapsed())).await;
    let cpu = server.process.cpu();
    tokio::time::sleep(until.saturating_sub(elapsed())).await;
    let cpu = server.process.cpu() - cpu;
    let mut all = Outcomes::default();
    for Outcomes { appended, altered, held, refused } in writers.join_all().await {
        all.appended += appended;
        all.altered += altered;
        all.held += held;
        all.refused += refused;
    }
    let answers = (all.appended + all.held + all.refused) as f64;
    let rate = answers / MEASURED.as_secs_f64();
    let mut row = vec![name.to_owned(), format!("{rate:.0}"), format!("{:.1}", cpu.as_secs_f64() * 1e6 / answers)];
    row.extend([all.appended, all.altered, all.held, all.refused].map(|count| count.to_string()));
    (row, rate)
}

/// Sends a message for each answer until the time is over. What was answered within it.
async fn write(
    mut socket: WebSocket,
    rooms: Rc<[RoomId]>,
    log: Rc<[Body]>,
    start: usize,
    window: std::ops::Range<Duration>,
) -> Outcomes {
    let (mut counted, mut before) = (Outcomes::default(), Outcomes::default());
    let mut frames = Vec::new();
    let mut said = log.iter().cycle().skip(start).zip(rooms.iter().cycle());
    let mut next = |id| {
        let (body, room) = said.next().expect("it has no end");
        publish(id, *room, body)
    };
    let first: Vec<_> = (0..).take(IN_FLIGHT_MAX).map(&mut next).collect();
    socket.send(&first).await;
    let mut open = IN_FLIGHT_MAX;
    while open > 0 {
        socket.recv_all(&mut frames).await;
        let now = elapsed();
        let outcomes = if window.contains(&now) { &mut counted } else { &mut before };
        let mut more = Vec::with_capacity(frames.len());
        for id in frames.drain(..).filter_map(|frame| outcomes.note(&frame)) {
            if now < window.end {
                more.push(next(id));
            } else {
                open -= 1;
            }
        }
        if !more.is_empty() {
            socket.send(&more).await;
        }
    }
    counted
}
