//! Which message a plugin is told that a text is about: of an edit, an answer and a reaction, as who writes sees it; and what
//! asks for it not at all costs nothing.

use std::path::Path;
use std::sync::Arc;

use confab::config::{Config, Mode, Plugins};
use confab::core::context::Context;
use confab::core::hook::{MessageEvent, Moderator, TextKind, Verdict, Wants};
use confab::core::target::About;
use confab_client::{Command, Error, RejectCode, Reply, Room};
use confab_plugin::golden::{Hooks, check_folder};
use confab_protocol::command::{Delete, Edit, Publish, React, SanctionUser};
use confab_protocol::model::{Body, Emoji, Reason, SanctionKind, Seq};
use serde_json::{Value, json};

use super::context::natively;
use super::{built, post, with_replaced, write};
use crate::support::guests::{copied, lab, load, message_event};
use crate::support::people::Person;
use crate::support::process::{Place, run};
use crate::support::{TestServer, Transport};

/// Of one plugin in a folder.
fn alone(id: &str, folder: &Path, granted: &str, mode: Mode) -> Plugins {
    Plugins {
        dir: Some(folder.to_owned()),
        chain: vec![id.to_owned()],
        grant: [(id.to_owned(), vec![granted.to_owned()])].into(),
        mode: [(id.to_owned(), mode)].into(),
        ..super::generous(Config::default().plugins)
    }
}

fn surveyor() -> Arc<tempfile::TempDir> {
    copied(&["test-plugins/surveyor"])
}

async fn say(person: &Person, room: &Room, text: &str) -> Seq {
    match post(person, room, text).await {
        Ok(Reply::Appended(appended)) => appended.seq,
        other => panic!("{text}: {other:?}"),
    }
}

fn edit(person: &Person, room: &Room, seq: Seq, text: &str) -> Command {
    Command::Edit(Edit { write: write(person, room), seq, body: Body::parse(text).unwrap() })
}

fn answer(person: &Person, room: &Room, seq: Seq) -> Command {
    let (client_id, body) = (person.client.new_client_id(), Body::parse("?").unwrap());
    Command::Publish(Publish { room: room.id, client_id, resend: false, body, reply_to: Some(seq) })
}

fn react(person: &Person, room: &Room, seq: Seq) -> Command {
    Command::React(React { write: write(person, room), seq, emoji: Emoji::parse("?").unwrap(), remove: false })
}

/// What the plugin is told of a question; it says so where it bounces it.
async fn told(person: &Person, question: Command) -> String {
    match person.client.request(question).await {
        Err(Error::Rejected(reject)) if reject.is(RejectCode::Bounced) => reject.detail,
        other => panic!("{other:?}"),
    }
}

