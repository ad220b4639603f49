//! Plugins in shadow mode are asked and decide nothing: they hold nothing, refuse nothing, and take nothing from those that
//! decide. Interpreted ones are waited for only where their word counts.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use confab::clock::{Clock, SystemClock};
use confab::config::{Mode, Plugins};
use confab::core::hook::{Act, ActEvent, MessageEvent, Moderator, Ruling, Verdict};
use confab::metrics::Metrics;
use confab::plugin::PluginSet;
use confab_client::{Command, Reply, Room};
use confab_protocol::codec::decode_audit;
use confab_protocol::command::{AuditRecord, ListAudit};
use confab_protocol::model::{AuditId, Millis, ReportReason, RoomId, Seq, ServerRole, UserId};
use confab_protocol::reject::RejectCode;
use futures_util::future::{join_all, select_all};
use serde_json::json;

use super::acts::register_owner;
use super::{Outcome, folder, generous, plugins, post};
use crate::support::guests::{copy, load_with, message_event};
use crate::support::people::Person;
use crate::support::{TestServer, Transport, until_so};

pub(super) async fn ask(set: &PluginSet, author: u128, body: &str) -> Ruling {
    let (author, now) = (UserId::from_u128(author), SystemClock::new().now());
    set.decide_message(MessageEvent { author, now, ..message_event(body) }).await
}

/// What the audit has of a plugin, the newest first, each with what moderators are shown of what it noted.
async fn audit(owner: &Person, plugin: &str) -> Vec<(AuditRecord, String)> {
    let plugin = Some(plugin.to_owned());
    let list = ListAudit { room: None, user: None, case: None, plugin, before: AuditId::NONE, limit: 0 };
    let Ok(Reply::Audit { records, .. }) = owner.client.request(Command::ListAudit(list)).await else { panic!() };
    records.iter().map(|it| (decode_audit(&it.record).unwrap(), it.note.as_str().to_owned())).collect()
}

/// Verdict and rule of what a plugin found, as the audit keeps it.
pub(super) async fn found_by(owner: &Person, plugin: &str) -> Vec<(String, String)> {
    let findings = audit(owner, plugin).await.into_iter().filter_map(|(record, _)| record.finding);
    findings.map(|it| (it.verdict, it.rule)).collect()
}

fn load(plugins: &Plugins, metrics: &Metrics) -> PluginSet {
    load_with(plugins, None, metrics).unwrap()
}

/// These plugins, the hostile guest in a mode.
fn chain(folder: &Path, ids: &[&str], mode: Mode) -> Plugins {
    let chain = ids.iter().map(|&id| id.to_owned()).collect();
    Plugins { chain, mode: [("hostile".to_owned(), mode)].into(), ..generous(plugins(folder)) }
}

/// The hostile guest once more, as `second`; and what both are granted.
fn with_second(folder: &Path) -> BTreeMap<String, Vec<String>> {
    let file = |name: &str| folder.join(name);
    std::fs::copy(file("hostile.wasm"), file("second.wasm")).unwrap();
    let manifest = std::fs::read_to_string(file("hostile.toml")).unwrap();
    std::fs::write(file("second.toml"), manifest.replace("id = \"hostile\"", "id = \"second\"")).unwrap();
    ["hostile", "second"].map(|id| (id.to_owned(), vec!["log".to_owned(), "kv".to_owned()])).into()
}

