//! Plugins that act: by an account of their own, as a moderator would and no further, within a rate, and not at all where
//! they do not count.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use confab::Server;
use confab::config::{Config, Mode, Plugins};
use confab::core::audit::AuditKey;
use confab::core::names::user_key;
use confab::core::store::{Created, NewUser};
use confab_client::{Client, Command, Error, Options, Reject, Reply, Room};
use confab_protocol::codec::{decode_audit, decode_entry};
use confab_protocol::command::{
    Admit, AuditRecord, CaseFilter, CreateRoom, Delete, Finding, ListAudit, ListCases, RoomTarget, SetRole, UpdateRoom,
    Write,
};
use confab_protocol::model::{
    AuditId, CaseId, CaseKind, Cursor, DisplayName, Entry, EntryContent, Incarnation, MembershipChange, Millis,
    ReportReason, RoomId, RoomName, RoomRole, SanctionKind, Seq, ServerRole, Topic, UserId, Username,
};
use confab_protocol::reject::RejectCode;
use tokio::time::{Instant, sleep};

use super::post;
use crate::support::commands::{register, update_room};
use crate::support::guests::{copied, lab, load};
use crate::support::people::Person;
pub(super) use crate::support::people::register_owner;
use crate::support::process::{PATIENCE, Place, eventually};
use crate::support::raw::{Raw, Target};
use crate::support::{TestServer, Transport, until_so};

/// The guest that acts, in a folder.
pub(super) fn folder() -> Arc<tempfile::TempDir> {
    copied(&["test-plugins/deputy"])
}

fn deputy(folder: &Path, mode: Mode) -> Plugins {
    Plugins {
        dir: Some(folder.to_owned()),
        chain: vec!["deputy".into()],
        mode: [("deputy".to_owned(), mode)].into(),
        grant: [("deputy".to_owned(), vec!["actions".to_owned(), "metrics".to_owned()])].into(),
        ..Config::default().plugins
    }
}

pub(super) async fn start(folder: &Path, mode: Mode) -> TestServer {
    TestServer::start_with(|config| config.plugins = deputy(folder, mode)).await
}

pub(super) async fn say(person: &Person, room: &Room, text: &str) -> Seq {
    match post(person, room, text).await {
        Ok(Reply::Appended(appended)) => appended.seq,
        other => panic!("{other:?}"),
    }
}

pub(super) async fn refusal(person: &Person, command: Command) -> Reject {
    match person.client.request(command).await {
        Err(Error::Rejected(reject)) => reject,
        other => panic!("{other:?}"),
    }
}

pub(super) fn write(person: &Person, room: RoomId) -> Write {
    Write { room, client_id: person.client.new_client_id(), resend: false }
}

pub(super) fn outcome(action: &str, outcome: &str) -> String {
    format!("confab_plugin_actions_total{{action=\"{action}\",outcome=\"{outcome}\",plugin=\"deputy\"}}")
}

fn counted(name: &str) -> String {
    format!("confab_plugin_custom_total{{name=\"{name}\",plugin=\"deputy\"}}")
}

/// Until so many had this outcome, and not more.
pub(super) async fn until(server: &TestServer, action: &str, result: &str, expected: f64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let count = server.metric(&outcome(action, result)).await;
        if count >= expected {
            assert_eq!(count, expected, "{action} {result}");
            return;
        }
        assert!(Instant::now() < deadline, "{action} {result}: {count} of {expected}");
        sleep(Duration::from_millis(50)).await;
    }
}

/// All of a room's log.
pub(super) async fn log(person: &Person, room: &Room) -> Vec<(Seq, Entry)> {
    let (mut log, mut cursor) = (Vec::new(), Cursor { room: room.id, incarnation: room.incarnation, seq: Seq(0) });
    loop {
        let sync = Command::Sync { cursor, limit: 0 };
        let Reply::Page(page) = person.client.request(sync).await.unwrap() else { panic!() };
        log.extend(page.entries.iter().map(|entry| (entry.seq, decode_entry(&entry.payload).unwrap())));
        if page.next == Seq(0) {
            return log;
        }
        cursor.seq = page.next;
    }
}

/// Members of a room, by their user names.
pub(super) async fn member(person: &Person, room: &Room, name: &str) -> Option<UserId> {
    let list = Command::ListMembers { room: room.id, after: UserId::NONE, limit: 100 };
    let Reply::Members { members, .. } = person.client.request(list).await.unwrap() else { panic!() };
    members.into_iter().find(|member| member.username == name).map(|member| member.user)
}

