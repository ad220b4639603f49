//! Plugins that look at who comes and goes: in order, at most once, over either transport; and nobody waits for them.

use std::time::Duration;

use confab::config::{Config, Mode};
use confab_client::Room;
use tokio::time::sleep;

use super::built;
use super::observe::{ask, folder, keys, observer};
use crate::support::people::Person;
use crate::support::process::{Place, eventually};
use crate::support::raw::{Raw, Target};
use crate::support::{TRANSPORTS, TestServer, Transport, until_so};

const CALLS: &str = r#"confab_plugin_call_seconds_count{hook="observe-session",plugin="observer"}"#;
const DROPPED: &str = r#"confab_plugin_sessions_dropped_total{plugin="observer"}"#;

/// Until so many were shown: who came and went.
async fn passages(person: &Person, room: &Room, expected: usize) -> Vec<String> {
    let count = async || ask(person, room, "sessions").await.parse::<usize>().unwrap();
    until_so(&format!("{expected} are shown"), async || count().await >= expected).await;
    let count = count().await;
    let mut passages = Vec::new();
    for n in 1..=count {
        passages.push(ask(person, room, &format!("session {n}")).await);
    }
    passages
}

const fn word(transport: Transport) -> &'static str {
    match transport {
        Transport::Quic => "quic",
        Transport::WebSocket => "websocket",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_and_goes_is_shown_in_order() {
    let folder = folder();
    let server = TestServer::start_with(|config| config.plugins = observer(folder.path(), Mode::Enforce)).await;
    let alice = Person::register(&server, Transport::Quic, "alice").await;
    let den = alice.enter("den").await;
    let mut expected = vec!["alice opened quic".to_owned()];
    for transport in TRANSPORTS {
        // Whoever does not say who they are comes and goes unseen.
        drop(Raw::greet(&Target::from(&server), transport, None).await);
        let name = format!("on-{}", word(transport));
        for person in [
            Person::register(&server, transport, &name).await,
            // Another connection of theirs is another session.
            Person::login(&server, transport, &name).await,
        ] {
            drop(person);
        }
        for what in ["opened", "opened", "closed", "closed"] {
            let how = if what == "closed" { " true" } else { "" };
            expected.push(format!("{name} {what} {}{how}", word(transport)));
        }
        assert_eq!(passages(&alice, &den, expected.len()).await, expected);
    }
    assert_eq!(server.metric(DROPPED).await, 0.0);
}

/// What it fails on is not shown again, and what comes behind that is.
#[tokio::test(flavor = "multi_thread")]
async fn what_it_fails_on_is_counted() {
    let folder = folder();
    let server = TestServer::start_with(|config| config.plugins = observer(folder.path(), Mode::Enforce)).await;
    drop(Person::register(&server, Transport::WebSocket, "trapper").await);
    until_so("it fails", async || server.metric(DROPPED).await >= 2.0).await;
    let alice = Person::register(&server, Transport::Quic, "alice").await;
    let den = alice.enter("den").await;
    assert_eq!(passages(&alice, &den, 1).await, ["alice opened quic"]);
    assert_eq!(server.metric(DROPPED).await, 2.0, "once each");
    assert_eq!(server.metric(r#"confab_plugin_traps_total{kind="trap",plugin="observer"}"#).await, 2.0);
}

/// It begins and ends with a reload. Whoever is there by then is seen when they go.
#[tokio::test(flavor = "multi_thread")]
async fn it_comes_and_goes_with_a_reload() {
    let folder = folder();
    let place = Place::with(&format!("{}\nplugins.mode.observer = \"off\"", keys(folder.path())));
    let server = place.serve();
    let turn = |from: &str, to: &str| {
        place.rewrite(from, to);
        place.reload(&server);
    };
    let alice = place.register(Transport::Quic, "alice").await;
    let bob = place.register(Transport::WebSocket, "bob").await;
    let den = alice.enter("den").await;
    turn("\"off\"", "\"enforce\"");
    // The plugins count from before their tasks do: this is for those.
    eventually("it ticks", || {
        let ticks = r#"confab_plugin_call_seconds_count{hook="tick",plugin="observer"}"#;
        (place.metric(ticks) > 0.0).then_some(())
    });
    let carol = place.register(Transport::WebSocket, "carol").await;
    assert_eq!(passages(&alice, &den, 1).await, ["carol opened websocket"]);
    drop(bob);
    let shown = passages(&alice, &den, 2).await;
    assert_eq!(shown, ["carol opened websocket", "bob closed websocket false"]);
    turn("\"enforce\"", "\"off\"");
    sleep(Duration::from_millis(500)).await;
    let before = place.metric(CALLS);
    drop(carol);
    sleep(Duration::from_millis(1_000)).await;
    assert_eq!(place.metric(CALLS), before);
}

/// A plugin that does not declare the hook, and has it, is refused as with any other.
#[tokio::test(flavor = "multi_thread")]
async fn the_hook_is_declared_like_any_other() {
    let folder = folder();
    let path = folder.path().join("observer.toml");
    let manifest = std::fs::read_to_string(built("test-plugins/observer.toml")).unwrap();
    std::fs::write(&path, manifest.replace(", \"observe-session\"", "")).unwrap();
    let (data, plugins) = (tempfile::tempdir().unwrap(), observer(folder.path(), Mode::Enforce));
    let config = Config { data_dir: data.path().to_owned(), plugins, ..Config::default() };
    let error = confab::Server::build(config).await.err().expect("it was loaded").to_string();
    assert!(error.contains("exports the hook observe-session, which its manifest does not declare"), "{error}");
}