/// Each letter stands for four words.
fn too_long() -> String {
    "\u{fdfa}".repeat(2_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_long_to_be_looked_at_is_held_for_those_whose_word_counts() {
    let folder = folder();
    for (ids, mode, is_held) in [
        (&["hostile"][..], Mode::Enforce, true),
        (&["hostile"], Mode::Shadow, false),
        (&["sanitize", "hostile"], Mode::Shadow, true),
        (&["hostile", "sanitize"], Mode::Shadow, true),
    ] {
        let set = load(&chain(folder.path(), ids, mode), &Metrics::new());
        let Ruling { verdict, marks, .. } = ask(&set, 1, &too_long()).await;
        assert_eq!(matches!(verdict, Verdict::Hold { .. }), is_held, "{ids:?} {mode:?}: {verdict:?}");
        assert!(is_held || verdict == Verdict::Allow, "{verdict:?}");
        let told: Vec<_> = marks.iter().map(|it| (&*it.plugin, it.verdict, it.rule.as_str(), it.enforced)).collect();
        assert_eq!(told, [("server", "hold", "too-long", is_held)], "{ids:?} {mode:?}");
    }
}

/// One plugin makes of a text what the next one cannot be asked about: it is held, or shadowed, as it reads by then.
#[tokio::test(flavor = "multi_thread")]
async fn what_becomes_too_long_to_be_looked_at_stays_as_it_was_made() {
    let folder = folder();
    let grant = with_second(folder.path());
    copy("plugins/words", folder.path());
    let greeting = json!(too_long());
    let words = json!({"lists": [{"name": "own", "action": "shadow", "words": ["sign"]}]});
    let (text, note) =
        (format!("sign here signed {greeting}"), "its normal form is too long to be looked at".to_owned());
    for (ids, expected) in [
        (&["hostile", "second"][..], (Verdict::Hold { note }, Some(text.clone()))),
        (&["words", "hostile", "second"], (Verdict::Shadow(Some(text)), None)),
    ] {
        let config = [("hostile", greeting.clone()), ("words", words.clone())].into_iter();
        let config = config.filter(|(id, _)| ids.contains(id)).map(|(id, it)| (id.to_owned(), it)).collect();
        let config = Plugins { config, grant: grant.clone(), ..chain(folder.path(), ids, Mode::Enforce) };
        let Ruling { verdict, marks, replaced } = ask(&load(&config, &Metrics::new()), 1, "sign here").await;
        assert_eq!((verdict, replaced), expected, "{ids:?}");
        assert_eq!(marks.last().map(|it| (&*it.plugin, it.rule.as_str())), Some(("server", "too-long")), "{ids:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_holds_by_itself_is_in_the_audit() {
    let folder = folder();
    let server = TestServer::start_with(|config| config.plugins = plugins(folder.path())).await;
    let owner = register_owner(&server).await;
    let room = owner.enter("den").await;
    // Nobody is told of what is about themselves.
    let author = Person::register(&server, Transport::Quic, "author").await;
    author.enter("den").await;
    assert!(is_held(&post(&author, &room, &too_long()).await));
    assert_eq!(found_by(&owner, "server").await, [("hold".to_owned(), "too-long".to_owned())]);
}

/// What loops in shadow mode takes all the time that there is; the one behind it has all of its own.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_shadow_takes_is_missing_to_nobody() {
    let folder = folder();
    let config = Plugins {
        grant: with_second(folder.path()),
        call_budget_ms: 50,
        chain_budget_ms: 50,
        ..chain(folder.path(), &["hostile", "second"], Mode::Shadow)
    };
    let metrics = Metrics::new();
    let ruling = ask(&load(&config, &metrics), 1, "loop").await;
    assert_eq!(ruling.verdict, Verdict::Hold { note: "plugin second failed: timeout".into() });
    for id in ["hostile", "second"] {
        let seconds = metrics.plugin_call_seconds.with_label_values(&[id, "message"]).get_sample_sum();
        assert!(seconds > 0.04, "{id} had {seconds} s");
    }
}

/// A guest that says of itself that it is interpreted: who says so is treated so.
fn interpreted() -> Arc<tempfile::TempDir> {
    let folder = folder();
    let path = folder.path().join("hostile.toml");
    let manifest = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{manifest}\nclass = \"interpreted\"\n")).unwrap();
    folder
}

fn act<'a>(username: &'a str, act: Act<'a>) -> ActEvent<'a> {
    let (who, now) = (UserId::from_u128(1), SystemClock::new().now());
    ActEvent { who, username, role: ServerRole::User, account_created: Millis(1), now, act, context: None }
}

/// On one thread, which could do nothing else meanwhile were it asked there.
#[tokio::test]
async fn an_act_is_decided_where_it_holds_up_nobody_else() {
    let folder = interpreted();
    let budgets = Plugins { call_budget_ms: 100, chain_budget_ms: 100, ..plugins(folder.path()) };
    let set = load(&Plugins { chain: vec!["hostile".into()], ..budgets }, &Metrics::new());
    let mut slow = set.decide_act(act("loop-login", Act::Login));
    tokio::select! {
        biased;
        ruling = &mut slow => panic!("it was asked here: {ruling:?}"),
        () = std::future::ready(()) => {}
    }
    assert!(matches!(slow.await.verdict, Verdict::Unavailable { .. }));
    // It is asked there about the same.
    let (room, about, text) = (RoomId::from_u128(1), UserId::from_u128(2), "what do you know?");
    let report = Act::Report { room, about, seq: Some(Seq(7)), reason: ReportReason::Spam, text };
    let Verdict::Reject { reason, .. } = set.decide_act(act("somebody", report)).await.verdict else { panic!() };
    assert_eq!(reason, "somebody spam Some(7) true");
    assert_eq!(set.decide_act(act("somebody", Act::Login)).await, Ruling::ALLOW);
}

/// Whichever of them there are more of than are asked about at once.
#[tokio::test]
async fn acts_and_messages_do_not_wait_for_each_other() {
    const MANY: usize = 8;
    let folder = interpreted();
    // A call that does not end by itself takes as long as this; the others take nothing.
    let budgets = Plugins { call_budget_ms: 2_000, chain_budget_ms: 2_000, ..plugins(folder.path()) };
    let config = Plugins { chain: vec!["hostile".into()], ..budgets };
    // Each has threads that nothing of the other's is left on.
    let set = load(&config, &Metrics::new());
    let messages = select_all((0..MANY).map(|_| Box::pin(ask(&set, 1, "loop"))));
    tokio::select! {
        biased;
        (ruling, ..) = messages => panic!("the act waited for a message: {ruling:?}"),
        ruling = set.decide_act(act("somebody", Act::Login)) => assert_eq!(ruling, Ruling::ALLOW),
    }
    let set = load(&config, &Metrics::new());
    let acts = select_all((0..MANY).map(|_| set.decide_act(act("loop-login", Act::Login))));
    tokio::select! {
        biased;
        (ruling, ..) = acts => panic!("the message waited for an act: {ruling:?}"),
        ruling = ask(&set, 1, "innocent") => assert_eq!(ruling, Ruling::ALLOW),
    }
}

#[tokio::test]
async fn an_act_does_not_wait_for_a_shadow() {
    let (folder, metrics) = (interpreted(), Metrics::new());
    let set = load(&chain(folder.path(), &["hostile"], Mode::Shadow), &metrics);
    assert_eq!(set.decide_act(act("no-login", Act::Login)).await, Ruling::ALLOW, "it finds nothing of it in time");
    let rejected = metrics.plugin_verdicts_total.with_label_values(&["hostile", "login", "reject"]);
    until_so("it is asked", async || rejected.get() > 0).await;
}

/// What the others left nothing of is refused: it did not pass them.
#[tokio::test]
async fn a_shadow_is_asked_about_no_blank_text() {
    let (folder, metrics) = (interpreted(), Metrics::new());
    let set = load(&chain(folder.path(), &["sanitize", "hostile"], Mode::Shadow), &metrics);
    let blank = ask(&set, 1, "\u{202e}\u{200b}").await.verdict;
    assert!(matches!(&blank, Verdict::Replace(text) if text.trim().is_empty()), "{blank:?}");
    assert_eq!(ask(&set, 1, "reject").await, Ruling::ALLOW);
    let rejected = metrics.plugin_verdicts_total.with_label_values(&["hostile", "message", "reject"]);
    until_so("it was asked", async || rejected.get() > 0).await;
    assert_eq!(metrics.plugin_call_seconds.with_label_values(&["hostile", "message"]).get_sample_count(), 1);
}

fn is_held(outcome: &Outcome) -> bool {
    matches!(outcome, Ok(Reply::Held(_)))
}

fn is_busy(outcome: &Outcome) -> bool {
    matches!(outcome, Err(reject) if reject.is(RejectCode::Busy))
}

fn is_posted(outcome: &Outcome) -> bool {
    matches!(outcome, Ok(Reply::Appended(_)))
}

/// A server with it, whose calls may take long; its owner, a room, and sixteen connections of four people: fewer than a
/// breaker counts.
async fn slow_server(folder: &Path, mode: Mode) -> (TestServer, Person, Room, Vec<Person>) {
    let config = Plugins { call_budget_ms: 900, chain_budget_ms: 900, ..chain(folder, &["hostile"], mode) };
    let server = TestServer::start_with(|it| it.plugins = config).await;
    let owner = register_owner(&server).await;
    let room = owner.enter("den").await;
    let mut people = Vec::new();
    for n in 0..4 {
        let name = format!("author-{n}");
        let person = Person::register(&server, Transport::Quic, &name).await;
        person.enter("den").await;
        people.push(person);
        for _ in 1..4 {
            people.push(Person::login(&server, Transport::WebSocket, &name).await);
        }
    }
    (server, owner, room, people)
}

async fn verdicts(server: &TestServer, verdict: &str) -> f64 {
    let labels = format!("{{hook=\"message\",plugin=\"hostile\",verdict=\"{verdict}\"}}");
    server.metric(&format!("confab_plugin_verdicts_total{labels}")).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interpreted_plugin_is_waited_for_where_its_word_counts() {
    let folder = interpreted();
    let (_server, owner, room, people) = slow_server(folder.path(), Mode::Enforce).await;
    assert!(is_posted(&post(&owner, &room, "hello").await));
    assert!(post(&owner, &room, "reject").await.is_err_and(|it| it.is(RejectCode::ByPlugin)));
    // Four at a time take about a second each, and nobody waits longer than two.
    let outcomes = join_all(people.iter().map(|person| post(person, &room, "loop"))).await;
    let count = |is: fn(&Outcome) -> bool| outcomes.iter().filter(|it| is(it)).count();
    let (held, busy) = (count(is_held), count(is_busy));
    assert!(held >= 4 && busy > 0 && held + busy == people.len(), "{outcomes:?}");
    let told = found_by(&owner, "server").await;
    assert_eq!(told, vec![("unavailable".to_owned(), "busy".to_owned()); busy]);
    assert!(is_posted(&post(&owner, &room, "hello again").await));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interpreted_plugin_in_shadow_mode_refuses_nobody() {
    let folder = interpreted();
    let (server, owner, room, people) = slow_server(folder.path(), Mode::Shadow).await;
    let outcomes = join_all(people.iter().map(|person| post(person, &room, "loop"))).await;
    assert!(outcomes.iter().all(is_posted), "{outcomes:?}");
    // Whom it was not asked about is counted.
    assert!(server.metric("confab_plugin_shadow_dropped_total{plugin=\"hostile\"}").await > 0.0);
    // What it says once there is room for it is counted as well.
    let author = &people[0];
    until_so("it is asked", async || {
        assert!(is_posted(&post(author, &room, "spill").await));
        verdicts(&server, "reject").await > 0.0 && verdicts(&server, "hold").await > 0.0
    })
    .await;
    assert_eq!(verdicts(&server, "unavailable").await, 0.0);
    assert_eq!(found_by(&owner, "server").await, []);

    // And it is in the audit as what others find that decide nothing: once that is kept, for nobody waits for it.
    let of = async |hook: &str, verdict: &str| {
        let is_it = |(record, _): &(AuditRecord, String)| {
            record.finding.as_ref().is_some_and(|it| it.hook == hook && it.verdict == verdict)
        };
        audit(&owner, "hostile").await.into_iter().find(is_it)
    };
    until_so("it is kept", async || of("message", "reject").await.is_some()).await;
    let user = author.session.identity.user;
    let (record, note) = of("message", "reject").await.unwrap();
    assert_eq!((record.act.as_str(), record.room, record.user, record.seq), ("verdict", room.id, user, None));
    assert_eq!((record.before.len(), record.after.len(), note.as_str()), (32, 0, "they said spill"));
    assert!(record.finding.is_some_and(|it| !it.enforced && it.rule == "told-to" && it.sha256.len() == 64));

    // So is what it finds of an act, which it keeps from nobody.
    let guest = Person::register(&server, Transport::Quic, "no-login").await;
    let user = guest.session.identity.user;
    until_so("an act is kept", async || {
        drop(Person::login(&server, Transport::Quic, "no-login").await);
        of("login", "reject").await.is_some()
    })
    .await;
    let (record, _) = of("login", "reject").await.unwrap();
    assert!(record.room.is_none() && record.user == user && record.before.is_empty(), "{record:?}");
    assert!(record.finding.is_some_and(|it| !it.enforced));
}
