//! The whole server with all six stock plugins beside the same without any, on a replay of what people really wrote: rates
//! of acknowledged messages (SQLite, 512 in flight, rooms that nobody reads) in turns of one run. Who writes is a member
//! and has an account of a month.
//!
//! A few who say a log of months in seconds are a flood: with eight accounts in eight rooms, what `flood` counts is off,
//! and it looks at each text and remembers nothing. With 128 accounts in 128 rooms, each of which says what one nick of the
//! log said, all plugins are as they are by default. Nobody says more in a room than `flood` lets through then, but what it
//! remembers of an author is as long as it may be, for all are faster than anybody types. With so many the load may be
//! what bounds the rate of `none`: the CPU of the server says what a message costs.
//!
//! Reads `../shared/data`, and says so when that is not there.

mod support;

use std::collections::{BTreeMap, HashMap};
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
use support::session::{Wire, decode, greet, new_room, publish, request};
use support::websocket::WebSocket;
use support::{elapsed, median, print_table};
use tokio::task::JoinSet;

/// Those who say the log together, each from another place on.
const FEW: usize = 8;
/// Those who say each what one nick said, of the nicks that said most.
const MANY: usize = 128;
/// Messages that wait for their answers, of all.
const IN_FLIGHT: usize = FEW * IN_FLIGHT_MAX;
/// Nobody is new.
const AGE: Duration = Duration::from_secs(30 * 86_400);
/// Turns of each kind.
const TURNS: usize = 5;
/// Not counted: plugins start, caches fill.
const WARM_UP: Duration = Duration::from_millis(1_500);
const MEASURED: Duration = Duration::from_secs(4);
const ALL: &str = r#"["sanitize", "words", "links", "mentions", "newcomer", "flood"]"#;
/// What eight accounts say in seconds is no flood here.
const UNCOUNTED: &str = "plugins.config.flood = { messages = 0, repeats = 0, copies = 0 }\n";

/// What looks at messages, and how many write them, in as many rooms.
struct Kind {
    name: &'static str,
    chain: &'static str,
    /// What plugins are told that they are not by themselves.
    config: &'static str,
    writers: usize,
}

/// One with plugins behind the same without.
const KINDS: [Kind; 4] = [
    Kind { name: "none", chain: "[]", config: "", writers: FEW },
    Kind { name: "six, flood not counting", chain: ALL, config: UNCOUNTED, writers: FEW },
    Kind { name: "none, 128 accounts", chain: "[]", config: "", writers: MANY },
    Kind { name: "six by default, 128 accounts", chain: ALL, config: "", writers: MANY },
];

fn main() {
    if !support::is_wanted() {
        return;
    }
    let Some(log) = Log::read() else {
        println!("not measured: chat-ubuntu-irc.tsv.gz is not there");
        return;
    };
    let cores = Cores::claim();
    let (mut rows, mut found) = (Vec::new(), BTreeMap::<&str, [Vec<f64>; 2]>::new());
    for _ in 0..TURNS {
        for kind in &KINDS {
            let (row, rate, cpu_us) = support::run(turn(cores, kind, &log));
            rows.push(row);
            let [rates, costs] = found.entry(kind.name).or_default();
            rates.push(rate);
            costs.push(cpu_us);
        }
    }
    let head = ["plugins", "answers/s", "server CPU us/message", "appended", "altered", "held", "bounced or refused"];
    print_table("A replay of chat-ubuntu-irc over the whole server", &head, &rows);
    for pair in KINDS.chunks_exact(2) {
        let medians =
            pair.iter().filter_map(|kind| Some((kind.name, found.get(kind.name)?.each_ref().map(|it| median(it)))));
        let [(none, [none_rate, none_us]), (six, [six_rate, six_us])] = medians.collect::<Vec<_>>()[..] else {
            continue;
        };
        let share = six_rate / none_rate;
        println!("median of {TURNS}: {none} {none_rate:.0}/s, {six} {six_rate:.0}/s: {share:.2} of none");
        println!("server CPU: {none} {none_us:.1} us/message, {six} {six_us:.1}");
    }
}

/// What people wrote.
struct Log {
    all: Rc<[Body]>,
    /// Of the nicks that said most, first who said most of all.
    by_nick: Vec<Rc<[Body]>>,
}

impl Log {
    fn read() -> Option<Self> {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data/chat-ubuntu-irc.tsv.gz");
        let output = path.exists().then(|| Program::new("zcat").arg(&path).output())?.ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (mut all, mut nicks) = (Vec::new(), HashMap::<&str, Vec<Body>>::new());
        for line in text.lines() {
            // The day, the time, who and what.
            let mut fields = line.splitn(4, '\t').skip(2);
            let (Some(nick), Some(Ok(body))) = (fields.next(), fields.next().map(Body::parse)) else { continue };
            nicks.entry(nick).or_default().push(body.clone());
            all.push(body);
        }
        let mut nicks: Vec<(&str, Vec<Body>)> = nicks.into_iter().collect();
        // Of two who said as much always the same one first.
        nicks.sort_by(|one, other| other.1.len().cmp(&one.1.len()).then_with(|| one.0.cmp(other.0)));
        let by_nick: Vec<Rc<[Body]>> = nicks.into_iter().take(MANY).map(|(_, said)| said.into()).collect();
        assert_eq!(by_nick.len(), MANY, "a log of many");
        Some(Self { all: all.into(), by_nick })
    }

