//! Plugins that look at what happened: all of it, in order, whatever becomes of the server; and nobody waits for them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use confab::config::{Config, Mode, Plugins};
use confab_client::{Command, Reply, Room};
use confab_protocol::command::{Edit, SanctionUser};
use confab_protocol::model::{Body, Reason, SanctionKind};
use tokio::time::{Instant, sleep};

use super::{post, write};
use crate::support::guests::copied;
use crate::support::people::Person;
use crate::support::postgres::fresh_url;
use crate::support::process::{PATIENCE, Place, eventually};
use crate::support::{TestServer, Transport, until_so};

/// The observing guest, in a folder.
pub(super) fn folder() -> Arc<tempfile::TempDir> {
    copied(&["test-plugins/observer"])
}

pub(super) fn observer(folder: &Path, mode: Mode) -> Plugins {
    Plugins {
        dir: Some(folder.to_owned()),
        chain: vec!["observer".into()],
        mode: [("observer".to_owned(), mode)].into(),
        grant: [("observer".to_owned(), vec!["kv".to_owned()])].into(),
        ..Config::default().plugins
    }
}

async fn say(person: &Person, room: &Room, text: &str) -> u64 {
    match post(person, room, text).await {
        Ok(Reply::Appended(appended)) => appended.seq.0,
        other => panic!("{other:?}"),
    }
}

/// What the plugin answers.
pub(super) async fn ask(person: &Person, room: &Room, question: &str) -> String {
    let seq = say(person, room, question).await;
    let page = person.client.history(room.id, confab_protocol::model::Seq(seq + 1), 1).await.unwrap();
    crate::support::people::message(&page.entries[0].payload).unwrap()
}

/// Until it was shown so many things, and not more: what they were, in order.
async fn told(person: &Person, room: &Room, expected: usize) -> Vec<String> {
    let count = async || ask(person, room, "count").await.parse::<usize>().unwrap();
    until_so(&format!("{expected} are shown"), async || count().await >= expected).await;
    // What is not to be shown would have been by then.
    sleep(Duration::from_millis(500)).await;
    let count = count().await;
    let mut told = Vec::new();
    for n in 1..=count {
        told.push(ask(person, room, &format!("told {n}")).await);
    }
    told
}

