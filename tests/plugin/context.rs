//! What else a plugin is told of a message or an act: how it came, where it is to stand, what was known of its author; and
//! nothing to one that was not granted it.

use std::path::Path;
use std::sync::Arc;

use confab::config::{Config, Mode, Plugins};
use confab::core::context::Context;
use confab::core::hook::{Act, ActEvent, MessageEvent, Moderator, Ruling, TextKind, Verdict, Wants};
use confab::core::target::About;
use confab_client::{Command, Error, Reply, Room};
use confab_plugin::golden::{Hooks, check_folder};
use confab_protocol::command::{CreateRoom, Delete, Edit, RoomTarget, UpdateRoom};
use confab_protocol::model::{Body, Millis, RoomId, RoomName, Seq, ServerRole, Topic, UserId};
use serde_json::{Value, json};

use super::{built, post, write};
use crate::support::commands::update_room;
use crate::support::guests::{copied, lab, load, message_event};
use crate::support::people::{self, Person};
use crate::support::process::{Place, run};
use crate::support::{TestServer, Transport};

#[path = "../plugins/surveyor/src/decide.rs"]
pub(super) mod natively;

/// The guest that tells what it is told, in a folder.
fn folder() -> Arc<tempfile::TempDir> {
    copied(&["test-plugins/surveyor"])
}

fn surveyor(folder: &Path, granted: &[&str]) -> Plugins {
    Plugins {
        dir: Some(folder.to_owned()),
        chain: vec!["surveyor".into()],
        grant: [("surveyor".to_owned(), granted.iter().map(|&it| it.to_owned()).collect())].into(),
        ..super::generous(Config::default().plugins)
    }
}

async fn say(person: &Person, room: &Room, text: &str) -> Seq {
    match post(person, room, text).await {
        Ok(Reply::Appended(appended)) => appended.seq,
        other => panic!("{text}: {other:?}"),
    }
}

async fn read(person: &Person, room: &Room, seq: Seq) -> String {
    let page = person.client.history(room.id, Seq(seq.0 + 1), 1).await.unwrap();
    people::message(&page.entries[0].payload).unwrap()
}

/// What the plugin is told of a question; it answers in its place.
async fn ask(person: &Person, room: &Room) -> String {
    let seq = say(person, room, "tell").await;
    read(person, room, seq).await
}

async fn make(person: &Person, command: Command) -> Room {
    let Reply::Room(room) = person.client.request(command).await.unwrap() else { panic!() };
    room
}

const fn word(transport: Transport) -> &'static str {
    match transport {
        Transport::Quic => "quic",
        Transport::WebSocket => "websocket",
    }
}