/// The audit, the newest first.
pub(super) async fn audit(owner: &Person, plugin: Option<&str>) -> Vec<AuditRecord> {
    let plugin = plugin.map(str::to_owned);
    let list = ListAudit { room: None, user: None, case: None, plugin, before: AuditId::NONE, limit: 0 };
    let Ok(Reply::Audit { records, .. }) = owner.client.request(Command::ListAudit(list)).await else { panic!() };
    records.iter().map(|entry| decode_audit(&entry.record).unwrap()).collect()
}

pub(super) async fn cases(person: &Person, kind: CaseKind, mine: bool) -> Vec<confab_protocol::command::Case> {
    let (room, state, kind) = (None, CaseFilter::Any, Some(kind));
    let list = ListCases { room, state, kind, mine, about: None, before: CaseId::NONE, limit: 0 };
    let Ok(Reply::Cases { cases, .. }) = person.client.request(Command::ListCases(list)).await else { panic!() };
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn it_deletes_and_mutes_as_a_moderator_would() {
    let folder = folder();
    let server = start(folder.path(), Mode::Enforce).await;
    let owner = register_owner(&server).await;
    let room = owner.enter("den").await;
    let bob = Person::register(&server, Transport::WebSocket, "bob").await;
    bob.enter("den").await;
    assert_eq!(member(&owner, &room, "plugin.deputy").await, None, "it comes when it has something to do");
    let said = say(&bob, &room, "delete me").await;
    until(&server, "delete", "done", 1.0).await;
    let deputy = member(&owner, &room, "plugin.deputy").await.unwrap();
    say(&bob, &room, "mute me").await;
    until(&server, "mute", "done", 1.0).await;

    let log = log(&owner, &room).await;
    let (_, deleted) = log.iter().find(|(seq, _)| *seq == said).unwrap();
    assert_eq!(deleted.content, EntryContent::Tombstone { by_moderator: true });
    let by_it: Vec<_> = log.iter().filter(|(_, entry)| entry.author == deputy).map(|(_, it)| &it.content).collect();
    let user = bob.session.identity.user;
    let [EntryContent::Membership { change, display_name, .. }, EntryContent::Deletion { seqs, .. }, last] = &by_it[..]
    else {
        panic!("{by_it:?}")
    };
    assert_eq!((*change, display_name.as_str(), &seqs[..]), (MembershipChange::Joined, "plugin.deputy", &[said][..]));
    let EntryContent::Sanction(sanction) = last else { panic!("{last:?}") };
    assert_eq!((sanction.user, sanction.kind, sanction.reason.as_str()), (user, SanctionKind::Mute, "as you said"));
    assert!(sanction.until.is_some());
    let muted = post(&bob, &room, "hello?").await.unwrap_err();
    assert!(muted.is(RejectCode::Forbidden), "{muted}");

    // Whom it hits appeals as ever, and those who moderate find who did it, and which component wanted it.
    let case = cases(&bob, CaseKind::Sanction, true).await[0];
    assert!(case.appealable && case.subject == user, "{case:?}");
    let records = audit(&owner, None).await;
    for (act, seq) in [("delete", Some(said)), ("mute", None)] {
        let did = records.iter().find(|it| it.act == act && it.actor == deputy && it.user == user);
        assert!(did.is_some_and(|it| seq.is_none() || it.seq == seq), "{act}: {records:?}");
    }
    assert!(records.iter().any(|it| it.act == "server-role" && it.user == deputy && it.detail == "-> moderator"));
    let found = audit(&owner, Some("deputy")).await;
    let finding = |verdict: &str| {
        let of = |it: &&AuditRecord| it.finding.as_ref().is_some_and(|it| it.verdict == verdict);
        found.iter().find(of).unwrap_or_else(|| panic!("{verdict}: {found:?}"))
    };
    assert_eq!((finding("delete").seq, finding("delete").user), (Some(said), user));
    assert_eq!((finding("delete").case, finding("mute").case), (CaseId::NONE, case.id), "of the case");
    let Some(Finding { sha256, hook, enforced, rule, shown, .. }) = &finding("mute").finding else { panic!() };
    assert_eq!((sha256.len(), hook.as_str(), *enforced), (64, "actions", true));
    assert_eq!((rule.as_str(), shown.as_str()), ("told-to", "as you said"));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_touches_nobody_of_its_rank_or_above() {
    let folder = folder();
    let server = start(folder.path(), Mode::Enforce).await;
    let owner = register_owner(&server).await;
    let carol = Person::register(&server, Transport::WebSocket, "carol").await;
    let (den, hall) = (carol.enter("den").await, owner.enter("hall").await);
    carol.enter("hall").await;
    owner.enter("den").await;
    // Of the room, and of the server.
    for (person, room) in [(&carol, &den), (&owner, &den), (&owner, &hall)] {
        say(person, room, "delete me").await;
        say(person, room, "mute me").await;
    }
    for action in ["delete", "mute"] {
        until(&server, action, "refused", 3.0).await;
    }
    assert_eq!((carol.history(&den).await.len(), owner.history(&hall).await.len()), (4, 2), "nothing went");
    say(&carol, &den, "and nobody is muted").await;
    say(&carol, &hall, "delete me").await;
    until(&server, "delete", "done", 1.0).await;
    assert_eq!(audit(&owner, Some("deputy")).await.len(), 1);

    // Slow mode is an admin's to say; it was made one where the room's owner said so.
    say(&carol, &den, "slow").await;
    until(&server, "slow-mode", "refused", 1.0).await;
    let user = member(&carol, &den, "plugin.deputy").await.unwrap();
    let admin = Command::SetRole(SetRole { write: write(&carol, den.id), user, role: RoomRole::Admin });
    carol.client.request(admin).await.unwrap();
    say(&carol, &den, "slow").await;
    until(&server, "slow-mode", "done", 1.0).await;
    assert_eq!(carol.client.join("den").await.unwrap().slow_mode_ms, 30_000);

    // A moderator of the server who mutes it is obeyed.
    let mute = Command::Restrict { user, kind: SanctionKind::Mute, duration_ms: 0 };
    owner.client.request(mute).await.unwrap();
    say(&carol, &den, "slow").await;
    until(&server, "slow-mode", "refused", 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_files_cases() {
    let folder = folder();
    let server = start(folder.path(), Mode::Enforce).await;
    let owner = register_owner(&server).await;
    let bob = Person::register(&server, Transport::WebSocket, "bob").await;
    let den = bob.enter("den").await;
    let said = say(&bob, &den, "case").await;
    until(&server, "case", "done", 1.0).await;
    // Also from within a decision, about a person.
    let bounced = post(&bob, &den, "file this").await.unwrap_err();
    assert!(bounced.is(RejectCode::Bounced), "{bounced}");
    until(&server, "case", "done", 2.0).await;
    let user = bob.session.identity.user;
    let filed = cases(&owner, CaseKind::Report, false).await;
    let told: Vec<_> = filed.iter().map(|it| (it.subject, it.seq, it.reason, it.reports)).collect();
    let expected = [(user, None, Some(ReportReason::Other), 1), (user, Some(said), Some(ReportReason::Spam), 1)];
    assert_eq!(told, expected);
    let Ok(Reply::Case(file)) = owner.client.request(Command::Case(filed[1].id)).await else { panic!() };
    let words: Vec<&str> = file.events.iter().map(|event| event.text.as_str()).collect();
    assert!(words.contains(&"told-to: as they said"), "{words:?}");
    assert_eq!(member(&bob, &den, "plugin.deputy").await, None, "for that it need not be there");

    // What is none of the contract.
    for text in ["flog me", "mute me for no time", "slow for a day"] {
        say(&bob, &den, text).await;
    }
    until(&server, "sanction", "malformed", 2.0).await;
    until(&server, "slow-mode", "malformed", 1.0).await;
    assert_eq!((server.metric(&counted("does-not")).await, server.metric(&counted("waits")).await), (3.0, 2.0));
}

/// A thousand acts in one call: those of a burst are taken, and the server serves.
#[tokio::test(flavor = "multi_thread")]
async fn who_wants_too_much_is_held_back() {
    // There is nothing to delete.
    wants_too_much(Mode::Enforce, "refused").await;
    // Or what is counted there would not be what it could do.
    wants_too_much(Mode::Shadow, "shadow").await;
}

async fn wants_too_much(mode: Mode, result: &str) {
    let folder = folder();
    let server = start(folder.path(), mode).await;
    let bob = Person::register(&server, Transport::WebSocket, "bob").await;
    let den = bob.enter("den").await;
    say(&bob, &den, "flood").await;
    until_so("it was called", async || {
        say(&bob, &den, "the server is there").await;
        server.metric(&counted("waits")).await + server.metric(&counted("does-not")).await >= 1_000.0
    })
    .await;
    let waits = server.metric(&counted("waits")).await;
    // What one room has: half of what the plugin has.
    assert!((15.0..=18.0).contains(&waits), "{waits}");
    assert_eq!(server.metric(&outcome("delete", "limited")).await, 1_000.0 - waits);
    until(&server, "delete", result, waits).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_shadow_mode_it_does_nothing() {
    let folder = folder();
    let server = start(folder.path(), Mode::Shadow).await;
    let bob = Person::register(&server, Transport::WebSocket, "bob").await;
    let den = bob.enter("den").await;
    say(&bob, &den, "delete me").await;
    say(&bob, &den, "file this").await;
    until(&server, "delete", "shadow", 1.0).await;
    until(&server, "case", "shadow", 1.0).await;
    sleep(Duration::from_millis(500)).await;
    assert_eq!(bob.history(&den).await.len(), 2);
    assert_eq!(member(&bob, &den, "plugin.deputy").await, None);
    assert_eq!(server.metric(&counted("waits")).await, 2.0, "it is not told");
}

/// One behind it takes a character out that nobody sees, and it is asked about the text without.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_asked_again_calls_for_the_same_once() {
    let folder = copied(&["test-plugins/deputy", "plugins/sanitize"]);
    let server = TestServer::start_with(|config| {
        config.plugins = deputy(folder.path(), Mode::Shadow);
        config.plugins.chain.push("sanitize".into());
    })
    .await;
    let bob = Person::register(&server, Transport::WebSocket, "bob").await;
    let den = bob.enter("den").await;
    // It calls for nothing but of the second text, so that it was asked about that.
    say(&bob, &den, "file \u{202e}this").await;
    until(&server, "case", "shadow", 1.0).await;
    say(&bob, &den, "file this \u{202e}or that").await;
    until(&server, "case", "shadow", 2.0).await;
}

/// As findings that are not enforced: what, where, of whom, and by which rule.
#[tokio::test(flavor = "multi_thread")]
async fn in_shadow_mode_the_audit_has_what_it_would_do() {
    let folder = folder();
    let server = start(folder.path(), Mode::Shadow).await;
    let owner = register_owner(&server).await;
    let bob = Person::register(&server, Transport::WebSocket, "bob").await;
    let den = bob.enter("den").await;
    let deleted = say(&bob, &den, "delete me").await;
    say(&bob, &den, "mute me").await;
    let filed = say(&bob, &den, "case").await;
    say(&bob, &den, "slow").await;
    let deadline = Instant::now() + PATIENCE;
    let found = loop {
        let found = audit(&owner, Some("deputy")).await;
        if found.len() >= 4 {
            break found;
        }
        assert!(Instant::now() < deadline, "{found:?}");
        sleep(Duration::from_millis(50)).await;
    };
    let user = bob.session.identity.user;
    let about = [(user, Some(deleted)), (user, None), (user, Some(filed)), (UserId::NONE, None)];
    for ((verdict, (user, seq)), record) in
        ["delete", "mute", "case", "slow-mode"].into_iter().zip(about).zip(found.iter().rev())
    {
        assert_eq!((record.act.as_str(), record.room, record.user, record.seq), ("verdict", den.id, user, seq));
        let Some(Finding { sha256, hook, enforced, rule, verdict: found, .. }) = &record.finding else { panic!() };
        assert_eq!((found.as_str(), hook.as_str(), *enforced), (verdict, "actions", false));
        assert_eq!((sha256.len(), rule.as_str()), (64, "told-to"));
    }
    assert_eq!(found.len(), 4, "{found:?}");
    // Nothing of it is done.
    assert_eq!(bob.history(&den).await.len(), 4);
    assert!(cases(&owner, CaseKind::Report, false).await.is_empty());
}

/// What it notes may quote somebody: it goes with them, or is not kept. The room is its word.
#[tokio::test(flavor = "multi_thread")]
async fn in_shadow_mode_a_note_is_of_whom_it_may_quote_and_of_nobody_else() {
    let folder = folder();
    let server = start(folder.path(), Mode::Shadow).await;
    let owner = register_owner(&server).await;
    let bob = Person::register(&server, Transport::WebSocket, "bob").await;
    let stranger = Person::register(&server, Transport::WebSocket, "stranger").await;
    let den = bob.enter("den").await;
    let gone = say(&bob, &den, "soon gone").await;
    let delete = Delete { write: write(&bob, den.id), seqs: vec![gone] };
    bob.client.request(Command::Delete(delete)).await.unwrap();
    let (user, other) = (bob.session.identity.user, stranger.session.identity.user);
    let never = Seq(1_000_000);
    for text in [
        format!("delete {}", gone.0),
        format!("delete {}", never.0),
        format!("lift {:x}", user.as_u128()),
        format!("lift {:x}", other.as_u128()),
        "slow".to_owned(),
    ] {
        say(&bob, &den, &text).await;
    }
    let noted = async || {
        let plugin = Some("deputy".to_owned());
        let list = ListAudit { room: None, user: None, case: None, plugin, before: AuditId::NONE, limit: 0 };
        let Ok(Reply::Audit { records, .. }) = owner.client.request(Command::ListAudit(list)).await else { panic!() };
        let told = records.iter().rev().map(|entry| {
            let record = decode_audit(&entry.record).unwrap();
            (record.user, record.seq, entry.note.as_str().to_owned())
        });
        told.collect::<Vec<_>>()
    };
    until_so("all of it is told", async || noted().await.len() >= 5).await;
    let none = String::new;
    let expected = [
        (user, Some(gone), "as they said".to_owned()),
        (UserId::NONE, Some(never), none()),
        (user, None, "as they said".to_owned()),
        (other, None, none()),
        (UserId::NONE, None, none()),
    ];
    assert_eq!(noted().await, expected);
}

#[test]
fn nor_does_it_in_the_lab() {
    let goldens = tempfile::tempdir().unwrap();
    let line = "{\"body\": \"file this\", \"expect\": \"bounce\", \"rule\": \"told-to\", \"text\": \"it is filed\"}";
    std::fs::write(goldens.path().join("all.jsonl"), line).unwrap();
    // The answer tells what the call said: that it waits.
    let lab = lab("test-plugins/deputy");
    let mut imports = lab.imports();
    imports.sort();
    assert_eq!(imports, ["actions", "metrics"]);
    assert_eq!(lab.goldens(goldens.path()).unwrap().wrong, [""; 0]);
}

/// At a private room it knocks, and acts once somebody has let it in.
#[tokio::test(flavor = "multi_thread")]
async fn into_a_private_room_it_is_let() {
    let folder = folder();
    let server = start(folder.path(), Mode::Enforce).await;
    let alice = Person::register(&server, Transport::Quic, "alice").await;
    let bob = Person::register(&server, Transport::WebSocket, "bob").await;
    let (name, topic) = (RoomName::parse("cellar").unwrap(), Topic::parse("").unwrap());
    let client_id = alice.client.new_client_id();
    let create = CreateRoom { client_id, resend: false, name, topic, private: true };
    let Ok(Reply::Room(room)) = alice.client.request(Command::CreateRoom(create)).await else { panic!() };
    let knocks = UpdateRoom { knocks: Some(true), ..update_room(write(&alice, room.id)) };
    alice.client.request(Command::UpdateRoom(knocks)).await.unwrap();
    let invite = Command::Invite { room: room.id, uses: 1, duration_ms: 60_000 };
    let Ok(Reply::Invited { token, .. }) = alice.client.request(invite).await else { panic!() };
    bob.client.request(Command::JoinRoom(RoomTarget::Invite(token))).await.unwrap();
    say(&bob, &room, "delete me").await;
    say(&bob, &room, "delete me").await;
    until(&server, "delete", "refused", 2.0).await;
    let knocks: Vec<Seq> = log(&alice, &room).await.into_iter().filter_map(is_knock).collect();
    assert_eq!(knocks.len(), 1, "it does so once in a while");
    let admit = Admit { write: write(&alice, room.id), seq: knocks[0] };
    alice.client.request(Command::Admit(admit)).await.unwrap();
    say(&bob, &room, "delete me").await;
    until(&server, "delete", "done", 1.0).await;
    assert_eq!(bob.history(&room).await.len(), 2);
}

fn is_knock((seq, entry): (Seq, Entry)) -> Option<Seq> {
    (entry.content == EntryContent::Knock).then_some(seq)
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_called_like_it_or_logs_in_as_it() {
    let folder = folder();
    let server = start(folder.path(), Mode::Enforce).await;
    let owner = register_owner(&server).await;
    let target = Target::from(&server);
    for name in ["plugin.deputy", "plugin.other", "p1ugin.other"] {
        let (mut raw, _) = Raw::greet(&target, Transport::Quic, None).await;
        let refused = raw.request(register(name, None)).await.unwrap_err();
        assert!(refused.is(RejectCode::NameInvalid) && refused.detail.contains("plugin"), "{name}: {refused}");
    }
    let (mut raw, _) = Raw::greet(&target, Transport::WebSocket, None).await;
    raw.request(register("plugin-lover", None)).await.unwrap();
    // Nor is anybody shown so.
    for name in ["plugin.deputy", "pIugin.deputy", "Plugin. Words"] {
        let refused = refusal(&owner, Command::UpdateProfile(DisplayName::parse(name).unwrap())).await;
        assert!(refused.is(RejectCode::NameInvalid) && refused.detail.contains("plugin"), "{name}: {refused}");
    }

    let den = owner.enter("den").await;
    let bob = Person::register(&server, Transport::WebSocket, "bob").await;
    bob.enter("den").await;
    say(&bob, &den, "delete me").await;
    until(&server, "delete", "done", 1.0).await;
    let deputy = member(&owner, &den, "plugin.deputy").await.unwrap();
    assert!(refusal(&owner, Command::IssueReset(deputy)).await.is(RejectCode::Forbidden));
    let (client, _events) = Client::connect(Options::new(server.client_address(Transport::WebSocket)));
    match client.login("plugin.deputy", "correct horse").await {
        Err(Error::Rejected(reject)) => assert!(reject.is(RejectCode::BadCredentials), "{reject}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_not_granted_is_refused_at_load() {
    let folder = folder();
    let granted = deputy(folder.path(), Mode::Enforce);
    load(&granted).map(drop).unwrap();
    let grant = [("deputy".to_owned(), vec!["metrics".to_owned()])].into();
    let error = load(&Plugins { grant, ..granted }).map(drop).unwrap_err();
    assert!(error.contains("capability actions") && error.contains("plugins.grant.deputy"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_somebody_elses_keeps_the_server_from_starting() {
    let (folder, place) = (folder(), tempfile::tempdir().unwrap());
    let any_port = "127.0.0.1:0".parse().unwrap();
    let mut config = Config::default();
    config.data_dir = place.path().join("data");
    (config.listen.http, config.listen.quic, config.listen.ops) = (any_port, any_port, any_port);
    config.auth.bcrypt_cost = 10;
    config.plugins = deputy(folder.path(), Mode::Enforce);
    // It was registered before there were such accounts.
    let username = Username::parse("plugin.deputy").unwrap();
    let user = NewUser {
        id: UserId::from_u128(7),
        username_key: user_key(&username),
        username,
        display_name: DisplayName::parse("somebody").unwrap(),
        role: ServerRole::User,
        password_hash: Some("a hash".to_owned()),
        self_room: RoomId::from_u128(8),
        incarnation: Incarnation(1),
        created: Millis(1),
        audit_key: AuditKey::from_u128(9),
        ticket: None,
    };
    let store = confab::open_store(&config).await.unwrap();
    assert_eq!(store.create_user(user).await.unwrap(), Created::Yes);
    store.close().await;
    let Err(error) = Server::build(config).await else { panic!("it starts") };
    let error = error.to_string();
    assert!(error.contains("plugin deputy") && error.contains("account plugin.deputy"), "{error}");
}

/// By SIGHUP it begins to act, and ends.
#[tokio::test(flavor = "multi_thread")]
async fn it_acts_from_a_reload_on() {
    let folder = folder();
    let dir = folder.path();
    let place = Place::with(&format!(
        "plugins.dir = {dir:?}\nplugins.chain = [\"deputy\"]\nplugins.grant.deputy = [\"actions\", \"metrics\"]\n\
         plugins.mode.deputy = \"shadow\""
    ));
    let server = place.serve();
    let turn = |from: &str, to: &str| {
        place.rewrite(from, to);
        place.reload(&server);
    };
    let alice = place.register(Transport::Quic, "alice").await;
    let bob = place.register(Transport::WebSocket, "bob").await;
    let den = alice.enter("den").await;
    bob.enter("den").await;
    let count = |result: &str| place.metric(&outcome("delete", result));
    say(&bob, &den, "delete me").await;
    eventually("it is in shadow mode", || (count("shadow") > 0.0).then_some(()));
    turn("\"shadow\"", "\"enforce\"");
    say(&bob, &den, "delete me").await;
    eventually("it acts", || (count("done") > 0.0).then_some(()));
    assert!(member(&alice, &den, "plugin.deputy").await.is_some());
    turn("\"enforce\"", "\"shadow\"");
    say(&bob, &den, "delete me").await;
    eventually("it does not act any more", || (count("shadow") > 1.0).then_some(()));
    assert_eq!((bob.history(&den).await.len(), count("done")), (2, 1.0));
}