async fn each_names_its_message(first: Transport, second: Transport) {
    let folder = surveyor();
    let plugins = alone("surveyor", folder.path(), "context", Mode::Enforce);
    let server = TestServer::start_with(|config| config.plugins = plugins).await;
    let alice = Person::register(&server, first, "alice").await;
    let bob = Person::register(&server, second, "bob").await;
    let den = alice.enter("den").await;
    bob.enter("den").await;
    let by_alice = format!("by {:x}", alice.session.identity.user.as_u128());
    let one = say(&alice, &den, "one").await;
    let (seq, nowhere) = (one.0, Seq(one.0 + 1_000));

    let plain = post(&bob, &den, "?").await.unwrap_err();
    assert_eq!(plain.detail, "about nothing", "it answers none");
    assert_eq!(told(&bob, answer(&bob, &den, one)).await, format!("answers {seq} {by_alice}: one"));
    assert_eq!(told(&bob, react(&bob, &den, one)).await, format!("reacts to {seq} {by_alice}: one"));
    assert_eq!(told(&alice, edit(&alice, &den, one, "?")).await, format!("edits {seq} {by_alice}: one"));
    alice.client.request(edit(&alice, &den, one, "two")).await.unwrap();
    assert_eq!(told(&alice, edit(&alice, &den, one, "?")).await, format!("edits {seq} {by_alice}: two"));
    assert_eq!(told(&bob, react(&bob, &den, one)).await, format!("reacts to {seq} {by_alice}: two"));
    let plain = post(&alice, &den, "?").await.unwrap_err();
    assert_eq!(plain.detail, "about nothing", "nothing is left of a question before");

    // Where nothing is to be seen, the place is all that is known.
    let unseen = |does: &str, seq: Seq| format!("{does} {} by 0: nothing", seq.0);
    assert_eq!(told(&bob, answer(&bob, &den, nowhere)).await, unseen("answers", nowhere));
    assert_eq!(told(&bob, react(&bob, &den, nowhere)).await, unseen("reacts to", nowhere));
    let delete = Delete { write: write(&alice, &den), seqs: vec![one] };
    alice.client.request(Command::Delete(delete)).await.unwrap();
    assert_eq!(told(&bob, answer(&bob, &den, one)).await, format!("answers {seq} {by_alice}: nothing"));

    let (user, reason) = (bob.session.identity.user, Reason::parse("enough").unwrap());
    let kind = SanctionKind::Shadow;
    let sanction = SanctionUser { write: write(&alice, &den), user, kind, duration_ms: 0, reason };
    alice.client.request(Command::Sanction(sanction)).await.unwrap();
    let psst = say(&bob, &den, "psst").await;
    let by_bob = format!("by {:x}", user.as_u128());
    assert_eq!(told(&alice, answer(&alice, &den, psst)).await, unseen("answers", psst), "others do not see it");
    assert_eq!(told(&bob, answer(&bob, &den, psst)).await, format!("answers {} {by_bob}: psst", psst.0));
    assert_eq!(told(&bob, edit(&bob, &den, psst, "?")).await, format!("edits {} {by_bob}: psst", psst.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_an_answer_and_a_reaction_name_their_message() {
    each_names_its_message(Transport::Quic, Transport::WebSocket).await;
    each_names_its_message(Transport::WebSocket, Transport::Quic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_imports_it_is_asked_about_nothing_unread_and_others_cost_nothing() {
    let folder = surveyor();
    let with = |mode| alone("surveyor", folder.path(), "context", mode);
    let (enforce, shadow) = (with(Mode::Enforce), with(Mode::Shadow));
    let nothing = About::default();
    for (plugins, kind, about, passes) in [
        (&enforce, TextKind::New, Some(&nothing), true),
        (&enforce, TextKind::New, None, false),
        (&enforce, TextKind::Edit, None, false),
        (&enforce, TextKind::Reaction, None, false),
        (&enforce, TextKind::DisplayName, None, true),
        (&shadow, TextKind::Edit, None, true),
    ] {
        let event = MessageEvent { kind, about, context: Some(Context::default()), ..message_event("hello") };
        let ruling = load(plugins).unwrap().decide_message(event).await;
        assert_eq!(ruling.verdict == Verdict::Allow, passes, "{kind:?} {ruling:?}");
        let is_told = || ruling.marks.iter().any(|mark| mark.rule == "no-target");
        assert!(passes || (matches!(ruling.verdict, Verdict::Unavailable { .. }) && is_told()), "{ruling:?}");
    }

    let others = copied(&["test-plugins/historian"]);
    let historian = load(&alone("historian", others.path(), "history", Mode::Enforce)).unwrap();
    assert_eq!(historian.wants(), Wants { history: true, ..Wants::default() });
}

/// Its author knows the name of the interface, and is told with which capability that comes.
#[test]
fn it_is_declared_as_a_part_of_context() {
    let folder = surveyor();
    let (wasm, manifest) = (folder.path().join("surveyor.wasm"), folder.path().join("surveyor.toml"));
    let [context, history] = ["confab:plugin/context@0.1.0", "confab:plugin/history@0.1.0"];
    std::fs::write(&wasm, with_replaced(&std::fs::read(&wasm).unwrap(), context, history)).unwrap();
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text.replace("\"context\"", "\"history\"")).unwrap();
    let Err(error) = load(&alone("surveyor", folder.path(), "history", Mode::Enforce)) else { panic!("it was loaded") };
    assert!(error.contains("imports target (a part of context), which its manifest does not declare"), "{error}");
}

/// A golden line says which message it is about, natively and in the sandbox.
#[test]
fn golden_lines_are_about_messages() {
    let goldens = tempfile::tempdir().unwrap();
    let line = |kind: &str, about: &Value, text: &str| {
        let context = json!({ "about": about });
        json!({ "kind": kind, "body": "?", "context": context, "expect": "bounce", "text": text }).to_string()
    };
    let about = json!({ "seq": 3, "author": 18, "body": "before" });
    let lines = [
        json!({ "kind": "edit", "body": "?", "expect": "bounce", "text": "about nothing" }).to_string(),
        line("edit", &about, "edits 3 by 12: before"),
        line("new", &about, "answers 3 by 12: before"),
        line("reaction", &about, "reacts to 3 by 12: before"),
        line("new", &json!({}), "answers 1 by 1: nothing"),
        line("new", &Value::Null, "about nothing"),
        line("display-name", &about, "about nothing"),
        json!({ "hook": "join", "context": { "about": about } }).to_string(),
    ];
    std::fs::write(goldens.path().join("all.jsonl"), lines.join("\n")).unwrap();
    let found = lab("test-plugins/surveyor").goldens(goldens.path()).unwrap();
    assert_eq!((found.lines, found.wrong), (lines.len(), Vec::new()));
    let hooks = Hooks {
        message: Some(|event| natively::decide(&event)),
        join: Some(|event| natively::decide_join(&event)),
        ..Hooks::default()
    };
    check_folder(goldens.path().to_str().unwrap(), hooks);
}

/// Of an edit its message, and of an answer nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_knows_what_is_edited() {
    let place = Place::with("plugins.chain = []");
    let _server = place.serve();
    let alice = place.register(Transport::Quic, "alice").await;
    let den = alice.enter("den").await;
    let one = say(&alice, &den, "one").await;
    alice.client.request(edit(&alice, &den, one, "which")).await.unwrap();
    let component = built("test-plugins/surveyor.wasm");
    let arguments = ["plugin", "--json", "replay", component.to_str().unwrap()];
    let printed = run(&mut place.command(&arguments), "").assert_good();
    let found: Value = serde_json::from_str(printed.trim()).unwrap();
    let bounced = |about: u64, sample: String| {
        let rule = format!("about-{about}");
        json!({ "verdict": "bounce", "rule": rule, "count": 1, "samples": [sample] })
    };
    let expected = [bounced(0, format!("{}/{}", den.id, one.0)), bounced(one.0, format!("{}/{}:edit", den.id, one.0))];
    assert_eq!(found["verdicts"], json!(expected));
}
