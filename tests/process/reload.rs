//! What SIGHUP takes up of a configuration, and what it says of the rest.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command as Program;

use confab_client::Event;
use confab_protocol::command::{Command, Login, Reply, Secret, Session};
use confab_protocol::model::DeviceName;

use crate::support::commands::register;
use crate::support::people::PASSWORD;
use crate::support::process::{PATIENCE, Place, Running, eventually};
use crate::support::raw::{Raw, Target, client_id, now, publish};
use crate::support::{TRANSPORTS, Transport};

pub(super) fn hang_up(server: &Running) {
    server.reload();
}

/// Writes the configuration anew with these keys, which may stand in it already.
pub(super) fn set(place: &Place, keys: &[(&str, &str)]) {
    let text = std::fs::read_to_string(place.config_file()).unwrap();
    let is_set = |line: &&str| !keys.iter().any(|(key, _)| line.starts_with(&format!("{key} =")));
    let mut lines: Vec<String> = text.lines().filter(is_set).map(str::to_owned).collect();
    lines.extend(keys.iter().map(|(key, value)| format!("{key} = {value}")));
    std::fs::write(place.config_file(), lines.join("\n") + "\n").unwrap();
}

/// The status of a login from a page of this origin; there is no such account. Nothing where nobody answers.
fn status_from(place: &Place, origin: &str) -> String {
    let body = r#"{"username":"nobody","password":"a long password"}"#;
    let mut stream = TcpStream::connect(place.http).unwrap();
    let request = format!(
        "POST /api/v1/login HTTP/1.1\r\nhost: {}\r\norigin: {origin}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        place.http,
        body.len()
    );
    let _ = stream.write_all(request.as_bytes());
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer.split(' ').nth(1).unwrap_or_default().to_owned()
}

