//! What a plugin is given of what was said before: as everybody sees it, in bounds, and to nobody who was not granted it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use confab::config::{Config, Mode, Plugins};
use confab::core::earlier::Earlier;
use confab::core::hook::{MessageEvent, Moderator, TextKind, Verdict};
use confab_client::{Command, Error, RejectCode, Reply, Room};
use confab_plugin::golden::{Hooks, check_folder};
use confab_protocol::command::{Delete, Edit, SanctionUser, UpdateRoom};
use confab_protocol::model::{Body, DisplayName, Reason, SanctionKind, Seq, Visibility};
use serde_json::{Value, json};

use super::{built, post, write};
use crate::support::commands::update_room;
use crate::support::guests::{copied, lab, load, message_event};
use crate::support::people::{self, Person};
use crate::support::process::{Place, run};
use crate::support::{TestServer, Transport};

#[path = "../plugins/historian/src/decide.rs"]
mod natively;

/// The guest that tells what it is given, in a folder.
fn folder() -> Arc<tempfile::TempDir> {
    copied(&["test-plugins/historian"])
}

fn historian(folder: &Path) -> Plugins {
    Plugins {
        dir: Some(folder.to_owned()),
        chain: vec!["historian".into()],
        grant: [("historian".to_owned(), vec!["history".to_owned()])].into(),
        ..super::generous(Config::default().plugins)
    }
}

async fn server() -> TestServer {
    let folder = folder();
    TestServer::start_with(|config| config.plugins = historian(folder.path())).await
}

async fn say(person: &Person, room: &Room, text: &str) -> u64 {
    match post(person, room, text).await {
        Ok(Reply::Appended(appended)) => appended.seq.0,
        other => panic!("{text:.50}: {other:?}"),
    }
}

/// What the plugin makes of a question, and where it stands.
async fn ask(person: &Person, room: &Room, question: &str) -> (u64, String) {
    let seq = say(person, room, question).await;
    let page = person.client.history(room.id, Seq(seq + 1), 1).await.unwrap();
    (seq, people::message(&page.entries[0].payload).unwrap())
}

async fn edit(person: &Person, room: &Room, seq: u64, text: &str) -> Result<Reply, Error> {
    let edit = Edit { write: write(person, room), seq: Seq(seq), body: Body::parse(text).unwrap() };
    person.client.request(Command::Edit(edit)).await
}

async fn shadow(by: &Person, room: &Room, of: &Person) {
    let (user, reason) = (of.session.identity.user, Reason::parse("enough").unwrap());
    let kind = SanctionKind::Shadow;
    let sanction = SanctionUser { write: write(by, room), user, kind, duration_ms: 0, reason };
    by.client.request(Command::Sanction(sanction)).await.unwrap();
}

fn assert_echo(reject: &confab_client::Reject) {
    assert_eq!((reject.code, reject.detail.as_str()), (RejectCode::Bounced.number(), "you said that"));
}

/// A room, and what everybody sees of it.
struct Story<'a> {
    room: &'a Room,
    seen: Vec<String>,
}

