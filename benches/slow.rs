//! One reader of 201 stops reading for a minute while 1,000 messages a second are said: what the others notice, what
//! the server's memory does, and what the stopped one gets when it wakes. Over WebSocket, on SQLite.

mod support;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use confab_protocol::codec::decode_entry;
use confab_protocol::command::{Command, Push, Reply, ServerFrame};
use confab_protocol::limits::PAGE_ITEMS_MAX;
use confab_protocol::model::{Body, Cursor, EntryContent, Envelope, Incarnation, RoomId, Seq};
use support::process::Cores;
use support::server::Server;
use support::session::{BODY_BYTES, Wire, call, decode, follow, greet, new_room, publish, request};
use support::websocket::WebSocket;
use support::{elapsed, percentile, print_table};
use tokio::task::JoinSet;

const READERS: usize = 200;
/// Readers that look at every entry; the others only take their bytes.
const OBSERVERS: usize = 5;
/// Messages that are sent at once, and how often: 1,000 a second.
const AT_ONCE: u32 = 10;
const EVERY: Duration = Duration::from_millis(10);
const BEFORE: Duration = Duration::from_secs(20);
const STOPPED: Duration = Duration::from_secs(60);

/// A client says something in this time, or the server asks for a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(8);

/// What everybody looks at.
#[derive(Default)]
struct Shared {
    /// Latencies count into this one of the two phases.
    phase: Cell<usize>,
    is_over: Cell<bool>,
}

fn main() {
    if support::is_wanted() {
        let cores = Cores::claim();
        let rows = support::run(measure(cores));
        let head = ["others", "deliveries seen", "p50 ms", "p99 ms", "server RSS MiB at most"];
        print_table("200 readers at 1,000 messages/s", &head, &rows);
    }
}

async fn measure(cores: Cores) -> Vec<Vec<String>> {
    let server = Server::start(cores);
    let mut writer = connect(&server).await;
    let cursor = new_room(&mut writer, "slow").await;
    let shared = Rc::new(Shared::default());
    let mut readers = JoinSet::new();
    for number in 0..READERS {
        let mut socket = connect(&server).await;
        follow(&mut socket, cursor).await;
        readers.spawn_local(read(socket, Rc::clone(&shared), number < OBSERVERS));
    }
    let mut stopped = connect(&server).await;
    follow(&mut stopped, cursor).await;
    let writing = tokio::task::spawn_local(write(writer, cursor.room, Rc::clone(&shared)));
    // Until then it reads as the others do.
    let before = elapsed() + BEFORE;
    let (mut known, mut peaks) = (cursor.seq, [0.0_f64; 2]);
    let mut next_ping = elapsed();
    while elapsed() < before {
        ping(&mut stopped, &mut next_ping).await;
        known = last_of(&stopped.recv().await).unwrap_or(known);
        peaks[0] = peaks[0].max(server.process.rss_kib());
    }
    shared.phase.set(1);
    let until = elapsed() + STOPPED;
    while elapsed() < until {
        tokio::time::sleep(Duration::from_millis(100)).await;
        peaks[1] = peaks[1].max(server.process.rss_kib());
    }
    shared.is_over.set(true);
    let head = writing.await.expect("the writer ends");
    let latencies = readers.join_all().await;
    drop(stopped);
    wake(&server, cursor, known, head).await;
    let names = ["while all read", "while one does not"];
    let row = |phase: usize| {
        let all: Vec<f64> = latencies.iter().flat_map(|phases| phases[phase].iter().copied()).collect();
        let (p50, p99) = (percentile(&all, 50), percentile(&all, 99));
        vec![
            names[phase].to_owned(),
            all.len().to_string(),
            format!("{p50:.1}"),
            format!("{p99:.1}"),
            format!("{:.1}", peaks[phase] / 1024.0),
        ]
    };
    (0..2).map(row).collect()
}

async fn connect(server: &Server) -> WebSocket {
    let mut socket = WebSocket::connect(server.http).await;
    greet(&mut socket, &server.token).await;
    socket
}

/// Says when it was said, with each message.
async fn write(mut writer: WebSocket, room: RoomId, shared: Rc<Shared>) -> Seq {
    let mut next = elapsed();
    let mut head = Seq(0);
    while !shared.is_over.get() {
        let mut text = format!("{} ", elapsed().as_nanos());
        text.extend(std::iter::repeat_n('x', BODY_BYTES - text.len()));
        let body = Body::parse(&text).expect("a good body");
        let frames: Vec<Bytes> = (0..AT_ONCE).map(|id| publish(id, room, &body)).collect();
        writer.send(&frames).await;
        for _ in 0..AT_ONCE {
            match decode(&writer.recv().await) {
                ServerFrame::Reply { result: Ok(Reply::Appended(appended)), .. } => head = appended.seq,
                other => panic!("{other:?}"),
            }
        }
        next += EVERY;
        tokio::time::sleep(next.saturating_sub(elapsed())).await;
    }
    head
}

async fn read(mut socket: WebSocket, shared: Rc<Shared>, observes: bool) -> [Vec<f64>; 2] {
    let (mut latencies, mut frames) = ([Vec::new(), Vec::new()], Vec::new());
    let mut next_ping = elapsed();
    while !shared.is_over.get() {
        ping(&mut socket, &mut next_ping).await;
        if tokio::time::timeout(Duration::from_secs(1), socket.recv_all(&mut frames)).await.is_err() {
            break;
        }
        if observes {
            let now = elapsed();
            for frame in &frames {
                let ServerFrame::Push(Push::Entries(push)) = decode(frame) else { continue };
                let of_phase = &mut latencies[shared.phase.get()];
                of_phase.extend(push.entries.iter().filter_map(said_at).map(|at| (now - at).as_secs_f64() * 1e3));
            }
        }
        frames.clear();
    }
    latencies
}

async fn ping(socket: &mut WebSocket, next: &mut Duration) {
    if elapsed() >= *next {
        socket.send(&[request(0, Command::Ping)]).await;
        *next = elapsed() + HEARTBEAT;
    }
}

fn said_at(entry: &Envelope) -> Option<Duration> {
    let EntryContent::Message(message) = decode_entry(&entry.payload).ok()?.content else { return None };
    message.body.as_str().split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

fn last_of(frame: &Bytes) -> Option<Seq> {
    match decode(frame) {
        ServerFrame::Push(Push::Entries(push)) => push.entries.last().map(|entry| entry.seq),
        _ => None,
    }
}

/// Comes back with its cursor and pages everything that it missed.
async fn wake(server: &Server, cursor: Cursor, known: Seq, head: Seq) {
    let mut socket = connect(server).await;
    let start = elapsed();
    let mut seq = known;
    while seq < head {
        let cursor = Cursor { seq, incarnation: Incarnation(0), ..cursor };
        let Reply::Page(page) = call(&mut socket, Command::Sync { cursor, limit: PAGE_ITEMS_MAX }).await else {
            panic!("expected a page");
        };
        for entry in page.entries {
            assert_eq!(entry.seq, seq.next(), "complete");
            seq = entry.seq;
        }
    }
    let (count, took) = (head.0 - known.0, (elapsed() - start).as_secs_f64() * 1e3);
    println!(
        "the stopped reader knew {} and came back to {}: {count} entries, none missing, in {took:.0} ms",
        known.0, head.0
    );
}
