//! What is done and not said: plugins refuse it, with their reason, and everything else goes on.

use std::path::Path;

use confab::config::Plugins;
use confab_client::{Client, Command, Error, Options, Reject, Reply};
use confab_plugin::golden::{Hooks, check_folder};
use confab_plugin::{ActVerdict, Finding, Refusal};
use confab_protocol::command::{
    About, Appeal, CaseFilter, ListAudit, ListCases, Register, Report, RoomTarget, SanctionUser, SetRole, UpdateRoom,
    Write,
};
use confab_protocol::model::{
    AuditId, CaseId, CaseText, DisplayName, Reason, ReportReason, RoomId, RoomName, RoomRole, SanctionKind, ServerRole,
    UserId,
};
use confab_protocol::reject::RejectCode;

use super::{folder, generous, plugins};
use crate::support::commands::register;
use crate::support::guests::{built, lab};
use crate::support::people::Person;
pub(super) use crate::support::people::register_owner;
use crate::support::raw::{Raw, Target};
use crate::support::{TRANSPORTS, TestServer, Transport};

async fn server() -> TestServer {
    let folder = folder();
    TestServer::start_with(|config| config.plugins = plugins(folder.path())).await
}

async fn refusal(client: &Client, command: Command) -> Reject {
    match client.request(command).await {
        Err(Error::Rejected(reject)) => reject,
        other => panic!("{other:?}"),
    }
}

fn assert_by_plugin(reject: &Reject, reason: &str) {
    assert_eq!((reject.code, reject.detail.as_str()), (RejectCode::ByPlugin.number(), reason));
}