async fn log_in(target: &Target, transport: Transport, name: &str) -> (Raw, Session) {
    let mut raw = Raw::greet(target, transport, None).await.0;
    let (password, device) = (Secret::new(PASSWORD), DeviceName::parse("test").unwrap());
    let login = Login { username: name.into(), password, device, device_id: None };
    let reply = raw.request(Command::Login(login)).await;
    let Ok(Reply::Session(session)) = reply else { panic!("{reply:?}") };
    (raw, session)
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_taken_up_and_the_others_are_named() {
    let place = Place::with("auth.access_ttl_seconds = 900");
    let server = place.serve();
    let mut alice = place.register(Transport::Quic, "alice").await;
    let room = alice.client.join("hall").await.unwrap();
    let target = Target::new(place.http, place.quic, &place.data_dir);
    assert_eq!(status_from(&place, "https://chat.example"), "403");

    // What takes a restart is named, once for each time, and nothing else is.
    set(
        &place,
        &[
            ("listen.allowed_origins", r#"["https://chat.example"]"#),
            ("auth.registration", r#""closed""#),
            ("auth.access_ttl_seconds", "60"),
            ("auth.refresh_idle_seconds", "120"),
            ("auth.hashing_queue", "65"),
            ("plugins.call_budget_ms", "6"),
            ("store.readers", "3"),
            ("limits.devices_per_user", "2"),
            ("limits.sends_burst", "2"),
            ("limits.sends_per_second", "1"),
        ],
    );
    hang_up(&server);
    eventually("it is taken up", || place.err().contains("store.readers").then_some(()));
    let err = place.err();
    assert_eq!(err.matches("takes a restart").count(), 2, "{err}");
    assert!(err.contains("auth.hashing_queue"), "{err}");

    assert_eq!(status_from(&place, "https://chat.example"), "401", "a page that is allowed, and a wrong password");
    for transport in TRANSPORTS {
        let mut stranger = Raw::greet(&target, transport, None).await.0;
        assert_eq!(stranger.refusal(register("bob", None)).await, 2004, "registration is closed");
    }
    // A login that begins now has the other life, and there are so many devices.
    let (mut second, session) = log_in(&target, Transport::WebSocket, "alice").await;
    let life_ms = session.identity.token_expires.since(now());
    assert!(life_ms <= 60_000, "{life_ms}");
    let idle_ms = session.refresh_expires.since(now());
    assert!((60_000..=120_000).contains(&idle_ms), "{idle_ms}");
    assert!(alice.client.request(Command::Ping).await.is_ok(), "two devices");
    let _third = log_in(&target, Transport::Quic, "alice").await;
    let ended = async { while !matches!(alice.events.recv().await, Some(Event::Stopped(_)) | None) {} };
    tokio::time::timeout(PATIENCE, ended).await.expect("the oldest made room");
    // And so many sends.
    let mut refused = Vec::new();
    for number in 0..10 {
        if let Err(reject) = second.request(publish(room.id, client_id(), "now")).await {
            assert_eq!(reject.code, 4001, "{number}");
            refused.push(reject);
        }
    }
    assert!(!refused.is_empty());
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn bounds_on_connections_hold_for_those_who_come() {
    let place = Place::with("limits.connections_per_user = 20");
    let server = place.serve();
    let alice = place.register(Transport::Quic, "alice").await;
    let target = Target::new(place.http, place.quic, &place.data_dir);
    let token = alice.session.access_token.clone();
    let mut second = Raw::enter(&target, Transport::WebSocket, &token).await;
    set(&place, &[("limits.connections_per_user", "1"), ("log.format", r#""json""#)]);
    hang_up(&server);
    eventually("it is taken up", || place.err().contains("log.format").then_some(()));
    for transport in TRANSPORTS {
        assert_eq!(Raw::refused(&target, transport, &token).await.code, 4300);
    }
    assert!(second.request(Command::Ping).await.is_ok(), "who was there stays");

    // One place for each address, and both are taken.
    set(&place, &[("limits.connections_per_ip", "2"), ("log.format", r#""pretty""#)]);
    hang_up(&server);
    eventually("it is taken up", || (place.err().matches("log.format").count() == 2).then_some(()));
    let refused = r#"confab_connections_refused_total{reason="connections_per_ip"}"#;
    assert_eq!(place.metric(refused), 0.0);
    let mut stream = TcpStream::connect(place.http).unwrap();
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    let _ = stream.read(&mut [0; 1]);
    eventually("it is refused", || (place.metric(refused) == 1.0).then_some(()));
    set(
        &place,
        &[("limits.connections_per_user", "20"), ("limits.connections_per_ip", "50"), ("log.format", r#""auto""#)],
    );
    hang_up(&server);
    eventually("a place is free", || (status_from(&place, &format!("http://{}", place.http)) == "401").then_some(()));
    assert!(Raw::enter(&target, Transport::Quic, &token).await.request(Command::Ping).await.is_ok());
    drop(server);
}

/// A configuration that is wrong changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_changes_nothing() {
    let place = Place::new();
    let server = place.serve();
    set(&place, &[("auth.registration", r#""closed""#), ("limits.commands_burst", "0")]);
    hang_up(&server);
    eventually("it is refused", || place.err().contains("limits.commands_burst").then_some(()));
    assert!(place.err().contains("nothing was reloaded"));
    let _alice = place.register(Transport::Quic, "alice").await;
    drop(server);
}

/// Begins a reload that does not end: it reads a pipe in place of the configuration until what is given here is closed, and
/// takes up what was written there. The configuration itself is as it was by then, for the next one.
fn begin_to_reload(place: &Place, server: &Running) -> File {
    /// To open a pipe that nobody reads fails, and does not wait.
    const O_NONBLOCK: i32 = 0o4000;
    let path = place.config_file();
    let aside = path.with_extension("aside");
    std::fs::rename(&path, &aside).unwrap();
    assert!(Program::new("mkfifo").arg(&path).status().unwrap().success());
    hang_up(server);
    let open = || File::options().write(true).custom_flags(O_NONBLOCK).open(&path).ok();
    let pipe = eventually("the configuration is read", open);
    std::fs::rename(&aside, &path).unwrap();
    pipe
}

/// src/cli/serve.rs: it was heard when the reload had ended.
#[test]
fn whoever_ends_the_server_does_not_wait_for_a_reload() {
    let place = Place::new();
    let mut server = place.serve();
    let _pipe = begin_to_reload(&place, &server);
    server.terminate();
    assert_eq!(server.wait().code(), Some(0));
}

/// Who asks for a reload while one runs has changed something since that began.
#[tokio::test(flavor = "multi_thread")]
async fn one_reload_follows_the_other() {
    let place = Place::new();
    let server = place.serve();
    let text = std::fs::read_to_string(place.config_file()).unwrap();
    let mut pipe = begin_to_reload(&place, &server);
    set(&place, &[("auth.hashing_queue", "65")]);
    hang_up(&server);
    let _alice = place.register(Transport::Quic, "alice").await;
    assert!(!place.err().contains("takes a restart"), "{}", place.err());
    write!(pipe, "{text}\nstore.readers = 3\n").unwrap();
    drop(pipe);
    eventually("the second is taken up", || place.err().contains("auth.hashing_queue").then_some(()));
    let err = place.err();
    assert!(err.find("store.readers") < err.find("auth.hashing_queue") && err.contains("store.readers"), "{err}");
    // What cannot be taken up makes room for the next one too.
    let mut pipe = begin_to_reload(&place, &server);
    hang_up(&server);
    writeln!(pipe, "limits.commands_burst = 0").unwrap();
    drop(pipe);
    let is_told = || place.err().matches("auth.hashing_queue").count() == 2;
    eventually("the next is taken up", || is_told().then_some(()));
    assert!(place.err().contains("nothing was reloaded"), "{}", place.err());
    drop(server);
}