impl Story<'_> {
    async fn say(&mut self, person: &Person, text: &str) -> u64 {
        let seq = say(person, self.room, text).await;
        self.seen.push(format!("{seq} {text}"));
        seq
    }

    fn newest(&self, count: usize) -> String {
        let newest = &self.seen[self.seen.len().saturating_sub(count)..];
        if newest.is_empty() { "nothing".into() } else { format!("{}: {}", newest.len(), newest.join(", ")) }
    }

    /// That the plugin is given these; its answer is a message too.
    async fn check(&mut self, person: &Person, count: usize) {
        let (seq, told) = ask(person, self.room, &format!("tell {count}")).await;
        assert_eq!(told, self.newest(count));
        self.seen.push(format!("{seq} {told}"));
    }

    fn rewrite(&mut self, seq: u64, text: Option<&str>) {
        let at = self.seen.iter().position(|it| it.starts_with(&format!("{seq} "))).unwrap();
        match text {
            Some(text) => self.seen[at] = format!("{seq} {text} (edited)"),
            None => drop(self.seen.remove(at)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_given_what_everybody_sees_in_order() {
    let server = server().await;
    let alice = Person::register(&server, Transport::Quic, "alice").await;
    let bob = Person::register(&server, Transport::WebSocket, "bob").await;
    let (den, hall) = (alice.enter("den").await, bob.enter("hall").await);
    bob.enter("den").await;
    let mut story = Story { room: &den, seen: Vec::new() };
    story.check(&alice, 50).await;
    story.say(&alice, "one").await;
    say(&bob, &hall, "elsewhere").await;
    let two = story.say(&bob, "two").await;
    let three = story.say(&alice, "three").await;
    story.check(&bob, 50).await;
    for count in [2, 0] {
        story.check(&alice, count).await;
    }

    edit(&bob, &den, two, "deux").await.unwrap();
    story.rewrite(two, Some("deux"));
    let delete = Delete { write: write(&alice, &den), seqs: vec![Seq(three)] };
    alice.client.request(Command::Delete(delete)).await.unwrap();
    story.rewrite(three, None);
    story.check(&alice, 50).await;

    // Whom others do not hear is not heard here either, also not for a message of their own.
    let eve = Person::register(&server, Transport::WebSocket, "eve").await;
    eve.enter("den").await;
    shadow(&alice, &den, &eve).await;
    say(&eve, &den, "hidden").await;
    assert_eq!(ask(&eve, &den, "tell 50").await.1, story.newest(50));
    story.check(&bob, 50).await;
    assert_eq!(ask(&bob, &hall, "tell 50").await.1.split(": ").next(), Some("1"), "another room is another story");

    // A name is said in no room.
    let name = DisplayName::parse("tell 50").unwrap();
    alice.client.request(Command::UpdateProfile(name)).await.unwrap();
    let profiles = Command::Profiles(vec![alice.session.identity.user]);
    let Reply::Members { members, .. } = alice.client.request(profiles).await.unwrap() else { panic!() };
    assert_eq!(members[0].display_name, "nothing");
}

/// Where a room begins for each with their own coming, what a plugin is given begins with that of who writes.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_from_before_its_author_came() {
    let server = server().await;
    let alice = Person::register(&server, Transport::Quic, "alice").await;
    let bob = Person::register(&server, Transport::WebSocket, "bob").await;
    let den = alice.enter("den").await;
    let one = say(&alice, &den, "one").await;
    let since_join = UpdateRoom { visibility: Some(Visibility::SinceJoin), ..update_room(write(&alice, &den)) };
    alice.client.request(Command::UpdateRoom(since_join)).await.unwrap();
    bob.enter("den").await;
    assert_eq!(ask(&bob, &den, "tell 0").await.1, "nothing");
    let two = say(&bob, &den, "two").await;
    let (at, told) = ask(&bob, &den, "tell 2").await;
    assert!(told.starts_with("2: ") && told.ends_with(&format!(", {two} two")) && !told.contains("one"), "{told}");
    let all = ask(&alice, &den, "tell 50").await.1;
    assert!(all.starts_with(&format!("4: {one} one, ")) && all.ends_with(&format!(", {at} {told}")), "{all}");
    let of_bob = ask(&bob, &den, "tell 50").await.1;
    assert!(of_bob.starts_with("4: ") && !of_bob.starts_with(&format!("4: {one} ")), "{of_bob}");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_most_fifty_and_64_kib() {
    let server = server().await;
    let alice = Person::register(&server, Transport::Quic, "alice").await;
    let den = alice.enter("den").await;
    for n in 10..70 {
        say(&alice, &den, &format!("n{n}")).await;
    }
    assert_eq!(ask(&alice, &den, "measure").await.1, "50 messages, 150 bytes");
    let (_, told) = ask(&alice, &den, "tell 4").await;
    assert!(told.starts_with("4: ") && told.ends_with("50 messages, 150 bytes") && told.contains("n67"), "{told}");
    for n in 0..6 {
        say(&alice, &den, &format!("{n}{}", "日".repeat(3_999))).await;
    }
    assert_eq!(ask(&alice, &den, "measure").await.1, "5 messages, 59990 bytes", "a sixth is too much");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_said_just_before_is_bounced() {
    let server = server().await;
    let alice = Person::register(&server, Transport::WebSocket, "alice").await;
    let bob = Person::register(&server, Transport::Quic, "bob").await;
    let den = alice.enter("den").await;
    bob.enter("den").await;
    let first = say(&alice, &den, "hello").await;
    say(&bob, &den, "hello").await;
    assert_echo(&post(&alice, &den, "hello").await.unwrap_err());
    let second = say(&alice, &den, "something else").await;
    say(&alice, &den, "hello").await;
    // An edit is decided about as a message is, and is what was said from then on.
    match edit(&alice, &den, second, "hello").await {
        Err(Error::Rejected(reject)) => assert_echo(&reject),
        other => panic!("{other:?}"),
    }
    edit(&alice, &den, first, "good day").await.unwrap();
    assert_echo(&post(&alice, &den, "hello").await.unwrap_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_takes_a_grant_and_nothing_is_read_without() {
    let folder = folder();
    let granted = historian(folder.path());
    let refused = |plugins: &Plugins, words: [&str; 2]| {
        let Err(error) = load(plugins) else { panic!("{words:?}") };
        assert!(words.iter().all(|word| error.contains(word)) && !error.contains('\n'), "{error}");
    };
    let wish = ["wants the capability history", "plugins.grant.historian = [\"history\"]"];
    refused(&Plugins { grant: BTreeMap::new(), ..granted.clone() }, wish);
    let other = [("historian".to_owned(), vec!["kv".to_owned()])].into();
    refused(&Plugins { grant: other, ..granted.clone() }, wish);

    let with = |mode| Plugins { mode: [("historian".to_owned(), mode)].into(), ..granted.clone() };
    let sanitize = Plugins { dir: None, chain: vec!["sanitize".into()], grant: BTreeMap::new(), ..granted.clone() };
    let (off, shadow, enforce) = (with(Mode::Off), with(Mode::Shadow), with(Mode::Enforce));
    for (plugins, is_wanted) in [(&sanitize, false), (&off, false), (&shadow, true), (&enforce, true)] {
        assert_eq!(load(plugins).unwrap().wants().history, is_wanted, "{:?}", plugins.mode);
    }

    // What could not be read: its author comes again. One whose word does not count keeps nobody from anything.
    let nothing: Arc<[Earlier]> = Arc::default();
    for (plugins, kind, earlier, passes) in [
        (&enforce, TextKind::New, Some(&nothing), true),
        (&enforce, TextKind::New, None, false),
        (&enforce, TextKind::Edit, None, false),
        (&enforce, TextKind::Reaction, None, true),
        (&shadow, TextKind::New, None, true),
        (&off, TextKind::New, None, true),
    ] {
        let event = MessageEvent { kind, earlier, ..message_event("hello") };
        let ruling = load(plugins).unwrap().decide_message(event).await;
        assert_eq!(ruling.verdict == Verdict::Allow, passes, "{kind:?} {ruling:?}");
        let is_told = || ruling.marks.iter().any(|mark| mark.rule == "no-history");
        assert!(passes || (matches!(ruling.verdict, Verdict::Unavailable { .. }) && is_told()), "{ruling:?}");
    }

    let path = folder.path().join("historian.toml");
    let undeclared = std::fs::read_to_string(&path).unwrap().replace("[\"history\"]", "[]");
    std::fs::write(&path, undeclared).unwrap();
    refused(&granted, ["imports history", "which its manifest does not declare"]);
}

/// A golden line says what was there before, natively and in the sandbox.
#[test]
fn golden_lines_have_a_history() {
    let goldens = tempfile::tempdir().unwrap();
    let told = |text: &str| format!("\"expect\": \"replace\", \"text\": {text:?}}}");
    let many: Vec<Value> = (0..60).map(|n| json!({ "body": format!("n{n}") })).collect();
    let large: Vec<Value> = (0..6).map(|n| json!({ "body": format!("{n}{}", "x".repeat(15_999)) })).collect();
    let three = "\"history\": [{\"body\": \"a\"}, {\"author\": 2, \"body\": \"b\", \"edited\": true}, {\"seq\": 9, \"body\": \"c\"}]";
    let lines = [
        format!("{{\"body\": \"tell 9\", {}", told("nothing")),
        format!("{{\"body\": \"tell 9\", {three}, {}", told("3: 1 a, 2 b (edited), 9 c")),
        format!("{{\"kind\": \"edit\", \"body\": \"tell 1\", {three}, {}", told("1: 9 c")),
        format!("{{\"kind\": \"reaction\", \"body\": \"tell 1\", {three}, {}", told("nothing")),
        format!("{{\"body\": \"c\", {three}, \"expect\": \"bounce\", \"rule\": \"echo\"}}"),
        format!("{{\"body\": \"b\", {three}}}"),
        format!("{{\"body\": \"measure\", \"history\": {}, {}", json!(many), told("50 messages, 150 bytes")),
        format!("{{\"body\": \"measure\", \"history\": {}, {}", json!(large), told("4 messages, 64000 bytes")),
        "{\"body\": \"c\"}".to_owned(),
    ];
    std::fs::write(goldens.path().join("all.jsonl"), lines.join("\n")).unwrap();
    let lab = lab("test-plugins/historian");
    let found = lab.goldens(goldens.path()).unwrap();
    assert_eq!((found.lines, found.wrong), (lines.len(), Vec::new()));
    assert_eq!(lab.imports(), ["history"]);
    let hooks = Hooks { message: Some(|event| natively::decide(&event)), ..Hooks::default() };
    check_folder(goldens.path().to_str().unwrap(), hooks);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_gives_it_what_was_said_before() {
    let place = Place::with("plugins.chain = []");
    let _server = place.serve();
    let alice = place.register(Transport::Quic, "alice").await;
    let eve = place.register(Transport::WebSocket, "eve").await;
    let den = alice.enter("den").await;
    eve.enter("den").await;
    say(&alice, &den, "hello").await;
    say(&eve, &den, "hello").await;
    let again = say(&alice, &den, "hello").await;
    // Others do not hear the first of these, so the second is no echo.
    shadow(&alice, &den, &eve).await;
    say(&eve, &den, "psst").await;
    say(&eve, &den, "psst").await;
    let component = built("test-plugins/historian.wasm");
    let arguments = ["plugin", "--json", "replay", component.to_str().unwrap()];
    let printed = run(&mut place.command(&arguments), "").assert_good();
    let found: Value = serde_json::from_str(printed.trim()).unwrap();
    let sample = format!("{}/{again}", den.id);
    let bounced = json!({ "verdict": "bounce", "rule": "echo", "count": 1, "samples": [sample] });
    assert_eq!((&found["messages"], &found["verdicts"]), (&json!(5), &json!([bounced])));
}