async fn sanction(by: &Person, room: &Room, of: &Person, kind: SanctionKind, duration_ms: u64) {
    let (user, reason) = (of.session.identity.user, Reason::parse("enough").unwrap());
    let sanction = SanctionUser { write: write(by, room), user, kind, duration_ms, reason };
    by.client.request(Command::Sanction(sanction)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_is_shown_in_the_order_of_each_room() {
    let folder = folder();
    let server = TestServer::start_with(|config| config.plugins = observer(folder.path(), Mode::Enforce)).await;
    let alice = Person::register(&server, Transport::Quic, "alice").await;
    let bob = Person::register(&server, Transport::WebSocket, "bob").await;
    let (den, hall, quiet) = (alice.enter("den").await, bob.enter("hall").await, alice.enter("quiet").await);
    let (mut in_den, mut in_hall) = (Vec::new(), Vec::new());
    // More than a page.
    for n in 0..220 {
        let text = format!("say d{n}");
        in_den.push(format!("{} {text}", say(&alice, &den, &text).await));
        if n % 10 == 0 {
            let text = format!("say h{n}");
            in_hall.push(format!("{} {text}", say(&bob, &hall, &text).await));
        }
    }
    let shown = told(&alice, &quiet, in_den.len() + in_hall.len()).await;
    let of = |mark: &str| shown.iter().filter(|it| it.contains(mark)).cloned().collect::<Vec<_>>();
    assert_eq!((of("say d"), of("say h")), (in_den, in_hall));

    // Another text, what was done to somebody; and nothing of what only its author sees.
    let eve = Person::register(&server, Transport::WebSocket, "eve").await;
    eve.enter("den").await;
    let before = shown.len();
    let first = confab_protocol::model::Seq(say(&alice, &den, "as it was").await);
    told(&alice, &quiet, before).await;
    let edit = Edit { write: write(&alice, &den), seq: first, body: Body::parse("say better").unwrap() };
    alice.client.request(Command::Edit(edit)).await.unwrap();
    sanction(&alice, &den, &eve, SanctionKind::Mute, 60_000).await;
    sanction(&alice, &den, &eve, SanctionKind::Lift, 0).await;
    sanction(&alice, &den, &eve, SanctionKind::Shadow, 0).await;
    say(&eve, &den, "say hidden").await;
    // Behind it in the same log: where this was shown, that would have been.
    let last = say(&alice, &den, "say last").await;
    let shown = told(&alice, &quiet, before + 4).await;
    let expected = [
        format!("{} say better (edited)", first.0),
        "mute true true".into(),
        "lift false true".into(),
        format!("{last} say last"),
    ];
    assert_eq!(shown[before..], expected);
}

/// By SIGKILL, while the plugin is behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_loses_nothing() {
    let folder = folder();
    kill_and_look(Place::with(&keys(folder.path()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_one_on_postgres() {
    let folder = folder();
    let url = fresh_url().await;
    kill_and_look(Place::with(&format!("store.url = {url:?}\n{}", keys(folder.path())))).await;
}

pub(super) fn keys(dir: &Path) -> String {
    let dir: PathBuf = dir.to_owned();
    format!("plugins.dir = {dir:?}\nplugins.chain = [\"observer\"]\nplugins.grant.observer = [\"kv\"]")
}

async fn kill_and_look(place: Place) {
    let mut server = place.serve();
    let alice = place.register(Transport::Quic, "alice").await;
    let (den, quiet) = (alice.enter("den").await, alice.enter("quiet").await);
    say(&alice, &den, "say zero").await;
    told(&alice, &quiet, 1).await;
    // It is tried for two seconds, and nothing behind it is shown meanwhile.
    say(&alice, &den, "say trap").await;
    let mut said = Vec::new();
    for n in 0..20 {
        let text = format!("say n{n}");
        said.push(format!("{} {text}", say(&alice, &den, &text).await));
    }
    server.kill();
    let _server = place.serve();
    let alice = place.login(Transport::Quic, "alice").await;
    let shown = told(&alice, &quiet, said.len()).await;
    let of = |mark: &str| shown.iter().filter(|it| it.contains(mark)).cloned().collect::<Vec<_>>();
    assert_eq!(of("say n"), said);
    assert!(of("zero").len() <= 1, "at least once, and hardly more: {shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_holds_nobody_up_and_goes_on() {
    let folder = folder();
    let server = TestServer::start_with(|config| config.plugins = observer(folder.path(), Mode::Enforce)).await;
    let alice = Person::register(&server, Transport::Quic, "alice").await;
    let bob = Person::register(&server, Transport::WebSocket, "bob").await;
    let den = alice.enter("den").await;
    bob.enter("den").await;
    say(&alice, &den, "say loop").await;
    say(&bob, &den, "say trap").await;
    let mut slowest = Duration::ZERO;
    for n in 0..50 {
        let start = Instant::now();
        say(&alice, &den, &format!("say n{n}")).await;
        slowest = slowest.max(start.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}: it is tried for four seconds");
    assert_eq!(told(&alice, &den, 50).await.len(), 50, "all but these two");
    assert_eq!(server.metric(r#"confab_plugin_passed_over_total{plugin="observer"}"#).await, 2.0);
    for kind in ["timeout", "trap"] {
        let traps = format!("confab_plugin_traps_total{{kind=\"{kind}\",plugin=\"observer\"}}");
        assert_eq!(server.metric(&traps).await, 4.0, "{kind}: once, and three times again");
    }
}

/// Of what one author says again and again two are tried for two seconds each, the others wait for these alone, and then one is
/// tried each second.
#[tokio::test(flavor = "multi_thread")]
async fn one_author_who_goes_on_keeps_nobody_waiting() {
    const GO_ON: u32 = 30;
    let start = Instant::now();
    let folder = folder();
    let server = TestServer::start_with(|config| config.plugins = observer(folder.path(), Mode::Enforce)).await;
    let alice = Person::register(&server, Transport::Quic, "alice").await;
    let bob = Person::register(&server, Transport::WebSocket, "bob").await;
    let (den, quiet) = (alice.enter("den").await, bob.enter("quiet").await);
    bob.enter("den").await;
    for _ in 0..GO_ON {
        say(&alice, &den, "say trap").await;
    }
    say(&bob, &den, "say well").await;
    assert_eq!(told(&bob, &quiet, 1).await.len(), 1);
    assert_eq!(server.metric(r#"confab_plugin_passed_over_total{plugin="observer"}"#).await, f64::from(GO_ON));
    let traps = server.metric(r#"confab_plugin_traps_total{kind="trap",plugin="observer"}"#).await;
    let most = 2.0 * 4.0 + start.elapsed().as_secs_f64();
    assert!((8.0..=most).contains(&traps), "four times each, and then once a second: {traps}, not {most}");
    assert_eq!(server.metric(r#"confab_plugin_breaker_state{plugin="observer"}"#).await, 0.0);
}

/// Five open its breaker, and the last of them is whom it is tried on first: what they said is not waited for once more.
#[tokio::test(flavor = "multi_thread")]
async fn who_fails_a_probe_keeps_nobody_waiting() {
    const GO_ON: u32 = 5;
    let folder = folder();
    let server = TestServer::start_with(|config| config.plugins = observer(folder.path(), Mode::Enforce)).await;
    let bob = Person::register(&server, Transport::WebSocket, "bob").await;
    let (den, quiet) = (bob.enter("den").await, bob.enter("quiet").await);
    for n in 1..=5 {
        let author = Person::register(&server, Transport::WebSocket, &format!("author-{n}")).await;
        author.enter("den").await;
        for _ in 0..if n == 5 { GO_ON } else { 1 } {
            say(&author, &den, "say trap").await;
        }
    }
    say(&bob, &den, "say well").await;
    // Nobody else says anything meanwhile, which would close it.
    let passed = f64::from(4 + GO_ON);
    until_so("theirs is passed over", async || {
        server.metric(r#"confab_plugin_passed_over_total{plugin="observer"}"#).await >= passed
    })
    .await;
    assert_eq!(told(&bob, &quiet, 1).await.len(), 1);
    assert_eq!(server.metric(r#"confab_plugin_passed_over_total{plugin="observer"}"#).await, passed);
    let traps = server.metric(r#"confab_plugin_traps_total{kind="trap",plugin="observer"}"#).await;
    assert_eq!(traps, 4.0 * 4.0 + 2.0, "four times each, and of the last one what opened it and the probe");
    assert_eq!(server.metric(r#"confab_plugin_breaker_state{plugin="observer"}"#).await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_it_is_behind_is_seen() {
    let folder = folder();
    let server = TestServer::start_with(|config| config.plugins = observer(folder.path(), Mode::Enforce)).await;
    let alice = Person::register(&server, Transport::Quic, "alice").await;
    let den = alice.enter("den").await;
    let until = async |what: &str, is: fn(f64) -> bool| {
        let deadline = Instant::now() + PATIENCE;
        while !is(server.metric(r#"confab_plugin_observed_lag_seconds{plugin="observer"}"#).await) {
            assert!(Instant::now() < deadline, "{what}");
            sleep(Duration::from_millis(20)).await;
        }
    };
    let bob = Person::register(&server, Transport::WebSocket, "bob").await;
    bob.enter("den").await;
    // The second one waits for the first, which is tried for two seconds.
    for (person, text) in [(&alice, "say trap"), (&alice, "say trap"), (&bob, "say well")] {
        say(person, &den, text).await;
    }
    until("it is behind", |lag| lag >= 2.0).await;
    until("it has caught up", |lag| lag == 0.0).await;
    assert_eq!(told(&alice, &den, 1).await.len(), 1);
}

/// One that is new sees nothing of what was before; one that is off nothing at all, and goes on where it was.
#[tokio::test(flavor = "multi_thread")]
async fn where_it_begins_and_how_it_is_meant() {
    let (folder, data) = (folder(), Arc::new(tempfile::tempdir().unwrap()));
    let calls = |hook: &str| format!("confab_plugin_call_seconds_count{{hook=\"{hook}\",plugin=\"observer\"}}");
    let start = async |plugins: Option<Plugins>| {
        TestServer::start_in(Arc::clone(&data), |config| {
            if let Some(plugins) = plugins {
                config.plugins = plugins;
            }
        })
        .await
    };
    let server = start(None).await;
    let alice = Person::register(&server, Transport::Quic, "alice").await;
    say(&alice, &alice.enter("den").await, "say before").await;
    drop(server);

    let server = start(Some(observer(folder.path(), Mode::Enforce))).await;
    let alice = Person::login(&server, Transport::Quic, "alice").await;
    let den = alice.enter("den").await;
    say(&alice, &den, "say first").await;
    let shown = told(&alice, &den, 1).await;
    assert!(shown.len() == 1 && shown[0].ends_with("say first"), "{shown:?}");
    drop(server);

    let server = start(Some(observer(folder.path(), Mode::Off))).await;
    let alice = Person::login(&server, Transport::Quic, "alice").await;
    say(&alice, &den, "say while it is off").await;
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!((server.metric(&calls("observe")).await, server.metric(&calls("tick")).await), (0.0, 0.0));
    drop(server);

    let server = start(Some(observer(folder.path(), Mode::Enforce))).await;
    let alice = Person::login(&server, Transport::Quic, "alice").await;
    let shown = told(&alice, &den, 1).await;
    assert!(shown.len() == 1 && shown[0].ends_with("say while it is off"), "it goes on where it was: {shown:?}");
    drop(server);

    // In shadow mode it is shown everything: it decides nothing anyhow.
    let server = start(Some(observer(folder.path(), Mode::Shadow))).await;
    let alice = Person::login(&server, Transport::Quic, "alice").await;
    say(&alice, &den, "say in shadow mode").await;
    until_so("it is called", async || {
        server.metric(&calls("observe")).await > 0.0 && server.metric(&calls("tick")).await >= 2.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ticks() {
    let folder = folder();
    let server = TestServer::start_with(|config| config.plugins = observer(folder.path(), Mode::Enforce)).await;
    let alice = Person::register(&server, Transport::Quic, "alice").await;
    let den = alice.enter("den").await;
    // It did so before anybody looked: from one tick that was not seen yet to the next it is a second.
    let ticks = async || ask(&alice, &den, "ticks").await.parse::<u64>().unwrap();
    let (start, before) = (Instant::now(), ticks().await);
    until_so("it ticks", async || ticks().await >= before + 2).await;
    assert!(start.elapsed() > Duration::from_secs(1), "once a second");
}

/// On SIGHUP it begins and ends, like everything of plugins.
#[tokio::test(flavor = "multi_thread")]
async fn it_comes_and_goes_with_a_reload() {
    let folder = folder();
    let place = Place::with(&format!("{}\nplugins.mode.observer = \"off\"", keys(folder.path())));
    let server = place.serve();
    let turn = |from: &str, to: &str| {
        place.rewrite(from, to);
        place.reload(&server);
    };
    let calls =
        |hook: &str| place.metric(&format!("confab_plugin_call_seconds_count{{hook=\"{hook}\",plugin=\"observer\"}}"));
    let alice = place.register(Transport::Quic, "alice").await;
    let (den, quiet) = (alice.enter("den").await, alice.enter("quiet").await);
    say(&alice, &den, "say before").await;
    turn("\"off\"", "\"enforce\"");
    eventually("it ticks", || (calls("tick") > 0.0).then_some(()));
    say(&alice, &den, "say now").await;
    let shown = told(&alice, &quiet, 1).await;
    assert!(shown.len() == 1 && shown[0].ends_with("say now"), "{shown:?}");
    let has_lag = || place.ops_get("/metrics").unwrap().1.contains("confab_plugin_observed_lag_seconds{");
    assert!(has_lag());
    turn("\"enforce\"", "\"off\"");
    eventually("what is off is behind nothing", || (!has_lag()).then_some(()));
    // Off, it answers nothing either.
    until_so("it goes", async || ask(&alice, &quiet, "ticks").await == "ticks").await;
    sleep(Duration::from_millis(500)).await;
    let before = (calls("tick"), calls("observe"));
    say(&alice, &den, "say later").await;
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!((calls("tick"), calls("observe")), before);
}