#[tokio::test(flavor = "multi_thread")]
async fn registrations_and_logins() {
    let server = server().await;
    // The first is the owner, and nobody keeps them out.
    let target = Target::from(&server);
    for transport in TRANSPORTS {
        let (mut raw, _) = Raw::greet(&target, transport, None).await;
        assert_by_plugin(&raw.request(register("no-register", None)).await.unwrap_err(), "not this register");
        assert!(raw.request(register(&format!("a-{transport:?}").to_lowercase(), None)).await.is_ok());
    }
    let (mut raw, _) = Raw::greet(&target, Transport::Quic, None).await;
    raw.request(register("no-register", Some(server.owner_token.as_str()))).await.unwrap();
    let (mut raw, _) = Raw::greet(&target, Transport::Quic, None).await;
    let trapped = raw.request(register("trap-register", None)).await.unwrap_err();
    assert_eq!(trapped.code, RejectCode::Busy.number(), "who cannot be checked is told to come again: {trapped:?}");
    assert!(trapped.retry_after_ms > 0);
    raw.request(register("odd-register", None)).await.unwrap();

    let (mut raw, _) = Raw::greet(&target, Transport::WebSocket, None).await;
    raw.request(register("no-login", None)).await.unwrap();
    let (client, _events) = Client::connect(Options::new(server.client_address(Transport::WebSocket)));
    match client.login("no-login", "correct horse").await {
        Err(Error::Rejected(reject)) => assert_by_plugin(&reject, "not this login"),
        other => panic!("{other:?}"),
    }
    match client.login("no-login", "wrong horse").await {
        Err(Error::Rejected(reject)) => {
            assert!(reject.is(RejectCode::BadCredentials), "plugins tell nothing: {reject}")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        server.metric(r#"confab_plugin_verdicts_total{hook="login",plugin="hostile",verdict="reject"}"#).await,
        1.0
    );
}

fn register_as(name: &str, shown: &str) -> Command {
    let Command::Register(register) = register(name, None) else { unreachable!() };
    Command::Register(Register { display_name: Some(DisplayName::parse(shown).unwrap()), ..register })
}

/// It stands in lists of members and in mentions, whatever else is shown.
#[tokio::test(flavor = "multi_thread")]
async fn a_user_name_is_no_way_past_a_word_list() {
    let folder = folder();
    for path in ["plugins/words.wasm", "plugins/words.toml"] {
        let file = built(path);
        std::fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    let words = serde_json::json!({ "harassment": "reject" });
    let server = TestServer::start_with(|config| {
        config.plugins = Plugins {
            chain: vec!["words".into(), "hostile".into()],
            config: [("words".to_owned(), words)].into(),
            ..generous(plugins(folder.path()))
        };
    })
    .await;
    let target = Target::from(&server);
    // However its words are parted, and whatever is made of it.
    let refused =
        ["kill_yourself", "kill.yourself", "kill-yourself", "reject", "bounce", "hold", "shadow", "again", "spill"];
    for transport in TRANSPORTS {
        let (mut raw, _) = Raw::greet(&target, transport, None).await;
        for name in refused {
            let reject = raw.request(register_as(name, "Ann")).await.expect_err(name);
            let code = if name == "bounce" { RejectCode::Bounced } else { RejectCode::ByPlugin };
            assert!(reject.is(code) && reject.detail.starts_with("the user name: "), "{name}: {reject:?}");
        }
        let reject = raw.request(register_as("ann_smith", "kill_yourself")).await.unwrap_err();
        assert!(reject.is(RejectCode::ByPlugin) && !reject.detail.contains("user name"), "{reject:?}");
        // What is shown is replaced then, and what others call them by is not.
        let reject = raw.request(register("again", None)).await.unwrap_err();
        assert!(reject.detail.starts_with("the user name: "), "{reject:?}");
        let ordinary = format!("ann_smith.{transport:?}").to_lowercase();
        let made = raw.request(register_as(&ordinary, "Ann")).await.unwrap();
        let Reply::Session(session) = made else { panic!("{made:?}") };
        assert_eq!(session.identity.username.as_str(), ordinary);
    }
    // What is only noted, and what differs in capitals alone, keeps nobody out.
    for name in ["flag", "upper"] {
        let (mut raw, _) = Raw::greet(&target, Transport::Quic, None).await;
        raw.request(register_as(name, "Ann")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn joins_invitations_and_roles() {
    let server = server().await;
    let owner = Person::register(&server, Transport::Quic, "owner").await;
    let room = owner.enter("den").await;
    let loner = Person::register(&server, Transport::WebSocket, "no-join").await;
    let join = || Command::JoinRoom(RoomTarget::Id(room.id));
    assert_by_plugin(&refusal(&loner.client, join()).await, "not this join");
    let invite = |uses| Command::Invite { room: room.id, uses, duration_ms: 60_000 };
    assert_by_plugin(&refusal(&owner.client, invite(13)).await, "not this invite");
    let Ok(Reply::Invited { token, .. }) = owner.client.request(invite(1)).await else { panic!() };
    let by_invitation = Command::JoinRoom(RoomTarget::Invite(token));
    assert!(
        matches!(loner.client.request(by_invitation).await, Ok(Reply::Room(_))),
        "another way in, another question"
    );
    // Who is in does not come in.
    let asked = async || server.metric(r#"confab_plugin_call_seconds_count{hook="join",plugin="hostile"}"#).await;
    let before = asked().await;
    assert!(matches!(loner.client.request(join()).await, Ok(Reply::Room(_))));
    assert_eq!(asked().await, before);

    let write = || Write { room: room.id, client_id: owner.client.new_client_id(), resend: false };
    let user = loner.client.login("no-join", "correct horse").await.unwrap().identity.user;
    let guest = Command::SetRole(SetRole { write: write(), user, role: RoomRole::Guest });
    assert_by_plugin(&refusal(&owner.client, guest).await, "not this role");
    let moderator = Command::SetRole(SetRole { write: write(), user, role: RoomRole::Moderator });
    assert!(matches!(owner.client.request(moderator).await, Ok(Reply::Appended(_))));

    // Each is found where it was to be, with whom it is about; and what was done is told once.
    let list = ListAudit { room: Some(room.id), user: None, case: None, plugin: None, before: AuditId::NONE, limit: 0 };
    let Ok(Reply::Audit { records, .. }) = owner.client.request(Command::ListAudit(list)).await else { panic!() };
    let records = records.iter().map(|entry| confab_protocol::codec::decode_audit(&entry.record).unwrap());
    let records: Vec<_> = records.collect();
    let found = |hook: &str| {
        let record = records.iter().find(|it| it.finding.as_ref().is_some_and(|finding| finding.hook == hook));
        record.map(|it| (it.actor, it.user))
    };
    assert_eq!(found("join"), Some((UserId::NONE, user)));
    assert_eq!(found("role-change"), Some((owner.session.identity.user, user)));
    assert_eq!(records.iter().filter(|it| it.act == "invite").count(), 1);
}

/// There is no room then, and roles are called as in one.
#[tokio::test(flavor = "multi_thread")]
async fn roles_on_the_whole_server() {
    let server = server().await;
    let owner = register_owner(&server).await;
    let bob = Person::register(&server, Transport::WebSocket, "bob").await;
    let carol = Person::register(&server, Transport::WebSocket, "carol").await;
    let asked =
        async || server.metric(r#"confab_plugin_call_seconds_count{hook="role-change",plugin="hostile"}"#).await;
    let (me, user) = (owner.session.identity.user, bob.session.identity.user);
    let give = |user, role| Command::SetServerRole { user, role };
    // What cannot be is no question.
    let nobody = UserId::from_u128(me.as_u128() ^ 1);
    for (by, whom, role) in
        [(&carol, user, ServerRole::Admin), (&owner, me, ServerRole::Admin), (&owner, nobody, ServerRole::Admin)]
    {
        assert!(refusal(&by.client, give(whom, role)).await.is(RejectCode::Forbidden), "{role:?}");
    }
    assert_eq!(asked().await, 0.0);
    assert_by_plugin(&refusal(&owner.client, give(user, ServerRole::Admin)).await, "not this role");
    assert!(matches!(owner.client.request(give(user, ServerRole::Moderator)).await, Ok(Reply::Ok)));
    assert_eq!(asked().await, 2.0);
    let plugin = Some("hostile".to_owned());
    let list = ListAudit { room: None, user: None, case: None, plugin, before: AuditId::NONE, limit: 0 };
    let Ok(Reply::Audit { records, .. }) = owner.client.request(Command::ListAudit(list)).await else { panic!() };
    let records = records.iter().map(|entry| confab_protocol::codec::decode_audit(&entry.record).unwrap());
    let found: Vec<_> = records.map(|it| (it.actor, it.user, it.room, it.finding.map(|it| it.hook))).collect();
    assert_eq!(found, [(me, user, RoomId::NONE, Some("role-change".to_owned()))]);
}

/// Or who may do nothing could fill the audit with what is found of it.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_no_question() {
    let server = server().await;
    let owner = register_owner(&server).await;
    let den = owner.enter("den").await;
    let bob = Person::register(&server, Transport::WebSocket, "bob").await;
    let carol = Person::register(&server, Transport::WebSocket, "carol").await;
    bob.enter("den").await;
    carol.enter("den").await;
    let write = || Write { room: den.id, client_id: bob.client.new_client_id(), resend: false };
    // The guest refuses both, of whom it is asked about.
    let role = SetRole { write: write(), user: carol.session.identity.user, role: RoomRole::Guest };
    let name = UpdateRoom {
        write: write(),
        name: Some(RoomName::parse("reject").unwrap()),
        topic: None,
        slow_mode_ms: None,
        retention_ms: None,
        visibility: None,
        knocks: None,
        rights: None,
    };
    for command in [Command::SetRole(role), Command::UpdateRoom(name)] {
        let label = command.name();
        let refused = refusal(&bob.client, command).await;
        assert!(refused.is(RejectCode::Forbidden), "{label}: {refused}");
    }
    assert!(findings(&owner).await.is_empty());
}

/// Nor is a role for somebody who is not in the room, or not any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_of_who_is_not_there_is_no_question() {
    let server = server().await;
    let owner = register_owner(&server).await;
    let den = owner.enter("den").await;
    let bob = Person::register(&server, Transport::WebSocket, "bob").await;
    let carol = Person::register(&server, Transport::WebSocket, "carol").await;
    carol.enter("den").await;
    carol.client.request(Command::LeaveRoom(RoomTarget::Id(den.id))).await.unwrap();
    for person in [&bob, &carol] {
        let write = Write { room: den.id, client_id: owner.client.new_client_id(), resend: false };
        // The guest refuses it, of whom it is asked about.
        let role = SetRole { write, user: person.session.identity.user, role: RoomRole::Guest };
        let refused = refusal(&owner.client, Command::SetRole(role)).await;
        assert!(refused.is(RejectCode::UnknownUser), "{refused}");
    }
    assert!(findings(&owner).await.is_empty());
}

fn report(room: RoomId, about: About, text: &str) -> Command {
    let text = CaseText::parse(text).unwrap();
    Command::Report(Report { room, about, reason: ReportReason::SelfHarm, text })
}

async fn count_cases(of: &Person) -> usize {
    let (state, before) = (CaseFilter::Any, CaseId::NONE);
    let list = ListCases { room: None, state, kind: None, mine: false, about: None, before, limit: 0 };
    let Ok(Reply::Cases { cases, .. }) = of.client.request(Command::ListCases(list)).await else { panic!() };
    cases.len()
}

/// Hooks and verdicts of what plugins found, as the audit keeps it.
async fn findings(of: &Person) -> Vec<(String, String)> {
    let list = ListAudit { room: None, user: None, case: None, plugin: None, before: AuditId::NONE, limit: 0 };
    let Ok(Reply::Audit { records, .. }) = of.client.request(Command::ListAudit(list)).await else { panic!() };
    let decoded = records.iter().map(|entry| confab_protocol::codec::decode_audit(&entry.record).unwrap());
    decoded.filter_map(|record| record.finding.map(|it| (it.hook, it.verdict))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn reports() {
    let server = server().await;
    let owner = register_owner(&server).await;
    let room = owner.enter("den").await;
    let author = Person::register(&server, Transport::WebSocket, "author").await;
    author.enter("den").await;
    let Ok(Reply::Appended(said)) = super::post(&author, &room, "hello").await else { panic!() };
    let about = About::Message(said.seq);
    let mut people = Vec::new();
    for name in ["no-report", "odd-report", "trap-report"] {
        let person = Person::register(&server, Transport::Quic, name).await;
        person.enter("den").await;
        people.push(person);
    }
    let [no, odd, trap] = people.as_slice() else { panic!() };
    assert_by_plugin(&refusal(&no.client, report(room.id, about, "he began")).await, "not this report");
    let told = refusal(&odd.client, report(room.id, about, "what do you know?")).await;
    assert_by_plugin(&told, &format!("odd-report self-harm Some({}) true", said.seq.0));
    let person = About::Person(no.session.identity.user);
    let told = refusal(&odd.client, report(room.id, person, "what do you know?")).await;
    assert_by_plugin(&told, "odd-report self-harm None true");
    assert!(refusal(&trap.client, report(room.id, about, "")).await.is(RejectCode::Busy), "told to come again");
    assert_eq!(count_cases(&owner).await, 0, "nothing was written");
    assert!(matches!(odd.client.request(report(room.id, about, "")).await, Ok(Reply::Reported(_))), "flagged");
    assert_eq!(count_cases(&owner).await, 1);
    // What cannot be reported at all is no question.
    let asked = async || server.metric(r#"confab_plugin_call_seconds_count{hook="report",plugin="hostile"}"#).await;
    let before = asked().await;
    assert!(refusal(&author.client, report(room.id, about, "it was me")).await.is(RejectCode::Forbidden));
    assert_eq!((before, asked().await), (5.0, 5.0));
    let mut found = findings(&owner).await;
    found.retain(|(hook, _)| hook == "report");
    let verdicts: Vec<&str> = found.iter().map(|(_, verdict)| verdict.as_str()).collect();
    assert_eq!(verdicts, ["flag", "unavailable", "reject", "reject", "reject"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn appeals() {
    let server = server().await;
    let owner = register_owner(&server).await;
    let room = owner.enter("den").await;
    for (name, text, expected) in [
        ("no-appeal", "why?", Some("not this appeal")),
        ("somebody", "what do you know?", Some("somebody sanction sanction")),
        ("odd-appeal", "please", None),
    ] {
        let person = Person::register(&server, Transport::WebSocket, name).await;
        person.enter("den").await;
        let write = Write { room: room.id, client_id: owner.client.new_client_id(), resend: false };
        let (user, reason) = (person.session.identity.user, Reason::parse("enough").unwrap());
        let mute = SanctionUser { write, user, kind: SanctionKind::Mute, duration_ms: 3_600_000, reason };
        assert!(matches!(owner.client.request(Command::Sanction(mute)).await, Ok(Reply::Appended(_))));
        let (state, before) = (CaseFilter::Any, CaseId::NONE);
        let list = ListCases { room: None, state, kind: None, mine: true, about: None, before, limit: 0 };
        let Ok(Reply::Cases { cases, .. }) = person.client.request(Command::ListCases(list)).await else { panic!() };
        let appeal = || Command::Appeal(Appeal { case: cases[0].id, text: CaseText::parse(text).unwrap() });
        match expected {
            Some(reason) => assert_by_plugin(&refusal(&person.client, appeal()).await, reason),
            None => {
                assert!(matches!(person.client.request(appeal()).await, Ok(Reply::Ok)));
                // A second one cannot be, and is no question.
                assert!(refusal(&person.client, appeal()).await.is(RejectCode::CaseState));
            }
        }
    }
    let asked = server.metric(r#"confab_plugin_call_seconds_count{hook="appeal",plugin="hostile"}"#).await;
    assert_eq!(asked, 3.0);
    assert!(findings(&owner).await.contains(&("appeal".to_owned(), "flag".to_owned())));
}

/// As the hostile guest answers who asks what it knows.
fn told_back(what: String) -> ActVerdict {
    ActVerdict::Reject(Refusal { reason: what, finding: Finding::of("told-to") })
}

/// Golden lines are for these hooks too, and say the same natively and in the sandbox.
#[test]
fn golden_lines_of_reports_and_appeals() {
    let goldens = tempfile::tempdir().unwrap();
    let know = "\"body\": \"what do you know?\", \"expect\": \"reject\", \"rule\": \"told-to\"";
    let lines = [
        format!("{{\"hook\": \"report\", {know}, \"text\": \"somebody other None true\"}}"),
        format!(
            "{{\"hook\": \"report\", \"seq\": 7, \"about\": 1, \"reason\": \"spam\", {know}, \"text\": \"somebody spam Some(7) false\"}}"
        ),
        format!("{{\"hook\": \"appeal\", {know}, \"text\": \"somebody held drop\"}}"),
        format!(
            "{{\"hook\": \"appeal\", \"case\": \"flag\", \"decision\": \"remove\", {know}, \"text\": \"somebody flag remove\"}}"
        ),
    ];
    let file = goldens.path().join("all.jsonl");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let lab = lab("test-plugins/hostile");
    let found = lab.goldens(goldens.path()).unwrap();
    assert_eq!((found.lines, found.wrong), (4, Vec::new()));
    let hooks = Hooks {
        report: Some(|it| {
            told_back(format!("{} {} {:?} {}", it.who.username, it.reason, it.seq, it.about != it.who.id))
        }),
        appeal: Some(|it| told_back(format!("{} {} {}", it.who.username, it.kind, it.decision))),
        ..Hooks::default()
    };
    check_folder(goldens.path().to_str().unwrap(), hooks);
    std::fs::write(&file, "{\"hook\": \"appeal\", \"decision\": \"smile\"}").unwrap();
    let wrong = lab.goldens(goldens.path()).unwrap().wrong;
    assert!(wrong.len() == 1 && wrong[0].contains("smile; there are dismiss, release,"), "{wrong:?}");
    assert_eq!(lab.idle_hooks(), ["attachment", "mls-handshake", "e2ee-message"]);
}

/// And for those that have no text. What is left out has a value, and what nobody can do is no line.
#[test]
fn golden_lines_of_invitations_roles_and_logins() {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugins/hostile/goldens");
    let lab = lab("test-plugins/hostile");
    let found = lab.goldens(&goldens).unwrap();
    assert_eq!((found.lines, found.wrong), (6, Vec::new()));
    let hooks = Hooks {
        invite: Some(|it| told_back(format!("{} {} {}", it.room.1, it.uses, it.duration_ms))),
        role_change: Some(|it| told_back(format!("{} {} {:?}", it.room.1, it.target.1, it.role))),
        login: Some(|it| told_back(format!("{:?} {}", it.who.role, it.who.account_age_seconds))),
        ..Hooks::default()
    };
    check_folder(goldens.to_str().unwrap(), hooks);
    let folder = tempfile::tempdir().unwrap();
    for (role, why) in [("none", "no room role to give: none"), ("smile", "no room role smile")] {
        let line = format!("{{\"hook\": \"role-change\", \"new_role\": \"{role}\"}}");
        std::fs::write(folder.path().join("all.jsonl"), line).unwrap();
        let wrong = lab.goldens(folder.path()).unwrap().wrong;
        assert!(wrong.len() == 1 && wrong[0].contains(why), "{wrong:?}");
    }
}
