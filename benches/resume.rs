//! Coming back: a reader of 1,000 rooms who missed ten messages in each, 10,000 in all. From the first `resume` (200
//! cursors each) until everything missed has come, over WebSocket, on both stores; and the bytes of it.

#[path = "../tests/support/postgres.rs"]
#[allow(dead_code, unreachable_pub, clippy::pedantic, clippy::disallowed_methods, reason = "shared with the tests")]
mod postgres;
mod support;

use std::collections::HashMap;
use std::time::Duration;

use confab_protocol::command::{Command, Push, Reply, ServerFrame};
use confab_protocol::limits::{IN_FLIGHT_MAX, RESUME_CURSORS_MAX};
use confab_protocol::model::{Cursor, RoomId, Seq};
use postgres::Cluster;
use support::process::Cores;
use support::server::Server;
use support::session::{Wire, acknowledged, body, decode, greet, new_room, publish, request};
use support::websocket::WebSocket;
use support::{elapsed, print_table};

const ROOMS: usize = 1_000;
const MISSED: u64 = 10;
const REPEATS: usize = 5;

fn main() {
    if !support::is_wanted() {
        return;
    }
    let cores = Cores::claim();
    let mut rows = vec![support::run(measure(cores, "SQLite", None))];
    let cluster = Cluster::start();
    cluster.create_database("resume");
    rows.push(support::run(measure(cores, "PostgreSQL", Some(cluster.url("resume")))));
    let head = ["store", "rooms", "entries", "median ms", "KiB", "server CPU us/entry"];
    print_table("Resume after a gap", &head, &rows);
}

async fn measure(cores: Cores, store: &str, database: Option<String>) -> Vec<String> {
    let tables = database.map_or(String::new(), |url| format!("[store]\nurl = {url:?}\n"));
    let server = Server::start_on(cores, &tables);
    let mut writer = connect(&server).await;
    let mut cursors = Vec::with_capacity(ROOMS);
    for number in 0..ROOMS {
        cursors.push(new_room(&mut writer, &format!("resume-{number}")).await);
    }
    fill(&mut writer, &cursors).await;
    let cpu = server.process.cpu();
    let mut times_ms = Vec::with_capacity(REPEATS);
    let mut bytes = 0;
    for _ in 0..REPEATS {
        let mut reader = connect(&server).await;
        let start = elapsed();
        bytes = come_back(&mut reader, &cursors).await;
        times_ms.push((elapsed() - start).as_secs_f64() * 1e3);
    }
    let cpu: Duration = server.process.cpu() - cpu;
    let entries = ROOMS as u64 * MISSED;
    let each = cpu.as_secs_f64() * 1e6 / (entries as f64 * REPEATS as f64);
    vec![
        store.to_owned(),
        ROOMS.to_string(),
        entries.to_string(),
        format!("{:.0}", support::median(&times_ms)),
        format!("{:.0}", bytes as f64 / 1024.0),
        format!("{each:.1}"),
    ]
}

async fn connect(server: &Server) -> WebSocket {
    let mut socket = WebSocket::connect(server.http).await;
    greet(&mut socket, &server.token).await;
    socket
}

async fn fill(writer: &mut WebSocket, cursors: &[Cursor]) {
    let body = body();
    for rooms in cursors.chunks(IN_FLIGHT_MAX) {
        for _ in 0..MISSED {
            let frames: Vec<_> = (0..).zip(rooms).map(|(id, cursor)| publish(id, cursor.room, &body)).collect();
            writer.send(&frames).await;
            let mut open = frames.len();
            while open > 0 {
                open -= usize::from(acknowledged(&decode(&writer.recv().await)).is_some());
            }
        }
    }
}

/// Subscribes to everything and waits for everything; the bytes of all frames.
async fn come_back(reader: &mut WebSocket, cursors: &[Cursor]) -> usize {
    let mut known: HashMap<RoomId, Seq> = cursors.iter().map(|cursor| (cursor.room, cursor.seq)).collect();
    let asks = (0..).zip(cursors.chunks(RESUME_CURSORS_MAX));
    let frames: Vec<_> = asks.map(|(id, cursors)| request(id, Command::Resume(cursors.to_vec()))).collect();
    reader.send(&frames).await;
    let (mut bytes, mut behind) = (0, known.len());
    while behind > 0 {
        let frame = reader.recv().await;
        bytes += frame.len();
        match decode(&frame) {
            // Who is here is told beside it, and is not waited for.
            ServerFrame::Reply { result: Ok(Reply::Resumed(_)), .. } | ServerFrame::Push(Push::Ephemeral(_)) => {}
            ServerFrame::Push(Push::Entries(push)) => {
                let seq = known.get_mut(&push.room).expect("a room that was asked for");
                for entry in push.entries {
                    assert_eq!(entry.seq, seq.next(), "without a gap");
                    *seq = entry.seq;
                }
                behind -= usize::from(seq.0 == 1 + MISSED);
            }
            other => panic!("{other:?}"),
        }
    }
    bytes
}