/// Two people, of whom the second is flagged and held; over one transport each.
async fn it_is_told_of_both(first: Transport, second: Transport) {
    let folder = folder();
    let server = TestServer::start_with(|config| config.plugins = surveyor(folder.path(), &["context"])).await;
    let alice = Person::register(&server, first, "alice").await;
    let bob = Person::register(&server, second, "bob").await;
    let den = alice.enter("den").await;
    bob.enter("den").await;
    let (of_alice, of_bob) = (word(first), word(second));
    let told = |by: &str, messages: u32, flags: u32, here: u32| {
        format!("{by}; open, slow 0, 2 members, {messages} messages; {flags} flags, {here} here")
    };
    assert_eq!(ask(&alice, &den).await, told(of_alice, 0, 0, 0));
    let one = say(&alice, &den, "one").await;
    assert_eq!(ask(&bob, &den).await, told(of_bob, 2, 0, 0));
    assert_eq!(ask(&alice, &den).await, told(of_alice, 3, 0, 2));

    say(&bob, &den, "flag this").await;
    assert!(matches!(post(&bob, &den, "hold this").await, Ok(Reply::Held(_))));
    assert_eq!(ask(&bob, &den).await, told(of_bob, 5, 2, 2), "what is held is not said");
    assert_eq!(ask(&alice, &den).await, told(of_alice, 6, 0, 3), "that was about somebody else");
    let delete = Delete { write: write(&alice, &den), seqs: vec![one] };
    alice.client.request(Command::Delete(delete)).await.unwrap();
    assert_eq!(ask(&alice, &den).await, told(of_alice, 7, 0, 3), "what is deleted is not there");

    let slow = UpdateRoom { slow_mode_ms: Some(5_000), ..update_room(write(&alice, &den)) };
    alice.client.request(Command::UpdateRoom(slow)).await.unwrap();
    let last = say(&alice, &den, "last").await;
    let edit = Edit { write: write(&alice, &den), seq: last, body: Body::parse("tell").unwrap() };
    alice.client.request(Command::Edit(edit)).await.unwrap();
    let expected = format!("{of_alice}; open, slow 5000, 2 members, 9 messages; 0 flags, 5 here");
    assert_eq!(read(&alice, &den, last).await, expected, "an edit is told of, too");

    // Elsewhere one has said nothing, and is the same person.
    let (client_id, user) = (bob.client.new_client_id(), alice.session.identity.user);
    let direct = make(&bob, Command::Direct { client_id, user }).await;
    let expected = format!("{of_bob}; direct, slow 0, 2 members, 0 messages; 2 flags, 0 here");
    assert_eq!(ask(&bob, &direct).await, expected);
    let (client_id, resend, private) = (alice.client.new_client_id(), false, true);
    let (name, topic) = (RoomName::parse("study").unwrap(), Topic::parse("").unwrap());
    let study = make(&alice, Command::CreateRoom(CreateRoom { client_id, resend, name, topic, private })).await;
    let expected = format!("{of_alice}; private, slow 0, 1 members, 0 messages; 0 flags, 0 here");
    assert_eq!(ask(&alice, &study).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_told_of_room_author_and_transport() {
    it_is_told_of_both(Transport::Quic, Transport::WebSocket).await;
    it_is_told_of_both(Transport::WebSocket, Transport::Quic).await;
}

/// What was found of them elsewhere is known where they come in.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_told_of_who_comes_in() {
    let folder = folder();
    let server = TestServer::start_with(|config| config.plugins = surveyor(folder.path(), &["context"])).await;
    let alice = Person::register(&server, Transport::Quic, "alice").await;
    let den = alice.enter("den").await;
    say(&alice, &den, "one").await;
    let asker = Person::register(&server, Transport::WebSocket, "asker").await;
    // Who makes a room does not come in.
    let lair = asker.enter("lair").await;
    say(&asker, &lair, "flag this").await;
    assert!(matches!(post(&asker, &lair, "hold this").await, Ok(Reply::Held(_))));
    let again = Person::login(&server, Transport::Quic, "asker").await;
    for (person, by) in [(&asker, "websocket"), (&again, "quic")] {
        let reject = match person.client.request(Command::JoinRoom(RoomTarget::Id(den.id))).await {
            Err(Error::Rejected(reject)) => reject,
            other => panic!("{other:?}"),
        };
        assert_eq!(reject.detail, format!("{by}; open, slow 0, 1 members, 1 messages; 2 flags, 0 here"));
    }
}

/// That it comes again, by the rule that the audit has.
fn is_told(ruling: &Ruling) -> bool {
    matches!(ruling.verdict, Verdict::Unavailable { .. }) && ruling.marks.iter().any(|mark| mark.rule == "no-context")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_act_comes_with_what_is_wanted_of_it() {
    let folder = folder();
    let granted = surveyor(folder.path(), &["context"]);
    let join = Act::Join { room: RoomId::from_u128(1), by_invitation: false };
    let nothing = Some(Context::default());
    for (mode, is_wanted, context, passes) in [
        (Mode::Enforce, true, nothing, true),
        (Mode::Enforce, true, None, false),
        (Mode::Shadow, true, None, true),
        (Mode::Off, false, None, true),
    ] {
        let set = load(&Plugins { mode: [("surveyor".to_owned(), mode)].into(), ..granted.clone() }).unwrap();
        assert_eq!((set.wants_context(join), set.wants_context(Act::Login)), (is_wanted, false), "{mode:?}");
        let event = |act| ActEvent {
            who: UserId::from_u128(2),
            username: "author",
            role: ServerRole::User,
            account_created: Millis(1),
            now: Millis(1_770_000_000_000),
            act,
            context,
        };
        let ruling = set.decide_act(event(join)).await;
        assert_eq!(ruling.verdict == Verdict::Allow, passes, "{mode:?} {ruling:?}");
        assert!(passes || is_told(&ruling), "{ruling:?}");
        assert_eq!(set.decide_act(event(Act::Login)).await.verdict, Verdict::Allow, "it has no such hook");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_takes_a_grant_and_nothing_is_read_without() {
    let folder = folder();
    let others: [&[&str]; 2] = [&[], &["history", "kv"]];
    for granted in others {
        let Err(error) = load(&surveyor(folder.path(), granted)) else { panic!("{granted:?}") };
        let words = ["wants the capability context", "plugins.grant.surveyor = [\"context\"]"];
        assert!(words.iter().all(|word| error.contains(word)) && !error.contains('\n'), "{error}");
    }
    let granted = surveyor(folder.path(), &["context"]);
    let with = |mode| Plugins { mode: [("surveyor".to_owned(), mode)].into(), ..granted.clone() };
    let (off, shadow, enforce) = (with(Mode::Off), with(Mode::Shadow), with(Mode::Enforce));
    for (plugins, is_wanted) in [(&off, false), (&shadow, true), (&enforce, true)] {
        let wants = Wants { context: is_wanted, history: false, target: is_wanted };
        assert_eq!(load(plugins).unwrap().wants(), wants, "{:?}", plugins.mode);
    }

    // What could not be read: its author comes again. One whose word does not count keeps nobody from anything.
    let (nothing, about) = (Some(Context::default()), About::default());
    for (plugins, kind, context, passes) in [
        (&enforce, TextKind::New, nothing, true),
        (&enforce, TextKind::New, None, false),
        (&enforce, TextKind::Edit, None, false),
        (&enforce, TextKind::Reaction, None, true),
        (&shadow, TextKind::New, None, true),
        (&off, TextKind::New, None, true),
    ] {
        let event = MessageEvent { kind, context, about: Some(&about), ..message_event("hello") };
        let ruling = load(plugins).unwrap().decide_message(event).await;
        assert_eq!(ruling.verdict == Verdict::Allow, passes, "{kind:?} {ruling:?}");
        assert!(passes || is_told(&ruling), "{ruling:?}");
    }
}

/// A golden line says what is known, natively and in the sandbox.
#[test]
fn golden_lines_have_a_context() {
    let goldens = tempfile::tempdir().unwrap();
    let (nothing, known) = (
        "unknown; nowhere; 0 flags, 0 here",
        "websocket; private, slow 5000, 3 members, 9 messages; 2 flags, 100 here",
    );
    let room = json!({ "kind": "private", "slow_mode_ms": 5_000, "members": 3, "messages": 9 });
    let context = json!({ "transport": "websocket", "room": room, "prior_flags": 2, "messages_here": 140 });
    let line = |kind: &str, context: &Value, text: &str| {
        json!({ "kind": kind, "body": "tell", "context": context, "expect": "replace", "text": text }).to_string()
    };
    let lines = [
        format!("{{\"body\": \"tell\", \"expect\": \"replace\", \"text\": \"{nothing}\"}}"),
        line("new", &context, known),
        line("edit", &context, known),
        line("reaction", &context, nothing),
        json!({ "hook": "join", "username": "asker", "context": context, "expect": "reject", "text": known })
            .to_string(),
        line("new", &json!({ "room": {} }), "unknown; open, slow 0, 2 members, 0 messages; 0 flags, 0 here"),
    ];
    let file = goldens.path().join("all.jsonl");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let lab = lab("test-plugins/surveyor");
    let found = lab.goldens(goldens.path()).unwrap();
    assert_eq!((found.lines, found.wrong), (lines.len(), Vec::new()));
    assert_eq!(lab.imports(), ["context"]);
    let hooks = Hooks {
        message: Some(|event| natively::decide(&event)),
        join: Some(|event| natively::decide_join(&event)),
        ..Hooks::default()
    };
    check_folder(goldens.path().to_str().unwrap(), hooks);

    let odd = [json!({ "transport": "pigeon" }), json!({ "room": { "kind": "round" } })];
    std::fs::write(&file, odd.map(|context| line("new", &context, known)).join("\n")).unwrap();
    let wrong = lab.goldens(goldens.path()).unwrap().wrong;
    let words = ["no transport pigeon", "no kind of room round"];
    assert!(wrong.len() == 2 && wrong.iter().zip(words).all(|(line, word)| line.contains(word)), "{wrong:?}");
}

/// Of a room as it is today, and of nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_knows_the_room() {
    let place = Place::with("plugins.chain = []");
    let _server = place.serve();
    let alice = place.register(Transport::Quic, "alice").await;
    let bob = place.register(Transport::WebSocket, "bob").await;
    let den = alice.enter("den").await;
    say(&alice, &den, "hello").await;
    let asked = say(&alice, &den, "count").await;
    bob.enter("den").await;
    let component = built("test-plugins/surveyor.wasm");
    let arguments = ["plugin", "--json", "replay", component.to_str().unwrap()];
    let printed = run(&mut place.command(&arguments), "").assert_good();
    let found: Value = serde_json::from_str(printed.trim()).unwrap();
    let sample = format!("{}/{}", den.id, asked.0);
    let bounced = json!({ "verdict": "bounce", "rule": "members-2.0", "count": 1, "samples": [sample] });
    assert_eq!((&found["messages"], &found["verdicts"]), (&json!(2), &json!([bounced])));
}