    /// What one of so many says, and from which place on.
    fn share(&self, number: usize, writers: usize) -> (Rc<[Body]>, usize) {
        let own = if writers == MANY { self.by_nick.get(number) } else { None };
        own.map_or_else(|| (Rc::clone(&self.all), number * self.all.len() / writers), |own| (Rc::clone(own), 0))
    }
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

/// A row, answers a second, and what each costs the server.
async fn turn(cores: Cores, kind: &Kind, log: &Log) -> (Vec<String>, f64, f64) {
    let Kind { name, chain, config: told, writers } = *kind;
    let server = Server::start_with(cores, |config| {
        let config = config.replace("[plugins]\nchain = [\"sanitize\"]\n", "");
        format!("plugins.chain = {chain}\n{told}{config}")
    });
    let mut owner = WebSocket::connect(server.http).await;
    greet(&mut owner, &server.token).await;
    let mut rooms = Vec::with_capacity(writers);
    for number in 0..writers {
        rooms.push(new_room(&mut owner, &format!("moderated-{number}")).await.room);
    }
    // Owners and moderators are let alone by some plugins.
    let names: Vec<String> = (0..writers).map(|number| format!("writer-{number}")).collect();
    let mut sockets = Vec::with_capacity(writers);
    for token in server.old_accounts(&names, AGE).await {
        sockets.push(enter(&server, &token, &rooms).await);
    }
    assert_eq!(sockets.len(), writers, "a token for each");
    let from = elapsed() + WARM_UP;
    let until = from + MEASURED;
    let mut tasks = JoinSet::new();
    for (number, socket) in sockets.into_iter().enumerate() {
        let (said, start) = log.share(number, writers);
        // Not all of them in the same room at once.
        let mut own_rooms = rooms.clone();
        own_rooms.rotate_left(number);
        tasks.spawn_local(write(socket, own_rooms, said, start, IN_FLIGHT / writers, from..until));
    }
    tokio::time::sleep(from.saturating_sub(elapsed())).await;
    let cpu = server.process.cpu();
    tokio::time::sleep(until.saturating_sub(elapsed())).await;
    let cpu = server.process.cpu() - cpu;
    let mut all = Outcomes::default();
    for Outcomes { appended, altered, held, refused } in tasks.join_all().await {
        all.appended += appended;
        all.altered += altered;
        all.held += held;
        all.refused += refused;
    }
    let answers = (all.appended + all.held + all.refused) as f64;
    let (rate, cpu_us) = (answers / MEASURED.as_secs_f64(), cpu.as_secs_f64() * 1e6 / answers);
    let mut row = vec![name.to_owned(), format!("{rate:.0}"), format!("{cpu_us:.1}")];
    row.extend([all.appended, all.altered, all.held, all.refused].map(|count| count.to_string()));
    (row, rate, cpu_us)
}

/// A connection of a member of all these rooms.
async fn enter(server: &Server, token: &str, rooms: &[RoomId]) -> WebSocket {
    let mut socket = WebSocket::connect(server.http).await;
    greet(&mut socket, token).await;
    for rooms in rooms.chunks(IN_FLIGHT_MAX) {
        let join = |room: &RoomId| Command::JoinRoom(RoomTarget::Id(*room));
        let joins: Vec<Bytes> = (0..).zip(rooms).map(|(id, room)| request(id, join(room))).collect();
        socket.send(&joins).await;
        let mut open = joins.len();
        while open > 0 {
            if let ServerFrame::Reply { result, .. } = decode(&socket.recv().await) {
                assert!(result.is_ok(), "a room was not entered: {result:?}");
                open -= 1;
            }
        }
    }
    socket
}

/// Sends a message for each answer until the time is over. What was answered within it.
async fn write(
    mut socket: WebSocket,
    rooms: Vec<RoomId>,
    said: Rc<[Body]>,
    start: usize,
    in_flight: usize,
    window: std::ops::Range<Duration>,
) -> Outcomes {
    let (mut counted, mut before) = (Outcomes::default(), Outcomes::default());
    let mut frames = Vec::new();
    let mut said = said.iter().cycle().skip(start).zip(rooms.iter().cycle());
    let mut next = |id| {
        let (body, room) = said.next().expect("it has no end");
        publish(id, *room, body)
    };
    let first: Vec<_> = (0..).take(in_flight).map(&mut next).collect();
    socket.send(&first).await;
    let mut open = in_flight;
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
